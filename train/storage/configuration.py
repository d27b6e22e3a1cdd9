"""The configuration of a run, config.json, and how two of them are compared.

Everything in it determines the numbers of the run, except ``about``: how reports present the run.
"""

import json
import pathlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

import jax

from train.problem.arms import Arm
from train.problem.comparison import Comparison
from train.problem.own_code import explain_errors
from train.system.errors import UserError
from train.system.files import read_object, write_whole

# The type of each field; an arm has further fields that depend on its kind.
_TYPES: dict[str, Any] = {
  **dict.fromkeys(('experiment', 'part', 'dataset', 'loss', 'metric', 'rule', 'dtype'), str),
  **dict.fromkeys(('network', 'schedule', 'arm'), dict),
  **dict.fromkeys(('epochs', 'batch_size', 'seed'), int),
  **dict.fromkeys(('train_examples', 'partner_seed'), int | None),
  'data_sha256': str | None,
  'weight_decay_of': str | None,
  'stage': str | None,
  'higher_is_better': bool | None,  # null, too, if lower is
  'program': dict | None,
  'weight_decay': float | int,
  'about': {
    **dict.fromkeys(('title', 'network', 'schedule', 'baseline', 'reported'), str),
    **dict.fromkeys(('metric_column', 'metric_label', 'published_network'), str),
    'curves': list | None,
    'code_sha256': str | None,
  },
}
_MOMENTA = ('momentum', 'low_loss_momentum', 'high_loss_momentum')
OF_A_RUN = ('arm', 'seed', 'partner_seed')
# Why a digest differs.
_MEANINGS = {
  'program.sha256': ': what your code computes has changed',
  'program.code_sha256': ': your code has changed',
  'data_sha256': ': the data have changed',
  'pretrained_sha256': ': the file of weights has changed',
}


def run_config(
  comparison: Comparison,
  arm: Arm,
  seed: int,
  *,
  dataset: str,
  partner_seed: int | None = None,
  data_sha256: str | None = None,
  program_sha256: str | None = None,
) -> dict[str, Any]:
  """Returns the configuration of a run, as JSON-able values.

  A yoked run replays the phases of ``partner_seed``. The digests are those of data that the user's
  own code makes, and of what it computes.

  Raises:
    UserError: If it cannot be kept in a file, because of a field of the user's arm or schedule.
  """
  with explain_errors(f'`config` of the schedule or the arm {arm.name}'):
    of_schedule, of_arm = dict(comparison.schedule.config()), dict(arm.config())
  of = comparison.weight_decay_of
  config = {
    'experiment': comparison.experiment,
    'part': comparison.name,
    'dataset': dataset,
    'data_sha256': data_sha256,
    'program': program_sha256 and {'sha256': program_sha256, 'jax': jax.__version__},
    'network': comparison.network.config(),
    'loss': comparison.loss.__name__,
    'metric': comparison.metric.name,
    'higher_is_better': comparison.metric.higher_is_better or None,
    'schedule': of_schedule,
    'epochs': comparison.epochs,
    'batch_size': comparison.batch_size,
    'weight_decay': comparison.weight_decay,
    'weight_decay_of': of and getattr(of, '__name__', type(of).__name__),
    'rule': comparison.rule,
    'train_examples': comparison.train_examples,
    'dtype': comparison.dtype,
    'stage': comparison.stage or None,
    'arm': of_arm,
    'seed': seed,
    'partner_seed': partner_seed,
    'about': {
      'title': comparison.title,
      'network': comparison.network.describe(),
      'schedule': comparison.schedule_words,
      'baseline': comparison.baseline,
      'metric_column': comparison.metric_column,
      'metric_label': comparison.metric_label,
      'reported': comparison.about.reported,
      'published_network': comparison.about.published_network,
      'curves': comparison.about.curves,
      'code_sha256': comparison.code_sha256,
    },
  }
  try:
    config = json.loads(json.dumps(config, default=_as_json))
  except (TypeError, ValueError) as error:
    raise UserError(
      f'config.json cannot hold the schedule or the arm {arm.name} ({error}): define `config` without '
      'what JSON has not.'
    ) from error
  if wrong := _misfits(config):
    raise UserError(
      f'The comparison gives {wrong[0]} in config.json the wrong type: change its value.'
    )
  return config


def _as_json(value: Any) -> Any:
  """Returns a number of NumPy's as Python's, and the name of a function, which has a digest."""
  return (
    value.tolist() if hasattr(value, 'tolist') else getattr(value, '__name__', str(type(value)))
  )


def write_config(directory: pathlib.Path, config: Mapping[str, Any]) -> None:
  """Writes config.json of a run, whole or not at all."""
  write_whole(directory / 'config.json', json.dumps(config, indent=2) + '\n')


def read_config(directory: pathlib.Path) -> dict[str, Any]:
  """Returns the configuration of a run; empty if config.json is missing or damaged."""
  config = read_object(directory / 'config.json')
  return {} if _misfits(config) else {**config, **{name: config.get(name) for name in _TYPES}}


def _misfits(config: Mapping[str, Any]) -> list[str]:
  """Returns the paths of unknown fields, and of those whose type is wrong."""

  def nested(values: Mapping[str, Any], kinds: Mapping[str, Any], prefix: str) -> Iterator[str]:
    for name, kind in kinds.items():
      value, path = values.get(name), f'{prefix}{name}'
      if isinstance(kind, dict) and isinstance(value, dict):
        yield from (f'{path}.{unknown}' for unknown in value.keys() - kind.keys())
        yield from nested(value, kind, f'{path}.')
      elif not isinstance(value, dict if isinstance(kind, dict) else kind):
        yield path

  found = [*(config.keys() - _TYPES.keys()), *nested(config, _TYPES, '')]
  if found:
    return found
  momenta = dict.fromkeys(config['arm'].keys() & set(_MOMENTA), float | int)
  return list(nested(config['arm'], {'name': str, 'kind': str, **momenta}, 'arm.'))


def check_config(directory: pathlib.Path, config: Mapping[str, Any]) -> None:
  """Raises a ``UserError`` that names the differing fields if a directory has another config."""
  if not (directory / 'config.json').exists():
    return
  found = read_config(directory)
  if not found:
    raise UserError(
      f'{directory / "config.json"} is damaged: delete it, and the run goes on if its checkpoint is '
      'of this configuration; or choose another --workdir.'
    )
  check_same_run(directory, found, config)


def check_shared_config(directories: Iterable[pathlib.Path], config: Mapping[str, Any]) -> None:
  """Raises a ``UserError`` if a run differs from those in a directory in more than arm and seed."""
  for directory in directories:
    if found := read_config(directory):  # a damaged one is reported where it is needed
      check_same_run(directory, found, config, besides=OF_A_RUN)


def check_same_run(
  directory: pathlib.Path,
  found: Mapping[str, Any],
  config: Mapping[str, Any],
  besides: Collection[str] = (),
) -> None:
  """Raises a ``UserError`` that names the differing fields if a recorded configuration differs."""
  check_stage(directory, found, config.get('stage'))
  words = [
    f'{name} was {show(was)}, is {show(now)}{_meaning(name, found, config)}'
    for name, was, now in differences(found, config, besides)
  ]
  if words:
    raise UserError(
      f'{directory} holds a run of another configuration ({"; ".join(words)}): choose another '
      '--workdir.'
    )


def check_stage(directory: pathlib.Path, found: Mapping[str, Any], stage: str | None) -> None:
  """Raises a ``UserError`` if a recorded configuration is that of another stage of tuning."""
  if found.get('stage') != stage:
    made = {None: 'was not tuned', 'tuned': 'was tuned', 'tuning': 'is part of a tuning'}
    raise UserError(
      f'{directory} holds a run that {made.get(found.get("stage"), "is of another kind")}: choose another '
      '--workdir.'
    )


def _meaning(name: str, found: Mapping[str, Any], config: Mapping[str, Any]) -> str:
  """Returns words about why a field differs."""
  meaning = _MEANINGS.get(name, _MEANINGS.get(name.rpartition('.')[2], ''))
  if name == 'program.sha256' and _code(found) == _code(config):
    meaning += (
      ', though its file has not: a value, a file that it reads, code that it imports, or a setting '
      "of JAX's has, or it draws numbers without `rngs`"
    )
  return meaning


def _code(config: Mapping[str, Any]) -> str | None:
  return config.get('about', {}).get('code_sha256')


def compared_fields(config: Mapping[str, Any], besides: Collection[str] = ()) -> dict[str, Any]:
  """Returns the part of a configuration that determines the numbers of a run."""
  return {key: value for key, value in config.items() if key not in ('about', *besides)}


def differences(
  found: Mapping[str, Any], config: Mapping[str, Any], besides: Collection[str] = ()
) -> list[tuple[str, Any, Any]]:
  """Returns path, first and second value of each compared field that differs; None if missing."""

  def nested(found: Mapping, config: Mapping, prefix: str) -> Iterator[tuple[str, Any, Any]]:
    for key in {**found, **config}:
      was, now = found.get(key), config.get(key)
      if isinstance(was, dict) and isinstance(now, dict):
        yield from nested(was, now, f'{prefix}{key}.')
      elif was != now and repr(was) != repr(now):  # a NaN differs from itself
        yield f'{prefix}{key}', was, now

  programs = found.get('program'), config.get('program')
  if all(programs) and len({program.get('jax') for program in programs}) > 1:
    # Programs of two versions of JAX cannot be compared. Without `about`, as in a checkpoint, neither
    # can the code.
    codes = {'code_sha256': _code(found)}, {'code_sha256': _code(config)}
    one, other = codes if all(code['code_sha256'] for code in codes) else ({}, {})
    found, config = {**found, 'program': one}, {**config, 'program': other}
  return list(nested(compared_fields(found, besides), compared_fields(config, besides), ''))


def show(value: Any) -> str:
  """Returns a value of a configuration as text of at most 60 characters."""
  text = str(value)
  return text if len(text) <= 60 else f'{text[:57]}...'
