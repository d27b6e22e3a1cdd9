"""What a run is, as config.json says it, and how runs are told apart.

The configuration is compared when a run goes on. How it is presented stands
apart there, under ``about``, and is not compared.
"""

import json
import pathlib
from collections.abc import Collection, Mapping
from typing import Any

from train.arms import ADAPTIVE, Arm, Coin, Fixed, Lcam
from train.comparison import Comparison
from train.errors import UserError
from train.files import write_whole
from train.own_code import fingerprint

FORMAT = 2
# Fields that came later, with the value that runs had before.
_DEFAULTS: dict[str, Any] = {
  'loss': 'cross_entropy',
  'metric': 'wrong_answer',
  'partner_seed': None,
  'data_sha256': None,
}
_NOT_COMPARED = ('format', 'about')
_OF_A_RUN = ('arm', 'seed', 'partner_seed')


def run_config(
  comparison: Comparison,
  arm: Arm,
  seed: int,
  *,
  dataset: str,
  partner_seed: int | None = None,
  data_sha256: str | None = None,
) -> dict[str, Any]:
  """Returns what determines the numbers of a run, and how it is presented.

  Args:
    comparison: What the run belongs to.
    arm: The optimizer.
    seed: The seed.
    dataset: The name of the data set.
    partner_seed: The seed whose phases a yoked run replays.
    data_sha256: The digest of data that no name stands for.

  Returns:
    JSON-able values.
  """
  schedule = {'kind': comparison.schedule.kind, **vars(comparison.schedule)}
  config = {
    'format': FORMAT,
    'experiment': comparison.experiment,
    'part': comparison.name,
    'dataset': dataset,
    'data_sha256': data_sha256,
    'network': comparison.network.config(),
    'loss': _function_config(comparison.loss),
    'metric': _function_config(comparison.metric),
    'schedule': schedule,
    'epochs': comparison.epochs,
    'batch_size': comparison.batch_size,
    'weight_decay': comparison.weight_decay,
    'rule': comparison.rule,
    'train_examples': comparison.train_examples,
    'dtype': comparison.dtype,
    'arm': arm.config(),
    'seed': seed,
    'partner_seed': partner_seed,
    'about': {
      'title': comparison.title,
      'network': comparison.network.describe(),
      'schedule': comparison.schedule.describe(),
      'baseline': comparison.baseline,
      'metric_column': comparison.metric_column,
      'metric_label': comparison.metric_label,
      'reported': comparison.about.reported,
      'published_network': comparison.about.published_network,
      'curves': comparison.about.curves,
    },
  }
  return json.loads(json.dumps(config))


def _function_config(function) -> str:
  """Returns the name of a loss or metric, with a digest of its code if it is the user's."""
  if function.__module__.partition('.')[0] == 'train':
    return function.__name__
  return f'{function.__name__} {fingerprint(function)}'


def write_config(directory: pathlib.Path, config: Mapping[str, Any]) -> None:
  """Writes config.json of a run, whole or not at all."""
  write_whole(directory / 'config.json', json.dumps(config, indent=2) + '\n')


def read_config(directory: pathlib.Path) -> dict[str, Any]:
  """Returns the configuration of a run, in the present format; empty if missing or damaged."""
  try:
    config = json.loads((directory / 'config.json').read_text())
  except (OSError, ValueError):
    return {}
  if not isinstance(config, dict):
    return {}
  return config if 'format' in config else _from_first_format(config)


def check_config(directory: pathlib.Path, config: Mapping[str, Any]) -> None:
  """Raises a ``UserError`` that names the differing fields if a directory has another config."""
  if (directory / 'config.json').exists():
    _check(directory, config, _NOT_COMPARED)


def check_shared_config(workdir: pathlib.Path, config: Mapping[str, Any]) -> None:
  """Raises a ``UserError`` if a working directory has runs that cannot be compared with this one.

  They differ in more than the arm and the seed, and a report would set them against each other.
  """
  for path in sorted(workdir.glob('*/seed-*/config.json')):
    if read_config(path.parent):  # what cannot be read is told where it is needed
      _check(path.parent, config, (*_NOT_COMPARED, *_OF_A_RUN))


def _check(directory: pathlib.Path, config: Mapping[str, Any], left_out: Collection[str]) -> None:
  found = read_config(directory) or {'config.json': 'damaged'}
  found, config = (
    {key: value for key, value in one.items() if key not in left_out} for one in (found, config)
  )
  differing = [
    f'{name} was {_show(was)}, is {_show(now)}' for name, was, now in _differences(found, config)
  ]
  if differing:
    raise UserError(
      f'{directory} holds a run of another configuration ({"; ".join(differing)}): choose another '
      '--workdir.'
    )


def _differences(found: Mapping[str, Any], config: Mapping[str, Any], inside: str = ''):
  """Yields name, old and new value of what differs; a field that only one has is its default."""
  for key in {**found, **config}:
    name, default = f'{inside}{key}', _DEFAULTS.get(key)
    was, now = found.get(key, default), config.get(key, default)
    if isinstance(was, dict) and isinstance(now, dict):
      yield from _differences(was, now, f'{name}.')
    elif was != now:
      yield name, was, now


def _show(value: Any) -> str:
  text = str(value)
  return text if len(text) <= 60 else f'{text[:57]}...'


def _from_first_format(config: dict[str, Any]) -> dict[str, Any]:
  """Returns a configuration as version 0.1 wrote it, in the present format but for ``about``."""
  config = {**config, 'format': 1}
  arm = config.get('arm')
  if isinstance(arm, dict) and 'method' in arm:
    config['arm'] = {**_first_arm(arm), 'name': arm['name']}
  return config


def _first_arm(arm: dict[str, Any]) -> dict[str, Any]:
  low, high = arm['low_loss_momentum'], arm['high_loss_momentum']
  match arm['method']:
    case 'lcam' if low == high:
      return Fixed(low).config()
    case 'lcam':
      return Lcam(low, high).config()
    case 'coin':
      # Its share of high phases began otherwise, so that it is no run of today's coin.
      return {**Coin(low, high).config(), 'first_share': 0.5}
    case method:
      own = {key: arm[key] for key in ('learning_rate', 'weight_decay') if arm[key] is not None}
      usual = {known.name: known.config() for known in ADAPTIVE}
      return {**usual.get(method, {'kind': method}), **own}
