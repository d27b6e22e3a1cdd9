"""The files of a run.

DIR/<arm>/seed-<n>/config.json    what was run
environment.json    with which versions, on which devices
metrics.csv    one row per epoch; holds nothing that depends on the clock
phases.csv     one row per epoch: of each step, whether its loss was high
timing.csv     one row per epoch; holds what depends on the clock
checkpoints/   the newest states
events.*       the metrics for TensorBoard
"""

import csv
import math
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from tensorboardX import SummaryWriter

from train.configuration import write_config
from train.environment import write_environment
from train.errors import UserError
from train.files import write_whole


class EpochRecord(NamedTuple):
  """The row of an epoch in metrics.csv.

  Attributes:
    epoch: The number of the epoch, from 1.
    train_loss: The mean of the losses of its batches.
    test_loss: The mean loss of the test examples after it.
    test_error_percent: The share of wrong answers among them; with another metric, its mean, in a
      column of its name.
    learning_rate: The learning rate of its last step.
    high_loss_share: The share of its steps that were in the high-loss phase; NaN for an optimizer
      without one.
    mean_momentum: The mean of the momenta that its steps used; NaN likewise.
    gradient_norm: The mean over its steps of the norm of the gradient, before weight decay.
  """

  epoch: int
  train_loss: float
  test_loss: float
  test_error_percent: float
  learning_rate: float
  high_loss_share: float
  mean_momentum: float
  gradient_norm: float


TIMING_COLUMNS = ('epoch', 'seconds', 'steps_per_second')
PHASE_COLUMNS = ('epoch', 'high_loss_phases')


def metrics_columns(metric_column: str = 'test_error_percent') -> tuple[str, ...]:
  """Returns the columns of metrics.csv, with that of the metric."""
  return tuple(
    metric_column if name == 'test_error_percent' else name for name in EpochRecord._fields
  )


def run_directory(workdir: pathlib.Path, arm: str, seed: int) -> pathlib.Path:
  """Returns the directory of one run."""
  return workdir / arm / f'seed-{seed}'


class Recorder:
  """Writes the tables of one run, for people and for TensorBoard.

  Attributes:
    rows: From the name of a table (``'metrics'``, ``'phases'``, ``'timing'``) to its rows so far, as
      text.
  """

  def __init__(
    self,
    directory: pathlib.Path,
    config: Mapping[str, Any],
    rows: Mapping[str, Sequence[str]],
    devices_used: int = 1,
  ):
    """Writes the configuration, and tables that hold the rows of the epochs already done.

    Args:
      directory: The directory of the run.
      config: See :func:`train.configuration.run_config`.
      rows: The rows that a checkpoint has kept, as in :attr:`rows`.
      devices_used: Among how many devices a batch is divided.
    """
    directory.mkdir(parents=True, exist_ok=True)
    self._directory = directory
    self._columns = {
      'phases': PHASE_COLUMNS,
      'timing': TIMING_COLUMNS,
      # Last the table that tells whether a run is finished.
      'metrics': metrics_columns(config['about']['metric_column']),
    }
    self.rows = {table: list(rows.get(table, ())) for table in self._columns}
    write_config(directory, config)
    write_environment(directory, devices_used)
    for table, columns in self._columns.items():
      write_whole(directory / f'{table}.csv', '\n'.join([','.join(columns), *self.rows[table], '']))
    self._events = SummaryWriter(str(directory), purge_step=len(self.rows['metrics']) + 1)

  def write(self, record: EpochRecord, phases: Iterable[int], seconds: float, steps: int) -> None:
    """Appends an epoch.

    Args:
      record: Its metrics.
      phases: Of each of its steps, 1 if the loss was high; none for an optimizer without a phase.
      seconds: How long it took.
      steps: How many steps were taken in that time.
    """
    new = {
      'phases': f'{record.epoch},{"".join(map(str, phases))}',
      'timing': f'{record.epoch},{seconds:.3f},{steps / seconds:.2f}',
      # 9 digits give a float32 back exactly.
      'metrics': ','.join(f'{value:.9g}' for value in record),
    }
    for table in self._columns:
      self.rows[table].append(new[table])
      with (self._directory / f'{table}.csv').open('a') as file:
        file.write(new[table] + '\n')
    for name, value in zip(self._columns['metrics'], record, strict=True):
      if name != 'epoch' and math.isfinite(value):
        self._events.add_scalar(name, value, record.epoch)

  def close(self) -> None:
    """Writes out what TensorBoard's file still lacks."""
    self._events.close()


def read_table(path: pathlib.Path, columns: Sequence[str]) -> dict[str, np.ndarray]:
  """Returns columns of a table of numbers.

  Raises:
    UserError: If the file is missing or damaged.
  """
  try:
    rows = list(csv.DictReader(_whole_lines(path)))
    return {name: np.array([float(row[name]) for row in rows]) for name in columns}
  except (OSError, ValueError, TypeError, KeyError) as error:  # a cell that is missing is None
    raise UserError(
      f'{path} cannot be read ({error}): delete it and run the experiment again, which goes on from '
      'the checkpoint and writes it anew.'
    ) from error


def _whole_lines(path: pathlib.Path) -> list[str]:
  """Returns the lines of a table without one that another process is writing now."""
  text = path.read_text()
  return text[: text.rfind('\n') + 1].splitlines()


def read_phases(directory: pathlib.Path, epochs: int) -> np.ndarray | None:
  """Returns the phases of all steps of a run, 1 where the loss was high.

  Args:
    directory: The directory of the run.
    epochs: How many epochs it must have.

  Returns:
    The phases, int8; None if the run has not come so far, or did not record them.
  """
  try:
    lines = _whole_lines(directory / 'phases.csv')
    rows = [row['high_loss_phases'] for row in csv.DictReader(lines)]
    phases = np.array([int(phase) for row in rows for phase in row], np.int8)
  except (OSError, ValueError, TypeError, KeyError):
    return None
  return phases if len(rows) == epochs else None


def progress_of(directory: pathlib.Path) -> tuple[int, bool]:
  """Returns how many epochs a run has recorded, and whether it diverged in the last of them.

  A table that cannot be read counts as none, because a run that goes on writes it anew.
  """
  try:
    losses = read_table(directory / 'metrics.csv', ['train_loss'])['train_loss']
  except UserError:
    return 0, False
  return len(losses), len(losses) > 0 and not np.isfinite(losses[-1])
