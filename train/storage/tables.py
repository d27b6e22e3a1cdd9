"""The files of a run.

DIR/<arm>/seed-<n>/config.json    what was run
environment.json    with which versions, on which devices
metrics.csv    one row per epoch; holds nothing that depends on the clock
phases.csv     one row per epoch: of each step, whether its loss was high
timing.csv     one row per epoch; holds what depends on the clock
SHA256SUMS     of a run that has ended: the digests of its configuration and tables
checkpoints/   the newest states, each with the rows until then
warnings.log   what was wrong with the files above, and what was done about it
events.*       the metrics for TensorBoard
.lock          is held by the process that trains the run
"""

import csv
import datetime
import hashlib
import math
import os
import pathlib
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.summary import scalar

from train.storage.configuration import write_config
from train.system.environment import write_environment
from train.system.errors import UserError
from train.system.files import put_aside, read_whole, write_whole


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
TABLES = ('phases', 'timing', 'metrics')  # last the one that tells whether a run has ended
SUMS = 'SHA256SUMS'
_SUMMED = ('config.json', *(f'{table}.csv' for table in TABLES))


def metrics_columns(metric_column: str = 'test_error_percent') -> tuple[str, ...]:
  """Returns the columns of metrics.csv, with that of the metric."""
  return tuple(
    metric_column if name == 'test_error_percent' else name for name in EpochRecord._fields
  )


def run_directory(workdir: pathlib.Path, arm: str, seed: int) -> pathlib.Path:
  """Returns the directory of one run."""
  return workdir / arm / f'seed-{seed}'


def run_directories(workdir: pathlib.Path) -> dict[pathlib.Path, tuple[str, int]]:
  """Returns the directories of the runs in a working directory, each with its arm and seed.

  Folders of other names, as of copies, are none.
  """
  found = {}
  for path in sorted(workdir.glob('*/seed-*')):
    seed = path.name.removeprefix('seed-')
    if seed.isdecimal() and path == run_directory(workdir, path.parent.name, int(seed)):
      found[path] = path.parent.name, int(seed)
  return found


class RunLog:
  """Says what was wrong with the files of a run, and keeps it in its directory."""

  def __init__(self, directory: pathlib.Path, say: Callable[[str], None]):
    """Notes where; the file is made by the first warning.

    Args:
      directory: The directory of the run.
      say: Shows a sentence.
    """
    self._path = directory / 'warnings.log'
    self._say = say

  def warn(self, sentence: str) -> None:
    """Says a sentence, and appends it to the log with the time."""
    self._say(sentence)
    now = datetime.datetime.now().astimezone().isoformat(timespec='seconds')
    with self._path.open('a', errors='surrogateescape') as file:
      file.write(f'{now}  {sentence}\n')


class Recorder:
  """Writes the tables of one run, for people and for TensorBoard.

  Attributes:
    rows: From the name of a table, of ``TABLES``, to its rows so far, as text.
  """

  def __init__(
    self,
    directory: pathlib.Path,
    config: Mapping[str, Any],
    rows: Mapping[str, Sequence[str]],
    warn: Callable[[str], None],
    devices_used: int = 1,
  ):
    """Writes the configuration, and tables that hold the rows of the epochs already done.

    Args:
      directory: The directory of the run.
      config: See :func:`train.storage.configuration.run_config`.
      rows: The rows that a checkpoint has kept, as in :attr:`rows`.
      warn: Called with a sentence about each file that is not what the run wrote.
      devices_used: Among how many devices a batch is divided.
    """
    self._directory = directory
    self._epochs = config['epochs']
    self._columns = {
      'phases': PHASE_COLUMNS,
      'timing': TIMING_COLUMNS,
      'metrics': metrics_columns(config['about']['metric_column']),
    }
    self.rows = {table: list(rows.get(table, ())) for table in TABLES}
    self._keep_what_would_be_lost(warn)
    write_config(directory, config)
    write_environment(directory, devices_used)
    if len(self.rows['metrics']) == self._epochs:
      self._write_sums(self.rows)  # before the tables, which no kill can so leave unchecked
    else:
      (directory / SUMS).unlink(missing_ok=True)
    for table in TABLES:
      write_whole(self._path(table), self._text(table, self.rows[table]))
    self._events = EventsWriter(str(directory / 'events'))
    # TensorBoard leaves out what an earlier process has written of later epochs.
    start = SessionLog(status=SessionLog.START)
    step = len(self.rows['metrics']) + 1
    self._events.write_event(Event(step=step, wall_time=time.time(), session_log=start))
    self._events.flush()

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
    for table in TABLES:
      self.rows[table].append(new[table])
    for table in TABLES:
      if table == 'metrics' and (
        record.epoch == self._epochs or not math.isfinite(record.train_loss)
      ):
        self._write_sums(self.rows)  # before the row that ends the run, so that no end lacks them
      with self._path(table).open('r+') as file:  # which makes no file without a head
        file.seek(0, os.SEEK_END)
        file.write(new[table] + '\n')
    for name, value in zip(self._columns['metrics'], record, strict=True):
      if name != 'epoch' and math.isfinite(value):
        event = Event(step=record.epoch, wall_time=time.time(), summary=scalar(name, value))
        self._events.write_event(event)
    self._events.flush()

  def close(self) -> None:
    """Closes TensorBoard's file."""
    self._events.close()

  def _path(self, table: str) -> pathlib.Path:
    return self._directory / f'{table}.csv'

  def _text(self, table: str, rows: Sequence[str]) -> str:
    return '\n'.join([','.join(self._columns[table]), *rows, ''])

  def _write_sums(self, rows: Mapping[str, Sequence[str]]) -> None:
    """Writes the digests of the files as they will be with these rows, as ``sha256sum`` does."""
    contents = {f'{table}.csv': self._text(table, rows[table]).encode() for table in TABLES}
    contents['config.json'] = (self._directory / 'config.json').read_bytes()
    lines = [f'{hashlib.sha256(contents[name]).hexdigest()}  {name}\n' for name in _SUMMED]
    write_whole(self._directory / SUMS, ''.join(lines))

  def _keep_what_would_be_lost(self, warn: Callable[[str], None]) -> None:
    """Puts files aside that are not what the run wrote, before they are written anew.

    The rows of an unfinished run that come after its checkpoint are trained again; all others must be
    those of the checkpoint.
    """
    changed = changed_files(self._directory)
    done, diverged = progress_of(self._directory)
    ended = bool(changed) or diverged or done >= self._epochs
    for table in TABLES:
      path, old = self._path(table), read_whole(self._path(table))
      new = self._text(table, self.rows[table]).encode()
      if old is None:
        if self.rows[table]:
          warn(f'{path} is missing: written anew from the checkpoint')
      elif new.startswith(old):
        if old != new:
          warn(f'{path} lacks rows that the checkpoint holds: written anew from it')
      elif ended or not old.startswith(new) or not _goes_on(old[len(new) :], len(self.rows[table])):
        kept = put_aside(path, f'{path.name}.edited')
        warn(f'{path} is not what the checkpoint holds: kept as {kept.name}, and written anew')
    config = self._directory / 'config.json'
    if config.name in changed and config.exists():
      kept = put_aside(config, f'{config.name}.edited')
      warn(f'{config} is not what the run wrote: kept as {kept.name}, and written anew')


def _goes_on(rows: bytes, epochs: int) -> bool:
  """Returns whether rows are of the epochs after so many; the last one may have been cut short."""
  *whole, _ = rows.split(b'\n')
  return all(row.startswith(b'%d,' % epoch) for epoch, row in enumerate(whole, epochs + 1))


def changed_files(directory: pathlib.Path) -> list[str]:
  """Returns the files of a run that has ended that are not what it wrote, by their digests.

  None are known of a run that has not ended, or that a version before the digests trained.
  """
  sums = read_whole(directory / SUMS)
  if sums is None:
    return []
  lines = [line.partition('  ') for line in sums.decode(errors='replace').splitlines()]
  digests = {name: digest for digest, _, name in lines}
  if len(digests) < len(lines) or not digests.keys() >= set(_SUMMED):
    return [SUMS]
  return [
    name
    for name in _SUMMED
    if hashlib.sha256(read_whole(directory / name) or b'').hexdigest() != digests[name]
  ]


def check_unchanged(directory: pathlib.Path, names: Collection[str] = (SUMS, *_SUMMED)) -> None:
  """Raises a ``UserError`` if files of a run that has ended are not what it wrote.

  Args:
    directory: The directory of the run.
    names: The files that matter.
  """
  changed = [name for name in changed_files(directory) if name in names]
  if changed:
    paths = ', '.join(str(directory / name) for name in changed)
    raise UserError(
      f'{paths}: not what the run wrote at its end ({SUMS}); run the experiment again, which keeps '
      'what was edited aside and mends it from the checkpoint.'
    )


def has_ended(directory: pathlib.Path, epochs: int) -> bool:
  """Returns whether a run is finished or diverged, with its files as it wrote them.

  Args:
    directory: The directory of the run.
    epochs: How many epochs it has.
  """
  done, diverged = progress_of(directory)
  if (not diverged and done < epochs) or changed_files(directory):
    return False
  try:
    return len(read_table(directory / 'timing.csv', ['seconds'])['seconds']) == done
  except UserError:
    return False


def read_table(path: pathlib.Path, columns: Sequence[str]) -> dict[str, np.ndarray]:
  """Returns columns of a table of numbers that has a row for each epoch.

  Raises:
    UserError: If the file is missing or damaged.
  """
  try:
    rows = _rows(path)
    return {name: np.array([float(row[name]) for row in rows]) for name in columns}
  except (OSError, ValueError, TypeError, KeyError) as error:  # a cell that is missing is None
    raise UserError(
      f'{path} cannot be read ({error}): run the experiment again, which goes on from the checkpoint '
      'and writes it anew.'
    ) from error


def _rows(path: pathlib.Path) -> list[dict[str, str]]:
  """Returns the rows of a table without one that another process is writing now."""
  text = path.read_text()
  rows = list(csv.DictReader(text[: text.rfind('\n') + 1].splitlines()))
  if [row['epoch'] for row in rows] != [f'{number}' for number in range(1, len(rows) + 1)]:
    raise ValueError('its epochs are not 1, 2 and so on')
  return rows


def read_phases(directory: pathlib.Path, epochs: int) -> np.ndarray | None:
  """Returns the phases of all steps of a run, 1 where the loss was high.

  Args:
    directory: The directory of the run.
    epochs: How many epochs it must have.

  Returns:
    The phases, int8; None if the run has not come so far, or did not record them.

  Raises:
    UserError: If the run has ended, and they are not what it wrote.
  """
  check_unchanged(directory, ['phases.csv'])
  try:
    rows = [row['high_loss_phases'] for row in _rows(directory / 'phases.csv')]
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
