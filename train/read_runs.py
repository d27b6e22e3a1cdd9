"""Reads the runs that a directory holds."""

import os
import pathlib
from typing import Any, NamedTuple

import numpy as np

from train.errors import UserError
from train.experiments import BASELINE, EXPERIMENTS, Part
from train.records import EpochRecord, read_config, read_table

Runs = dict[str, dict[int, dict[str, np.ndarray]]]


class RunsOfPart(NamedTuple):
  """The runs of one part.

  Attributes:
    runs: From arm and seed to the columns of metrics.csv, and the column ``seconds`` of timing.csv.
    part: The part that the runs are of; None if they do not say.
    config: The configuration of one of them.
    epochs: How many epochs a finished run has.
  """

  runs: Runs
  part: Part | None
  config: dict[str, Any]
  epochs: int


def find_runs(workdir: pathlib.Path) -> dict[pathlib.Path, RunsOfPart]:
  """Returns the runs below a directory, by the folder of their part.

  Args:
    workdir: Holds ``<arm>/seed-<n>/metrics.csv``, itself or in folders at any depth.

  Raises:
    UserError: If there is no run with at least one epoch, or a table is damaged.
  """
  folders = set()
  for path, names, files in os.walk(workdir):
    names[:] = set(names) - {'checkpoints'}  # large, and renamed by a training that goes on
    inner = pathlib.Path(path).relative_to(workdir).parts
    if len(inner) > 1 and inner[-1].startswith('seed-') and 'metrics.csv' in files:
      folders.add(workdir.joinpath(*inner[:-2]))
  found = {folder: read_runs(folder) for folder in sorted(folders)}
  found = {folder: part for folder, part in found.items() if part.runs}
  if not found:
    raise UserError(
      f'{workdir} holds no runs with a finished epoch: make some with `python -m train run NAME`.'
    )
  return found


def read_runs(folder: pathlib.Path) -> RunsOfPart:
  """Reads the runs of one part, its arms in the order of the experiment.

  Args:
    folder: Holds ``<arm>/seed-<n>/metrics.csv``.

  Raises:
    UserError: If a table is damaged.
  """
  runs: Runs = {}
  config: dict[str, Any] = {}
  for path in sorted(folder.glob('*/seed-*/metrics.csv')):
    columns = read_table(path, EpochRecord._fields)
    if len(columns['epoch']):
      columns |= read_table(path.with_name('timing.csv'), ['seconds'])
      runs.setdefault(path.parts[-3], {})[int(path.parts[-2].removeprefix('seed-'))] = columns
      config = config or read_config(path.parent)
  parts = EXPERIMENTS.get(config.get('experiment', ''), ())
  part = next((part for part in parts if part.name == config['part']), None)
  arms = [arm.name for arm in (*part.arms, *part.extra_arms)] if part else [BASELINE.name]
  order = {arm: position for position, arm in enumerate(arms)}
  runs = dict(sorted(runs.items(), key=lambda item: order.get(item[0], len(order))))
  lengths = [len(run['epoch']) for seeds in runs.values() for run in seeds.values()]
  return RunsOfPart(runs, part, config, config.get('epochs') or max(lengths, default=0))


def finished_runs(found: RunsOfPart) -> Runs:
  """Returns the runs that came to their last epoch without diverging; an arm may have none."""
  return {
    arm: {
      seed: run
      for seed, run in seeds.items()
      if len(run['epoch']) >= found.epochs and not diverged(run)
    }
    for arm, seeds in found.runs.items()
  }


def last_errors(runs: dict[int, dict[str, np.ndarray]]) -> dict[int, float]:
  """Returns the test error after the last epoch by seed, in percent."""
  return {seed: float(run['test_error_percent'][-1]) for seed, run in runs.items()}


def diverged(run: dict[str, np.ndarray]) -> bool:
  """Returns whether a run ended with a loss that is NaN or infinite."""
  return not np.isfinite(run['train_loss'][-1])
