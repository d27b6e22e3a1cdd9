"""What runs are, in words: as their configuration says it, or as it can be told for older ones."""

import collections
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from train.problem.comparison import BASELINE, Comparison
from train.problem.experiments import EXPERIMENTS
from train.problem.networks import M11, Network, VitB16, WideResNet
from train.problem.schedules import Constant, Cosine, Drops, HoldThenDecay, Schedule
from train.reports.metric import Metric
from train.system.errors import UserError

NOT_RECORDED = 'not recorded'


def presentation(config: Mapping[str, Any], folder: pathlib.Path) -> dict[str, Any]:
  """Returns how a run is presented, as ``about`` of :func:`train.storage.configuration.run_config`.

  Args:
    config: The configuration of the run; empty if it has none.
    folder: Where the runs of its comparison are.
  """
  comparison = _comparison(config)
  metric = Metric()
  usual = {
    'title': comparison.title if comparison else str(folder),
    'network': _network(config.get('network')),
    'schedule': _schedule(config.get('schedule')),
    'baseline': BASELINE.name,
    'metric_column': metric.column,
    'metric_label': metric.label,
    'reported': comparison.about.reported if comparison else '',
    'published_network': comparison.about.published_network if comparison else '',
    'curves': comparison.about.curves if comparison else None,
  }
  about = config.get('about', {})
  return {
    name: about[name] if name in about and _is_kind_of(name, about[name]) else value
    for name, value in usual.items()
  }


def _is_kind_of(name: str, value: Any) -> bool:
  """Returns whether a value is one that a presentation may have under a name."""
  if name != 'curves':
    return isinstance(value, str)
  return value is None or (
    isinstance(value, list) and len(value) == 2 and all(isinstance(word, str) for word in value)
  )


def _comparison(config: Mapping[str, Any]) -> Comparison | None:
  """Returns the paper's comparison that runs of version 0.1 were of."""
  of_experiment = EXPERIMENTS.get(config.get('experiment', ''), ())
  return next((known for known in of_experiment if known.name == config.get('part')), None)


def _network(config: Mapping[str, Any] | None) -> str:
  """Returns the description of a network of version 0.1."""
  network: Network
  match config:
    case {'kind': WideResNet.kind, 'depth': depth, 'width': width}:
      network = WideResNet(depth, width)
    case {'kind': VitB16.kind, 'image_size': size}:
      network = VitB16(size)
    case {'kind': M11.kind}:
      network = M11()
    case _:
      return NOT_RECORDED
  return network.describe()


def _schedule(config: Mapping[str, Any] | None) -> str:
  """Returns the description of a schedule of version 0.1."""
  for kind in (Drops, HoldThenDecay, Cosine, Constant):
    if config and config.get('kind') == kind.kind:
      try:
        schedule: Schedule = kind(**{key: value for key, value in config.items() if key != 'kind'})
        return schedule.describe()
      except (TypeError, ValueError, UserError):  # of another version
        return NOT_RECORDED
  return NOT_RECORDED


def setting(config: Mapping[str, Any], about: Mapping[str, Any]) -> dict[str, str]:
  """Returns what all runs of a comparison should have in common, by its name in a report."""

  def recorded(name: str) -> str:
    return f'{config[name]}' if name in config else NOT_RECORDED

  data = recorded('dataset')
  if config.get('train_examples'):
    data += f', first {config["train_examples"]:,} examples'
  return {
    'network': about['network'],
    'data': data,
    'epochs': recorded('epochs'),
    'batch size': recorded('batch_size'),
    'schedule': about['schedule'],
    'weight decay': recorded('weight_decay'),
    'rule': recorded('rule'),
    'computed in': recorded('dtype'),
    'metric': about['metric_label'],
  }


def setting_line(words: Mapping[str, str]) -> str:
  """Returns the setting as one sentence.

  Args:
    words: See :func:`setting`.
  """
  if words['data'] == NOT_RECORDED:
    return f'The setting was {NOT_RECORDED}.'
  parts = [
    f'{words["network"]} on {words["data"]}',
    f'{words["epochs"]} epoch{"" if words["epochs"] == "1" else "s"}',
    f'batch {words["batch size"]}',
    words['computed in'],
    words['schedule'],
  ]
  return '; '.join(part for part in parts if NOT_RECORDED not in part) + '.'


def environment_lines(environments: Sequence[Mapping[str, Any]]) -> list[str]:
  """Returns with what the runs were made: a line for each environment that differs.

  Args:
    environments: One per run, see :func:`train.system.environment.environment`; empty where none is
      recorded.
  """
  counts = collections.Counter(map(_environment_words, environments))
  if len(counts) == 1:
    return list(counts)
  return [f'{words} ({count} of {counts.total()} runs)' for words, count in counts.items()]


def _environment_words(environment: Mapping[str, Any]) -> str:
  if not environment:
    return NOT_RECORDED
  versions = environment.get('versions')
  versions = versions if isinstance(versions, dict) else {}
  words = [f'{name} {version}' for name, version in versions.items()]
  words.append(f'{environment.get("device_count")} x {environment.get("device_kind")}')
  if environment.get('commit'):
    changed = ' with changes' if environment.get('changed') else ''
    words.append(f'commit {str(environment["commit"])[:12]}{changed}')
  return ', '.join(words)
