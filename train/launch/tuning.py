"""Tunes the arms of a comparison: trains points on validation data, and picks the best ones."""

import functools
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import numpy as np

from train.problem.tuning import (
  Point,
  Search,
  Stage,
  Tried,
  Tuned,
  Tuning,
  best,
  is_at_edge,
  tuned_arms,
)
from train.reports.files import write_csv
from train.storage.configuration import check_stage, read_config
from train.storage.tables import has_ended, read_metrics, run_directories, run_directory
from train.storage.tuning import TUNING_FOLDER, TriedRow, tuning_path
from train.system import processes
from train.system.environment import read_environment
from train.system.errors import DivergedError, UserError
from train.system.statistics import estimate

_SEEDS_TOGETHER, _SEEDS_ALONE = range(100), range(5)  # that the tuned arms are tested with


def tune_arms(
  search: Search,
  folder: pathlib.Path,
  epoch: Literal['last', 'best'],
  train: Callable[[pathlib.Path, Stage], None],
  say: Callable[[str], None],
) -> list[Tuned]:
  """Returns the arms of a comparison, tuned on validation data; writes tuning.csv.

  Args:
    search: Where the numbers are looked for.
    folder: The folder of the comparison; the runs of the tuning lie in one of its folders.
    epoch: Whether the last epoch of a run is judged, or the best one.
    train: Trains a stage of the comparison in a folder, unless it was trained before.
    say: Prints a sentence.

  Raises:
    UserError: If an arm has no result at any point.
  """
  search.check()
  processes.from_first(functools.partial(_check_untouched, folder))
  tunings = search.tunings()
  tried: dict[Tuning, list[Tried]] = {tuning: [] for tuning in tunings}

  def try_all(points: Mapping[Tuning, Sequence[Point]]) -> None:
    arms = [point.arm for of_tuning in points.values() for point in of_tuning]
    train(folder / TUNING_FOLDER, Stage.with_arms('tuning', arms, search.tuning_seeds))
    for tuning in tunings:
      tried[tuning] += _judged(search, points[tuning], folder / TUNING_FOLDER, epoch)
      if not np.isfinite(best(tried[tuning]).mean):
        raise DivergedError(
          f'{tuning.name} has no result at any of its points: all diverged. Choose a lower learning '
          'rate, which is the middle of the range, and another --workdir.'
        )

  try_all({tuning: search.first_points(tuning) for tuning in tunings})
  picks = {tuning: best(tried[tuning]).point for tuning in tunings}
  if at_edge := [tuning.name for tuning, point in picks.items() if is_at_edge(point)]:
    say(
      f'The best learning rate of {", ".join(at_edge)} lies at the edge of its range, which is widened '
      'there; every arm gets as many points again.'
    )
    try_all({tuning: search.further_points(tuning, point) for tuning, point in picks.items()})
  arms = list(tuned_arms(search, tried))
  if processes.is_first():
    picked = {pick.point for _, pick in arms}
    rows = [
      _row(one, is_at_edge(one.point, [other.point for other in of_tuning]), one.point in picked)
      for of_tuning in tried.values()
      for one in of_tuning
    ]
    write_csv(tuning_path(folder), TriedRow._fields, rows)
  return [arm for arm, _ in arms]


def _check_untouched(folder: pathlib.Path) -> None:
  """Raises a ``UserError`` if a folder holds runs that were not tuned, before anything is trained."""
  for directory in run_directories(folder):
    if found := read_config(directory):
      check_stage(directory, found, 'tuned')


def default_seeds(folder: pathlib.Path) -> range:
  """Returns the seeds to test tuned arms with: more if the runs of the tuning were trained at once."""

  def at_once() -> bool:
    tuning = folder / TUNING_FOLDER
    return any('together' in read_environment(path) for path in tuning.glob('*/seed-*'))

  return _SEEDS_TOGETHER if processes.from_first(at_once) else _SEEDS_ALONE


def _judged(
  search: Search, points: Sequence[Point], folder: pathlib.Path, epoch: Literal['last', 'best']
) -> list[Tried]:
  """Returns what validation data say about points, as process 0 reads it."""
  comparison, higher = search.comparison, search.comparison.metric.higher_is_better

  def judged(point: Point) -> tuple[int, list[float], float]:
    """Returns the epoch, the metric of each seed after it, and the mean loss."""
    # Of a run that diverged, epochs are missing.
    table = np.full((2, search.seeds, comparison.epochs), np.inf)
    for row, seed in enumerate(search.tuning_seeds):
      directory = run_directory(folder, point.arm.name, seed)
      if not has_ended(directory):
        raise UserError(f'{directory} has not ended: run the same command again.')
      columns = read_metrics(directory, comparison.metric_column)
      for values, name in zip(table[:, row], ('metric', 'test_loss'), strict=True):
        found = columns[name]
        values[: len(found)] = np.where(np.isfinite(found), found, np.inf)
    metric, loss = table
    if higher:  # what is infinite is the worst
      metric = np.where(np.isfinite(metric), metric, -np.inf)
    best_epoch = int((-metric if higher else metric).mean(0).argmin()) + 1
    after = comparison.epochs if epoch == 'last' else best_epoch
    return after, metric[:, after - 1].tolist(), float(loss[:, after - 1].mean())

  found = processes.from_first(lambda: [judged(point) for point in points])
  return [
    Tried(point, after, tuple(values), loss, higher)
    for point, (after, values, loss) in zip(points, found, strict=True)
  ]


def _row(one: Tried, at_edge: bool, picked: bool) -> TriedRow:
  point, tuning = one.point, one.point.tuning
  ended = [value for value in one.values if np.isfinite(value)]
  half_width = estimate(np.array(ended)).half_width if len(ended) == len(one.values) else np.inf
  return TriedRow(
    arm=tuning.answers,
    tuning=tuning.name,
    point=point.index,
    effective_rate=point.effective_rate,
    **point.numbers._asdict(),
    epoch=one.epoch,
    metric=one.mean,
    half_width=half_width,
    seeds=len(one.values),
    diverged=len(one.values) - len(ended),
    at_edge=int(at_edge),
    picked=int(picked),
  )
