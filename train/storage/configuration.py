"""What a run is, as config.json says it, and how runs are told apart.

The configuration is compared when a run goes on. How it is presented stands
apart there, under ``about``, and is not compared.
"""

import json
import pathlib
from collections.abc import Iterable, Mapping
from types import UnionType
from typing import Any

from train.problem.arms import ADAPTIVE, Arm, Coin, Fixed, Lcam
from train.problem.comparison import Comparison
from train.problem.own_code import fingerprint
from train.system.errors import UserError
from train.system.files import read_object, write_whole

FORMAT = 2
# Fields that came later, with the value that runs had before.
_DEFAULTS: dict[str, Any] = {
  'loss': 'cross_entropy',
  'metric': 'wrong_answer',
  'partner_seed': None,
  'data_sha256': None,
}
# Every field, with the types that it may have.
_KINDS: dict[str, type | UnionType] = {
  'format': int,
  'experiment': str,
  'part': str,
  'dataset': str,
  'data_sha256': str | None,
  'network': dict,
  'loss': str,
  'metric': str,
  'schedule': dict,
  'epochs': int,
  'batch_size': int,
  'weight_decay': float | int,
  'rule': str,
  'train_examples': int | None,
  'dtype': str,
  'arm': dict,
  'seed': int,
  'partner_seed': int | None,
  'about': dict,
}
_KINDS_OF_ARM = {
  'kind': str,
  'name': str,
  'low_loss_momentum': float | int,
  'high_loss_momentum': float | int,
}
_NOT_COMPARED = ('format', 'about')
_OF_A_RUN = ('arm', 'seed', 'partner_seed')
# What it means that a digest differs.
_MEANINGS = {
  'code_sha256': ': its code, or what it uses of your own, has changed',
  'data_sha256': ': the data have changed',
  'pretrained_sha256': ': the file of weights is another',
}


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
  """Returns the configuration of a run, in the present format; empty if missing or damaged.

  One of another version may lack fields, or have more of them.
  """
  config = read_object(directory / 'config.json')
  if not (
    config and _has_kinds(config, _KINDS) and _has_kinds(config.get('arm', {}), _KINDS_OF_ARM)
  ):
    return {}
  if 'format' in config:
    return config
  try:
    return _from_first_format(config)
  except (KeyError, TypeError, UserError):
    return {}


def _has_kinds(fields: Mapping[str, Any], kinds: Mapping[str, type | UnionType]) -> bool:
  return all(isinstance(fields[name], kind) for name, kind in kinds.items() if name in fields)


def what_it_is(config: Mapping[str, Any]) -> dict[str, Any]:
  """Returns the part of a configuration that determines the numbers of a run."""
  return {key: value for key, value in config.items() if key not in _NOT_COMPARED}


def check_config(directory: pathlib.Path, config: Mapping[str, Any]) -> None:
  """Raises a ``UserError`` that names the differing fields if a directory has another config."""
  if not (directory / 'config.json').exists():
    return
  found = read_config(directory)
  if not found:
    raise UserError(
      f'In {directory} config.json was damaged: delete it, and the run goes on if its checkpoint is of '
      'this configuration; or choose another --workdir.'
    )
  check_same_run(directory, found, config)


def check_same_run(
  directory: pathlib.Path, found: Mapping[str, Any], config: Mapping[str, Any]
) -> None:
  """Raises a ``UserError`` that names the differing fields if two configurations differ.

  Args:
    directory: Where the run is recorded.
    found: What is recorded there.
    config: What the run is to be.
  """
  _refuse(directory, _differences(what_it_is(found), what_it_is(config)))


def check_shared_config(directories: Iterable[pathlib.Path], config: Mapping[str, Any]) -> None:
  """Raises a ``UserError`` if there are runs that cannot be compared with this one.

  They differ in more than the arm and the seed, and a report would set them against each other.

  Args:
    directories: Of the runs of a working directory.
    config: The configuration of a run that is to be added.
  """
  for directory in directories:
    if found := read_config(directory):  # what cannot be read is told where it is needed
      _refuse(directory, shared_differences(found, config))


def shared_differences(
  found: Mapping[str, Any], config: Mapping[str, Any]
) -> list[tuple[str, Any, Any]]:
  """Returns in what runs of two configurations differ beside the arm and the seed.

  Args:
    found: The configuration of one.
    config: That of the other.

  Returns:
    Name, value found, and the other value.
  """
  found, config = (
    {key: value for key, value in what_it_is(one).items() if key not in _OF_A_RUN}
    for one in (found, config)
  )
  return list(_differences(found, config))


def unknown_fields(config: Mapping[str, Any]) -> list[str]:
  """Returns the names in a configuration that this version does not know, as of a newer one."""
  return sorted(config.keys() - _KINDS.keys())


def _refuse(directory: pathlib.Path, differing: Iterable[tuple[str, Any, Any]]) -> None:
  words = [
    f'{name} was {show(was)}, is {show(now)}{_MEANINGS.get(name.rpartition(".")[2], "")}'
    for name, was, now in differing
  ]
  if words:
    raise UserError(
      f'{directory} holds a run of another configuration ({"; ".join(words)}): choose another '
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


def show(value: Any) -> str:
  """Returns a value of a configuration as a sentence names it, short."""
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
