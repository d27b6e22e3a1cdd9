"""The setting and the environment of runs, in words."""

import collections
from collections.abc import Mapping, Sequence
from typing import Any


def setting(config: Mapping[str, Any]) -> dict[str, str]:
  """Returns what all runs of a comparison have in common, by its name in a report."""
  about, data = config['about'], config['dataset']
  if config['train_examples']:
    data += f', first {config["train_examples"]:,} examples'
  return {
    'network': about['network'],
    'data': data,
    'epochs': f'{config["epochs"]}',
    'batch size': f'{config["batch_size"]}',
    'schedule': about['schedule'],
    'weight decay': f'{config["weight_decay"]}',
    'rule': config['rule'],
    'computed in': config['dtype'],
    'metric': about['metric_label'],
  }


def setting_line(words: Mapping[str, str]) -> str:
  """Returns the setting, see :func:`setting`, as one sentence."""
  epochs = words['epochs']
  return (
    f'{words["network"]} on {words["data"]}; {epochs} epoch{"" if epochs == "1" else "s"}; batch '
    f'{words["batch size"]}; {words["computed in"]}; {words["schedule"]}.'
  )


def environment_lines(environments: Sequence[Mapping[str, Any]]) -> list[str]:
  """Returns a line for each distinct environment.

  Args:
    environments: One per run, see :func:`train.system.environment.environment`; empty if a run has
      none.
  """
  counts = collections.Counter(map(_environment_words, environments))
  if len(counts) == 1:
    return list(counts)
  return [f'{words} ({count} of {counts.total()} runs)' for words, count in counts.items()]


def _environment_words(environment: Mapping[str, Any]) -> str:
  if not environment:
    return 'not recorded'
  versions = environment.get('versions')
  versions = versions if isinstance(versions, dict) else {}
  words = [f'{name} {version}' for name, version in versions.items()]
  words.append(f'{environment.get("device_count")} x {environment.get("device_kind")}')
  if environment.get('commit'):
    changed = ' with changes' if environment.get('changed') else ''
    words.append(f'commit {str(environment["commit"])[:12]}{changed}')
  return ', '.join(words)
