"""Trains the runs with ``python -m train run``: several at a time, within a limit of time."""

import os
import pathlib
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

from studies.figure3.definition import ARMS, YOKED, Size
from train.reports.files import write_csv
from train.storage.tables import SUMS, has_ended, run_directories
from train.system.environment import read_environment

SPEED = 'speed.csv'  # of the machine that the working directory is on
_KEPT = ('config.json', 'environment.json', 'start.json', 'metrics.csv', 'phases.csv', 'timing.csv')
_COMMAND = (sys.executable, '-m', 'train', 'run')
_SECONDS_BETWEEN_LOOKS = 0.2
_MEMORY = 0.9  # of a GPU, for all runs together


def train_runs(
  size: Size,
  workdir: pathlib.Path,
  data_dir: str | None,
  jobs: int | None,
  seconds: float,
  stopped: Callable[[], bool],
) -> None:
  """Trains the runs that have not ended, until all have, or until they are to be stopped.

  Args:
    size: Which runs.
    workdir: The folder of the runs, with their checkpoints.
    data_dir: Where TFDS keeps its data sets.
    jobs: The number of runs at a time; None measures it, once in a working directory.
    seconds: The time that is left, to decide the number of runs at a time.
    stopped: Tells when to save and stop.

  Raises:
    SystemExit: If the trainer failed; it has said why.
  """
  arguments = [*size.arguments, '--workdir', str(workdir)]
  if data_dir is not None:
    arguments += ['--data-dir', data_dir]
  end = time.monotonic() + seconds
  if jobs is None:
    rates = read_speed(workdir) or _measure(size, arguments, workdir, stopped)
    left = size.runs - len(ended_runs(workdir))
    jobs = best_number(rates, size.epochs, left, end - time.monotonic()) if rates else 1
  if not stopped():
    _train(arguments, jobs, stopped)


def ended_runs(folder: pathlib.Path) -> list[pathlib.Path]:
  """Returns the runs in a folder that are finished or diverged, relative to it."""
  return [path.relative_to(folder) for path in run_directories(folder) if has_ended(path)]


def copy_ended(source: pathlib.Path, target: pathlib.Path) -> None:
  """Copies the tables of the runs that have ended, unless they are there; no checkpoints."""
  target.mkdir(parents=True, exist_ok=True)
  for run in ended_runs(source):
    if not (target / run / SUMS).exists():
      (target / run).mkdir(parents=True, exist_ok=True)
      for name in (*_KEPT, SUMS):  # the digests last, because a run has ended when they are there
        shutil.copyfile(source / run / name, target / run / name)


def best_number(rates: dict[int, float], epochs: int, runs: int, seconds: float) -> int:
  """Returns the number of runs at a time with which most runs end in a time, or else the fastest.

  Args:
    rates: The epochs per second of all runs together, by the number of runs at a time.
    epochs: The epochs of a run.
    runs: The number of runs that are left.
    seconds: The time, which may be infinite.
  """

  def gain(number: int) -> tuple[int, float]:
    rounds = seconds * rates[number] / (number * epochs)
    return (runs if rounds >= runs else min(runs, number * int(rounds))), rates[number]

  return max([number for number in rates if number <= runs] or [min(rates)], key=gain)


class Speedometer:
  """Tells how many epochs per second some runs at a time train, from what they have recorded.

  Each run is timed between ends of epochs, from when all of them have trained one, so that starting
  and compiling do not count; anew if one of them has ended.
  """

  def __init__(self, number: int, seconds: float, epochs: int):
    """Watches a number of runs at a time, for at least so many seconds and two epochs of each.

    Args:
      number: The number of runs at a time.
      seconds: The least time.
      epochs: The epochs after which a run has ended.
    """
    self._number, self._seconds, self._epochs = number, seconds, epochs
    self._first: Sequence[int] = ()
    self._last: Sequence[int] = ()
    self._start = 0.0
    self._ends: dict[int, list[tuple[float, int]]] = {}  # by run: when an epoch ended, and which

  def look(self, now: float, epochs: Sequence[int]) -> float | None:
    """Takes the epochs of all runs at a time; returns the speed of all together once it is known."""
    if not self._first:
      self._first = epochs
    running = [n for n, done in enumerate(epochs) if self._first[n] < done < self._epochs]
    if not self._ends or not self._ends.keys() <= set(running):
      self._start, self._last = now, epochs
      self._ends = {run: [] for run in running} if len(running) >= self._number else {}
      return None
    for run, ends in self._ends.items():
      if epochs[run] > self._last[run]:
        ends.append((now, epochs[run]))
    self._last = epochs
    if now - self._start < self._seconds or min(map(len, self._ends.values())) < 2:
      return None
    return sum(
      (ends[-1][1] - ends[0][1]) / (ends[-1][0] - ends[0][0]) for ends in self._ends.values()
    )


def read_speed(folder: pathlib.Path) -> dict[int, float]:
  """Returns the speeds that were measured in a working directory; empty if none were."""
  path = folder / SPEED
  lines = path.read_text().splitlines()[1:] if path.exists() else []
  return {int(number): float(rate) for _, number, rate in (line.rsplit(',', 2) for line in lines)}


def _measure(
  size: Size, arguments: Sequence[str], workdir: pathlib.Path, stopped: Callable[[], bool]
) -> dict[int, float]:
  """Measures with the runs themselves, which go on afterwards; keeps the speeds in speed.csv."""
  rates: dict[int, float] = {}
  for number in size.measured:
    if number > size.runs - len(ended_runs(workdir)):
      break
    speed = Speedometer(number, size.seconds, size.epochs)

    def enough(number: int = number, speed: Speedometer = speed) -> bool:
      if rate := speed.look(time.monotonic(), _recorded_epochs(size, workdir)):
        rates[number] = rate
      return number in rates or stopped()

    _train(arguments, number, enough)
    if number not in rates:  # it was stopped, or the runs have ended
      return {}
    print(f'{number} at a time: {rates[number]:.3g} epochs/s', flush=True)
  if rates:
    device = read_environment(next(iter(run_directories(workdir)))).get('device_kind')
    columns = ('device', 'runs_at_a_time', 'epochs_per_second')
    write_csv(workdir / SPEED, columns, [(device, *row) for row in rates.items()])
  return rates


def _recorded_epochs(size: Size, workdir: pathlib.Path) -> list[int]:
  """Returns how many epochs each run has recorded."""
  tables = [
    workdir / arm / f'seed-{seed}' / 'timing.csv' for arm in ARMS + YOKED for seed in size.seeds
  ]
  return [len(table.read_text().splitlines()) - 1 if table.exists() else 0 for table in tables]


def _train(arguments: Sequence[str], jobs: int, enough: Callable[[], bool]) -> None:
  """Trains until all runs have ended, or until it is enough; raises ``SystemExit`` if it failed."""
  # JAX takes three quarters of a GPU for each process, unless it is told.
  environment = {'XLA_PYTHON_CLIENT_MEM_FRACTION': f'{_MEMORY / jobs:.3f}', **os.environ}
  command = [*_COMMAND, *arguments, '--jobs', str(jobs)]
  # A group of its own, so that Ctrl-C reaches it once, from here.
  process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, process_group=0)
  was_enough = False
  try:
    while process.poll() is None:
      if not was_enough and enough():
        was_enough = True
        process.terminate()  # the runs are saved
      time.sleep(_SECONDS_BETWEEN_LOOKS)
  except BaseException:
    process.kill()
    raise
  if process.returncode and not was_enough:
    raise SystemExit(process.returncode)
