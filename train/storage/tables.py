"""The files of a run.

DIR/<arm>/seed-<n>/config.json    the configuration
environment.json    commit, versions and devices
start.json     numbers of the start, the same for all arms of a seed; compared between versions of JAX
metrics.csv    one row per epoch; independent of clock and machine load
phases.csv     one row per epoch: for each step, whether its loss was high
timing.csv     one row per epoch; depends on clock and machine load
SHA256SUMS     the digests of the configuration and the tables; written last, when the run has ended
checkpoints/   the newest states, each with the rows of the tables until then
warnings.log   which checkpoints were damaged
events.*       the metrics for TensorBoard
.lock          held by the process that trains the run
"""

import csv
import datetime
import hashlib
import io
import json
import math
import os
import pathlib
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.summary import scalar

from train.storage.configuration import write_config
from train.system.environment import write_environment
from train.system.errors import UserError
from train.system.files import read_object, read_whole, write_whole


class EpochRecord(NamedTuple):
  """The row of an epoch in metrics.csv; the metric's column has the name of the metric."""

  epoch: int  # from 1
  train_loss: float  # the mean over its batches
  test_loss: float  # the mean over the test examples, after the epoch
  metric: float  # likewise; wrong answers in percent
  learning_rate: float  # of its last step
  high_loss_share: float  # of its steps; NaN for an optimizer without phases
  mean_momentum: float  # of its steps; NaN for an optimizer without momentum
  gradient_norm: float  # the mean over its steps, before weight decay


TABLES = ('phases', 'timing', 'metrics')
SUMS = 'SHA256SUMS'
_ROUNDING = 1e-3  # between the numbers of two versions of JAX
_SUMMED = ('config.json', *(f'{table}.csv' for table in TABLES))


def metrics_columns(metric_column: str = 'test_error_percent') -> tuple[str, ...]:
  """Returns the columns of metrics.csv: the fields of :class:`EpochRecord`, the metric renamed."""
  return tuple(metric_column if name == 'metric' else name for name in EpochRecord._fields)


def run_directory(workdir: pathlib.Path, arm: str, seed: int) -> pathlib.Path:
  """Returns the directory of one run."""
  return workdir / arm / f'seed-{seed}'


def run_name(directory: pathlib.Path) -> str:
  """Returns the name of a run in its working directory, from its own directory."""
  return f'{directory.parent.name}/{directory.name}'


def run_directories(workdir: pathlib.Path) -> dict[pathlib.Path, tuple[str, int]]:
  """Returns arm and seed of each run in a working directory, by its folder; copies are left out."""
  found = {}
  for path in sorted(workdir.glob('*/seed-*')):
    seed = path.name.removeprefix('seed-')
    if seed.isdecimal() and path == run_directory(workdir, path.parent.name, int(seed)):
      found[path] = path.parent.name, int(seed)
  return found


def warn(directory: pathlib.Path, say: Callable[[str], None], sentence: str) -> None:
  """Prints a warning about a run, and appends it to warnings.log in its directory, with the time."""
  say(sentence)
  now = datetime.datetime.now().astimezone().isoformat(timespec='seconds')
  with (directory / 'warnings.log').open('a', errors='surrogateescape') as file:
    file.write(f'{now}  {sentence}\n')


class Recorder:
  """Writes the tables of one run, for people and for TensorBoard.

  ``rows`` has the rows of each table so far, as text.
  """

  def __init__(
    self,
    directory: pathlib.Path,
    config: Mapping[str, Any],
    rows: Mapping[str, Sequence[str]],
    made: Mapping[str, Any],
    *,
    at_once: bool = True,
    events: bool = True,
  ):
    """Writes the configuration, and the tables anew from the rows of a checkpoint, if there is one.

    Args:
      directory: The directory of the run.
      config: Its configuration.
      rows: Of each table, from a checkpoint.
      made: How the run is trained, for environment.json.
      at_once: Whether each epoch is written at once, instead of by ``flush`` and at the end.
      events: Whether TensorBoard gets the metrics.
    """
    self._directory = directory
    self._epochs = config['epochs']
    self._columns = metrics_columns(config['about']['metric_column'])
    self._at_once = at_once
    self.rows = {table: list(rows.get(table, ())) for table in TABLES}
    write_config(directory, config)
    write_environment(directory, resumed=bool(rows), **made)
    if at_once or rows:
      self.flush()
    if is_complete(self.rows, self._epochs):
      self._write_sums()
    self._events = EventsWriter(str(directory / 'events')) if events else None
    if self._events:
      # TensorBoard drops what an earlier process wrote about later epochs.
      start = SessionLog(status=SessionLog.START)
      step = len(self.rows['metrics']) + 1
      self._events.write_event(Event(step=step, wall_time=time.time(), session_log=start))
      self._events.flush()

  def write(self, record: EpochRecord, phases: Any, seconds: float, steps: int) -> None:
    """Appends an epoch, and ends the run with its last epoch or if it diverged.

    ``phases`` has 1 for each step whose loss was high, else 0; None for an optimizer without phases.
    ``seconds`` is the time of ``steps``, which are fewer than the epoch's in a resumed run.
    """
    digits = b'' if phases is None else (np.asarray(phases, np.uint8) + ord('0')).tobytes()
    new = {
      'phases': f'{record.epoch},{digits.decode()}',
      'timing': f'{record.epoch},{seconds:.3f},{steps / seconds:.2f}',
      # 9 digits give a float32 back exactly.
      'metrics': ','.join(f'{value:.9g}' for value in record),
    }
    for table in TABLES:
      self.rows[table].append(new[table])
      if self._at_once:
        with self._path(table).open('r+') as file:  # fails if the file was removed
          file.seek(0, os.SEEK_END)
          file.write(new[table] + '\n')
    if is_complete(self.rows, self._epochs):
      if not self._at_once:
        self.flush()
      self._write_sums()
    if self._events:
      for name, value in zip(self._columns, record, strict=True):
        if name != 'epoch' and math.isfinite(value):
          event = Event(step=record.epoch, wall_time=time.time(), summary=scalar(name, value))
          self._events.write_event(event)
      self._events.flush()

  def flush(self) -> None:
    """Writes the tables."""
    for table in TABLES:
      write_whole(self._path(table), self._text(table))

  def close(self) -> None:
    """Closes TensorBoard's file."""
    if self._events:
      self._events.close()

  def _path(self, table: str) -> pathlib.Path:
    return self._directory / f'{table}.csv'

  def _text(self, table: str) -> str:
    heads = {
      'phases': 'epoch,high_loss_phases',
      'timing': 'epoch,seconds,steps_per_second',
      'metrics': _quoted(self._columns),
    }
    return '\n'.join([heads[table], *self.rows[table], ''])

  def _write_sums(self) -> None:
    """Writes the digests of the files, as ``sha256sum`` does; the run has ended from then on."""
    contents = {f'{table}.csv': self._text(table).encode() for table in TABLES}
    contents['config.json'] = (self._directory / 'config.json').read_bytes()
    lines = [f'{_digest(contents[name])}  {name}\n' for name in _SUMMED]
    write_whole(self._directory / SUMS, ''.join(lines))


def is_complete(rows: Mapping[str, Sequence[str]], epochs: int) -> bool:
  """Returns whether the rows of the tables are those of all epochs, or end where the run diverged."""
  metrics = rows.get('metrics', ())
  if len(metrics) >= epochs or not metrics:
    return len(metrics) >= epochs
  loss = metrics[-1].split(',')[EpochRecord._fields.index('train_loss')]
  return not math.isfinite(float(loss))


def _quoted(columns: Iterable[str]) -> str:
  """Returns a line of a CSV file; the name of a metric may hold a comma."""
  line = io.StringIO()
  csv.writer(line, lineterminator='').writerow(columns)
  return line.getvalue()


def _digest(content: bytes) -> str:
  return hashlib.sha256(content).hexdigest()


def check_start(directory: pathlib.Path, numbers: Mapping[str, float]) -> None:
  """Keeps numbers of the start of a run in start.json; they are the same for all arms of a seed.

  Programs of two versions of JAX cannot be compared, but these numbers can.

  Raises:
    UserError: If a run of the same seed began with other numbers, under another version.
  """
  for other in directory.parents[1].glob(f'*/{directory.name}'):
    found = read_object(other / 'start.json')
    if not found or found.get('jax') == jax.__version__:
      continue
    for name, value in numbers.items():
      was = found.get(name, value)
      if not math.isclose(was, value, rel_tol=_ROUNDING):
        raise UserError(
          f'{other} was trained with JAX {found.get("jax")}, where the {name} was {was:.6g}, and is '
          f'{value:.6g} with JAX {jax.__version__}: choose another --workdir.'
        )
  kept = {**read_object(directory / 'start.json'), 'jax': jax.__version__, **numbers}
  write_whole(directory / 'start.json', json.dumps(kept, indent=2) + '\n')


def check_unchanged(directory: pathlib.Path, names: Collection[str] = (SUMS, *_SUMMED)) -> None:
  """Raises a ``UserError`` if one of these files of a run that has ended differs from its digest."""
  sums = read_whole(directory / SUMS)
  if sums is None:
    return
  lines = [line.partition('  ') for line in sums.decode(errors='replace').splitlines()]
  digests = {name: digest for digest, _, name in lines}
  if len(digests) < len(lines) or not digests.keys() >= set(_SUMMED):
    changed = [SUMS]
  else:
    changed = [
      name for name in _SUMMED if _digest(read_whole(directory / name) or b'') != digests[name]
    ]
  if paths := [str(directory / name) for name in changed if name in names]:
    delete = dict.fromkeys([*paths, str(directory / SUMS)])
    raise UserError(
      f'{", ".join(paths)}: not what the run wrote at its end; delete {" and ".join(delete)}, then '
      'run the experiment again, which writes them anew.'
    )


def has_ended(directory: pathlib.Path) -> bool:
  """Returns whether a run is finished or diverged; checks its files if it is."""
  check_unchanged(directory)
  return (directory / SUMS).exists()


def read_metrics(directory: pathlib.Path, metric_column: str) -> dict[str, np.ndarray]:
  """Returns the columns of metrics.csv by the fields of :class:`EpochRecord`."""
  columns = metrics_columns(metric_column)
  table = read_table(directory / 'metrics.csv', columns)
  return {name: table[column] for name, column in zip(EpochRecord._fields, columns, strict=True)}


def read_table(path: pathlib.Path, columns: Sequence[str]) -> dict[str, np.ndarray]:
  """Returns columns of a table of numbers; raises a ``UserError`` if it is missing or damaged."""
  try:
    rows = _rows(path)
    return {name: np.array([float(row[name]) for row in rows]) for name in columns}
  except (OSError, ValueError, TypeError, KeyError) as error:  # a cell that is missing is None
    raise UserError(
      f'{path} cannot be read ({error}): run the experiment again, which writes it anew from the '
      'checkpoint.'
    ) from error


def _rows(path: pathlib.Path) -> list[dict[str, str]]:
  """Returns the rows of a table, without an incomplete last one that is being written."""
  text = path.read_text()
  rows = list(csv.DictReader(text[: text.rfind('\n') + 1].splitlines()))
  if [row['epoch'] for row in rows] != [f'{number}' for number in range(1, len(rows) + 1)]:
    raise ValueError('its epochs are not 1, 2 and so on')
  return rows


def read_phases(directory: pathlib.Path, epochs: int) -> np.ndarray | None:
  """Returns the phases of a run's steps, 1 where the loss was high; None if not of all epochs."""
  check_unchanged(directory, ['phases.csv'])
  try:
    rows = [row['high_loss_phases'] for row in _rows(directory / 'phases.csv')]
    phases = np.array([int(phase) for row in rows for phase in row], np.int8)
  except (OSError, ValueError, TypeError, KeyError):
    return None
  return phases if len(rows) == epochs else None


def progress_of(directory: pathlib.Path) -> tuple[int, bool]:
  """Returns how many epochs a run has recorded, and whether it diverged in the last of them."""
  try:
    losses = read_table(directory / 'metrics.csv', ['train_loss'])['train_loss']
  except UserError:  # a run that goes on writes the table anew
    return 0, False
  return len(losses), len(losses) > 0 and not np.isfinite(losses[-1])
