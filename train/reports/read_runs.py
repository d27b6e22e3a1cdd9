"""Reads the runs that a directory holds, with their metric."""

import math
import os
import pathlib
from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from train.problem.arms import OTHERS
from train.problem.comparison import Comparison
from train.storage.configuration import OF_A_RUN, differences, read_config, show
from train.storage.tables import (
  SUMS,
  check_unchanged,
  read_metrics,
  read_table,
  run_directories,
  run_directory,
)
from train.storage.tuning import TUNING_FOLDER, TriedRow, read_tuning, tuning_path
from train.system.environment import read_environment
from train.system.errors import DivergedError, UserError
from train.system.statistics import Estimate

Run = dict[str, np.ndarray]
Runs = dict[str, dict[int, Run]]
_NUMBERS = ('train_loss', 'test_loss', 'metric', 'gradient_norm')
_WRONG_ANSWERS = 'test_error_percent'
_MADE_BY_A_RUN = frozenset({'metrics.csv', SUMS})


class Metric(NamedTuple):
  """The metric of a comparison, as its runs record it."""

  column: str  # in metrics.csv
  label: str  # in plots
  higher_is_better: bool = False

  @property
  def name(self) -> str:
    """Its name in sentences."""
    return 'error' if self.column == _WRONG_ANSWERS else self.label.removeprefix('test ')

  @property
  def head(self) -> str:
    """Its name in the head of a table."""
    return 'error %' if self.column == _WRONG_ANSWERS else self.name

  @property
  def unit(self) -> str:
    """The unit of a difference in a sentence."""
    return ' points' if self.column == _WRONG_ANSWERS else ''

  @property
  def axis(self) -> str:
    """Its name at the axis of a plot."""
    return f'{self.label} (higher is better)' if self.higher_is_better else self.label

  def best(self, values: np.ndarray) -> float:
    """Returns the best of some values, without those that are NaN."""
    return float(np.nanmax(values) if self.higher_is_better else np.nanmin(values))

  def spec(self, estimates: Iterable[Estimate]) -> str:
    """Returns the format of numbers: two decimals for wrong answers, else as the estimates need.

    They have four digits of the largest mean, and two of the smallest half-width.
    """
    estimates = list(estimates)
    means, half_widths = (
      [abs(value) for value in values if value and math.isfinite(value)]
      for values in ([one.mean for one in estimates], [one.half_width for one in estimates])
    )
    if self.column == _WRONG_ANSWERS or not means:
      return '.2f'
    largest = math.floor(math.log10(max(means)))
    smallest = math.floor(math.log10(min(half_widths, default=max(means))))
    digits = max(3, min(largest - smallest + 1, 8))
    return f'.{max(digits - largest, 0)}f' if -4 <= largest < 7 else f'.{digits}e'


class FoundRuns(NamedTuple):
  """The runs of one comparison.

  Arms are in the order of a report: baseline, fixed momenta, LCAMs, controls, others.
  """

  runs: Runs  # the columns of metrics.csv and the seconds of timing.csv, by arm and seed
  arms: dict[str, dict[str, Any]]  # the configuration of each arm
  config: dict[str, Any]  # of one of the runs
  environments: list[dict[str, Any]]  # of each run
  remarks: list[str]  # about what the folder holds and the report leaves out
  with_events: bool  # whether TensorBoard has something to show
  tuning: list[TriedRow]  # the points that were tried for the arms, if they are tuned

  @property
  def about(self) -> dict[str, Any]:
    """How the runs are presented, see :func:`train.storage.configuration.run_config`."""
    return self.config['about']

  @property
  def baseline(self) -> str:
    """The name of the arm that the others are compared with."""
    return self.about['baseline']

  @property
  def metric(self) -> Metric:
    """The metric of the comparison."""
    about, higher = self.about, bool(self.config['higher_is_better'])
    return Metric(about['metric_column'], about['metric_label'], higher)

  def judged_epoch(self, arm: str) -> int:
    """Returns the epoch by which an arm is judged: the last one, unless ``tune`` chose another."""
    return self.arms[arm].get('tuned', {}).get('epoch') or self.config['epochs']

  def judged(self, arm: str, seed: int) -> float:
    """Returns the metric of a finished run after the epoch by which its arm is judged."""
    return float(self.runs[arm][seed]['metric'][self.judged_epoch(arm) - 1])

  def seeds(self, arm: str, *outcomes: str) -> list[int]:
    """Returns the seeds of an arm's runs that have one of these outcomes, see :func:`outcome`."""
    epochs = self.config['epochs']
    return [seed for seed, run in self.runs[arm].items() if outcome(run, epochs) in outcomes]


def all_equal(runs: Sequence[Run]) -> bool:
  """Returns whether there are several runs, and all have the same numbers: seeds changed nothing."""
  first, *others = ([run[name].tobytes() for name in _NUMBERS] for run in runs)
  return bool(others) and all(other == first for other in others)


def find_runs(workdir: pathlib.Path) -> dict[pathlib.Path, FoundRuns]:
  """Returns the runs in or below a directory, by the folder of their comparison."""
  folders = set()
  for path, names, files in os.walk(workdir, onerror=_unless_gone):
    inner = pathlib.Path(path).relative_to(workdir).parts
    if len(inner) > 1 and inner[-1].startswith('seed-') and _MADE_BY_A_RUN & {*names, *files}:
      folders.add(workdir.joinpath(*inner[:-2]))
    # Checkpoints are large, and renamed by a run in progress. A tuning is part of its comparison.
    inner = {TUNING_FOLDER} if tuning_path(pathlib.Path(path)).exists() else set()
    names[:] = set(names) - {'checkpoints', *inner}
  found = {folder: runs for folder in sorted(folders) if (runs := _read_runs(folder))}
  if not found:
    raise UserError(
      f'{workdir} holds no runs with a finished epoch: make some with `python -m train run NAME`.'
    )
  return found


def _unless_gone(error: OSError) -> None:
  """Raises an error about a folder, unless a run in progress has removed the folder."""
  if not isinstance(error, FileNotFoundError):
    raise error


def _read_runs(folder: pathlib.Path) -> FoundRuns | None:
  runs: Runs = {}
  configs: dict[pathlib.Path, dict[str, Any]] = {}
  directories = run_directories(folder)
  remarks = [
    f'{path.relative_to(folder)} is left out: its name is not that of a run, as seed-0 is.'
    for path in sorted(folder.glob('*/seed-*/'))
    if path not in directories and _MADE_BY_A_RUN & set(os.listdir(path))
  ]
  for directory, (arm, seed) in directories.items():
    if not _MADE_BY_A_RUN & set(os.listdir(directory)):
      continue
    check_unchanged(directory)
    config = read_config(directory)
    if not config:
      raise UserError(
        f'{directory / "config.json"} is missing or damaged: delete it if it is there and run the '
        'experiment again, which writes it anew, or move the folder of that run elsewhere.'
      )
    if (config['arm']['name'], config['seed']) != (arm, seed):
      remarks.append(
        f'{directory.relative_to(folder)} is left out: its config.json is that of another run.'
      )
      continue
    run = read_metrics(directory, config['about']['metric_column'])
    if not len(run['epoch']):
      continue
    run |= read_table(directory / 'timing.csv', ['seconds'])
    runs.setdefault(arm, {})[seed] = run
    configs[directory] = config
  if not runs:
    return None
  _check_comparable(folder, configs)
  config = next(iter(configs.values()))
  arms = {path.parent.name: config['arm'] for path, config in configs.items()}
  order = sorted(arms, key=lambda arm: _position(arm, arms[arm], config['about']['baseline']))
  return FoundRuns(
    runs={arm: dict(sorted(runs[arm].items())) for arm in order},
    arms={arm: arms[arm] for arm in order},
    config=config,
    environments=[read_environment(directory) for directory in configs],
    remarks=remarks,
    with_events=any(folder.glob('*/seed-*/events.*')),
    tuning=read_tuning(folder),
  )


def _check_comparable(folder: pathlib.Path, configs: dict[pathlib.Path, dict[str, Any]]) -> None:
  """Raises a ``UserError`` if runs differ in more than the arm and the seed."""
  first = next(iter(configs))
  first_of: dict[str, pathlib.Path] = {}
  for path, config in configs.items():
    first_of_arm = first_of.setdefault(path.parent.name, path)
    for other, besides in ((first, OF_A_RUN), (first_of_arm, ('seed', 'partner_seed'))):
      differing = differences(configs[other], config, besides)
      if differing:
        words = '; '.join(f'{name}, {show(was)} or {show(now)}' for name, was, now in differing)
        raise UserError(
          f'{folder} holds runs that differ in {words} ({other.relative_to(folder)} and '
          f'{path.relative_to(folder)}): they are not comparable, so move one kind to another folder.'
        )


def _position(name: str, arm: dict[str, Any], baseline: str) -> tuple:
  """Returns the sort key of an arm; an LCAM with the higher momentum in the high phase is first."""
  kinds = (
    'fixed',
    'lcam',
    'yoked',
    'coin',
    'weighted',
    *dict.fromkeys(other.kind for other in OTHERS),
  )
  rank = kinds.index(arm['kind']) if arm['kind'] in kinds else len(kinds)
  low, high = arm.get('low_loss_momentum', 0.0), arm.get('high_loss_momentum', 0.0)
  return name != baseline, rank, low > high, min(low, high), max(low, high), name


def outcome(run: Run, epochs: int) -> Literal['finished', 'diverged', 'not finite', 'unfinished']:
  """Returns how a run ended.

  A run whose training loss is NaN or infinite diverged, and was stopped. One whose last test loss or
  metric is not finite has no result either.
  """
  if not np.isfinite(run['train_loss'][-1]):
    return 'diverged'
  if len(run['epoch']) < epochs:
    return 'unfinished'
  is_finite = np.isfinite([run['test_loss'][-1], run['metric'][-1]]).all()
  return 'finished' if is_finite else 'not finite'


def check_results(comparison: Comparison, folder: pathlib.Path) -> None:
  """Raises a ``UserError`` if no run of a comparison that was trained has a result."""
  runs = [
    read_metrics(directory, comparison.metric_column)
    for arm in comparison.arms
    for seed in comparison.seeds
    if ((directory := run_directory(folder, arm.name, seed)) / 'metrics.csv').exists()
  ]
  outcomes = {outcome(run, comparison.epochs) for run in runs if len(run['epoch'])}
  if outcomes == {'not finite'}:
    raise UserError(
      f'The test loss or {comparison.metric_label} of all runs of {comparison.name} is NaN or infinite, '
      'and there is no result: check the metric, and the test data that it divides by, for example.'
    )
  if outcomes and outcomes <= {'diverged', 'not finite'}:
    raise DivergedError(
      f'All runs of {comparison.name} diverged, as said above, and there is no result: if neither data '
      'nor network are at fault, try a lower learning rate or other momenta, in another --workdir.'
    )
