"""Reads the runs that a directory holds."""

import os
import pathlib
from typing import Any, Literal, NamedTuple

import numpy as np

from train.problem.arms import OTHERS, arm_of_name
from train.problem.comparison import Comparison
from train.reports.metric import Metric
from train.reports.presentation import presentation, setting
from train.storage.configuration import read_config, shared_differences, show, unknown_fields
from train.storage.locks import has_writer
from train.storage.tables import (
  SUMS,
  changed_files,
  check_unchanged,
  metrics_columns,
  read_table,
  run_directories,
  run_directory,
)
from train.system.environment import read_environment
from train.system.errors import DivergedError, UserError

METRIC = 'metric'  # the column of the metric, whatever metrics.csv calls it
Run = dict[str, np.ndarray]
Runs = dict[str, dict[int, Run]]
_MADE_BY_A_RUN = frozenset({'metrics.csv', SUMS})


class FoundRuns(NamedTuple):
  """The runs of one comparison.

  Attributes:
    runs: From arm and seed to the columns of metrics.csv, the metric in the column ``METRIC``, and
      the column ``seconds`` of timing.csv.
    arms: From arm to its configuration, in the order of a report: baseline, fixed momenta, LCAMs,
      controls, others. It is what the name says where there is none, empty if that is nothing.
    config: The configuration of one of the runs; empty if they have none.
    about: How they are presented, see :func:`train.reports.presentation.presentation`.
    epochs: How many epochs a finished run has.
    environments: Of each run.
    differing: From what should be the same for all runs, but is not recorded of some, to what it is.
    remarks: Sentences about what the folder holds and the report leaves out.
    with_events: Whether TensorBoard has something to show.
  """

  runs: Runs
  arms: dict[str, dict[str, Any]]
  config: dict[str, Any]
  about: dict[str, Any]
  epochs: int
  environments: list[dict[str, Any]]
  differing: dict[str, list[str]]
  remarks: list[str]
  with_events: bool

  @property
  def baseline(self) -> str:
    """The name of the arm that the others are set against."""
    return self.about['baseline']

  @property
  def metric(self) -> Metric:
    """What the runs are judged by."""
    return Metric(self.about['metric_column'], self.about['metric_label'])


def find_runs(workdir: pathlib.Path) -> dict[pathlib.Path, FoundRuns]:
  """Returns the runs below a directory, by the folder of their comparison.

  Args:
    workdir: Holds ``<arm>/seed-<n>/metrics.csv``, itself or in folders at any depth.

  Raises:
    UserError: If there is no run with at least one epoch, files of a run are not what it wrote, or
      runs beside each other cannot be compared.
  """
  folders = set()
  for path, names, files in os.walk(workdir, onerror=_unless_gone):
    inner = pathlib.Path(path).relative_to(workdir).parts
    if len(inner) > 1 and inner[-1].startswith('seed-') and _MADE_BY_A_RUN & {*names, *files}:
      folders.add(workdir.joinpath(*inner[:-2]))
    names[:] = set(names) - {'checkpoints'}  # large, and renamed by a training that goes on
  found = {folder: runs for folder in sorted(folders) if (runs := _read_runs(folder))}
  if not found:
    raise UserError(
      f'{workdir} holds no runs with a finished epoch: make some with `python -m train run NAME`.'
    )
  return found


def _unless_gone(error: OSError) -> None:
  """Raises what went wrong with a folder, unless a training that goes on has removed it."""
  if not isinstance(error, FileNotFoundError):
    raise error


def _read_runs(folder: pathlib.Path) -> FoundRuns | None:
  runs: Runs = {}
  arms, configs, environments = {}, {}, []
  directories = run_directories(folder)
  remarks = [
    f'{path.relative_to(folder)} is left out: its name is not that of a run, as seed-0 is.'
    for path in sorted(folder.glob('*/seed-*/'))
    if path not in directories and _MADE_BY_A_RUN & set(os.listdir(path))
  ]
  for directory, (arm, seed) in directories.items():
    if not _MADE_BY_A_RUN & set(os.listdir(directory)):
      continue
    _check_unchanged(directory)
    config = read_config(directory)
    if not _is_of(arm, seed, config):
      remarks.append(
        f'{directory.relative_to(folder)} is left out: its config.json is that of another run.'
      )
      continue
    about = presentation(config, folder)
    columns = metrics_columns(about['metric_column'])
    run = read_table(directory / 'metrics.csv', columns)
    if not len(run['epoch']):
      continue
    run |= read_table(directory / 'timing.csv', ['seconds'])
    run[METRIC] = run.pop(about['metric_column'])
    runs.setdefault(arm, {})[seed] = run
    arms[arm] = _arm_config(arm, config)
    configs[directory] = config, about
    environments.append(read_environment(directory))
  if not runs:
    return None
  _check_comparable(folder, {path: config for path, (config, _) in configs.items()})
  unknown = {name for config, _ in configs.values() for name in unknown_fields(config)}
  if unknown:
    names = ', '.join(sorted(unknown))
    remarks.append(
      f'config.json says {names}, which this version does not know: what it means is not reported.'
    )
  config, about = next((pair for pair in configs.values() if pair[0]), next(iter(configs.values())))
  order = sorted(arms, key=lambda arm: _position(arm, arms[arm], about['baseline']))
  longest = max(len(run['epoch']) for seeds in runs.values() for run in seeds.values())
  return FoundRuns(
    runs={arm: dict(sorted(runs[arm].items())) for arm in order},
    arms={arm: arms[arm] for arm in order},
    config=config,
    about=about,
    epochs=config.get('epochs') or longest,
    environments=environments,
    differing=_differing([setting(*pair) for pair in configs.values()]),
    remarks=remarks,
    with_events=any(folder.glob('*/seed-*/events.*')),
  )


def _check_unchanged(directory: pathlib.Path) -> None:
  """Raises a ``UserError`` if files of a run are not what it wrote; one that is being written may."""
  if changed_files(directory) and not has_writer(directory):
    check_unchanged(directory)


def _is_of(arm: str, seed: int, config: dict[str, Any]) -> bool:
  """Returns whether a configuration is that of an arm and a seed, as far as it says."""
  name = config.get('arm', {}).get('name', arm)
  return (name, config.get('seed', seed)) == (arm, seed)


def _check_comparable(folder: pathlib.Path, configs: dict[pathlib.Path, dict[str, Any]]) -> None:
  """Raises a ``UserError`` if runs differ in more than the arm and the seed.

  What is not recorded of one of them is left to the sentences of the report.
  """
  recorded = {path: config for path, config in configs.items() if config}
  first_of: dict[str, pathlib.Path] = {}
  for path, config in recorded.items():
    for other in (next(iter(recorded)), first_of.setdefault(path.parent.name, path)):
      differing = _recorded_differences(recorded[other], config, path.parent == other.parent)
      if differing:
        raise UserError(
          f'{folder} holds runs that differ in {"; ".join(differing)} ({other.relative_to(folder)} '
          f'and {path.relative_to(folder)}): they are not comparable, so move one kind to another '
          'folder.'
        )


def _recorded_differences(one: dict[str, Any], other: dict[str, Any], same_arm: bool) -> list[str]:
  differing = shared_differences(one, other)
  if same_arm and one.get('arm') != other.get('arm'):
    differing.append(('arm', one.get('arm'), other.get('arm')))
  return [
    f'{name}, {show(was)} or {show(now)}'
    for name, was, now in differing
    if all(name.partition('.')[0] in config for config in (one, other))
  ]


def _arm_config(name: str, config: dict[str, Any]) -> dict[str, Any]:
  if 'arm' in config:
    return config['arm']
  try:
    return arm_of_name(name).config()
  except UserError:  # a directory that is named otherwise
    return {}


def _position(name: str, arm: dict[str, Any], baseline: str) -> tuple:
  """Returns what arms are sorted by; an LCAM has its higher momentum in the high phase first."""
  kinds = ('fixed', 'lcam', 'yoked', 'coin', *dict.fromkeys(other.kind for other in OTHERS))
  kind = arm.get('kind')
  rank = kinds.index(kind) if kind in kinds else len(kinds)
  low, high = arm.get('low_loss_momentum', 0.0), arm.get('high_loss_momentum', 0.0)
  return name != baseline, rank, low > high, min(low, high), max(low, high), name


def _differing(settings: list[dict[str, str]]) -> dict[str, list[str]]:
  by_name = {name: list(dict.fromkeys(words[name] for words in settings)) for name in settings[0]}
  return {name: values for name, values in by_name.items() if len(values) > 1}


def outcome(run: Run, epochs: int) -> Literal['finished', 'diverged', 'unfinished']:
  """Returns how a run ended.

  A run whose training loss is NaN or infinite was stopped. One that came to its last epoch with a
  test loss or metric that is NaN or infinite has no result either.
  """
  if not np.isfinite(run['train_loss'][-1]):
    return 'diverged'
  if len(run['epoch']) < epochs:
    return 'unfinished'
  return 'finished' if np.isfinite([run['test_loss'][-1], run[METRIC][-1]]).all() else 'diverged'


def finished_runs(found: FoundRuns) -> Runs:
  """Returns the runs that have a result, by arm and seed; an arm may have none."""
  return {
    arm: {seed: run for seed, run in seeds.items() if outcome(run, found.epochs) == 'finished'}
    for arm, seeds in found.runs.items()
  }


def last_values(found: FoundRuns) -> dict[str, dict[int, float]]:
  """Returns the metric after the last epoch of the finished runs, by arm and seed."""
  return {
    arm: {seed: float(run[METRIC][-1]) for seed, run in seeds.items()}
    for arm, seeds in finished_runs(found).items()
  }


def check_results(comparison: Comparison, folder: pathlib.Path) -> None:
  """Raises a ``DivergedError`` if all runs of a comparison that were trained diverged.

  Args:
    comparison: The comparison.
    folder: Where its runs are.
  """
  outcomes = []
  for arm in comparison.arms:
    for seed in comparison.seeds:
      path = run_directory(folder, arm.name, seed) / 'metrics.csv'
      if path.exists():
        run = read_table(path, metrics_columns(comparison.metric_column))
        run[METRIC] = run[comparison.metric_column]
        outcomes += [outcome(run, comparison.epochs)] if len(run['epoch']) else []
  if outcomes and all(how == 'diverged' for how in outcomes):
    raise DivergedError(
      f'All runs of {comparison.name} diverged, and there is no result: try a lower learning rate or '
      'other momenta, in another --workdir.'
    )
