"""Runs at the same time on this machine, each in a process of its own: ``--jobs N``.

``python -m train.jobs`` is such a process. It reads its task from its input, and stops, saved, when
that input ends: because it is asked to, or because whoever started it has died.
"""

import contextlib
import json
import os
import pathlib
import pickle
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from typing import IO

from train.run import Outcome
from train.worker import Result, Task, python_path, train_task

_SECONDS_BETWEEN_LOOKS = 0.05
_LINES_OF_A_DEATH = 5


def share_of_cores(number: int) -> int:
  """Returns how many of the cores that this process may use each of a number of runs has."""
  affinity = getattr(os, 'sched_getaffinity', None)  # not on macOS
  cores = len(affinity(0)) if affinity else os.cpu_count() or 1
  return max(1, cores // number)


class Jobs:
  """Processes of this machine, a limited number at a time."""

  def __init__(self, number: int):
    """Starts with no process.

    Args:
      number: How many processes there may be.
    """
    self._number = number
    self._processes: dict[Task, _Process] = {}

  def has_room(self) -> bool:
    """Returns whether another task may be submitted."""
    return len(self._processes) < self._number

  def submit(self, task: Task) -> None:
    """Starts to train a run."""
    self._processes[task] = _Process(task)

  def wait(self, seconds: float) -> list[tuple[Task, Result]]:
    """Returns the tasks that have ended, as soon as there are some, or none after a time."""
    deadline = time.monotonic() + seconds
    while not (ended := list(self._ended())) and time.monotonic() < deadline:
      time.sleep(_SECONDS_BETWEEN_LOOKS)
    return ended

  def stop(self, seconds: float) -> None:
    """Asks all runs to save and stop, and ends those that have not after some time."""
    for process in self._processes.values():
      process.ask_to_stop()
    deadline = time.monotonic() + seconds
    while self._processes and time.monotonic() < deadline:
      self.wait(deadline - time.monotonic())
    self.close()

  def close(self) -> None:
    """Ends all runs at once; their checkpoints stay."""
    for process in self._processes.values():
      process.kill()
    self._processes.clear()

  def _ended(self) -> Iterator[tuple[Task, Result]]:
    for task, process in list(self._processes.items()):
      if (result := process.result()) is not None:
        del self._processes[task]
        yield task, result


class _Process:
  """A process that trains a run."""

  def __init__(self, task: Task):
    # Files, because nobody empties a pipe while the process runs.
    self._folder = tempfile.TemporaryDirectory(prefix='lcam-', ignore_cleanup_errors=True)
    self._output, self._errors = (
      pathlib.Path(self._folder.name) / name for name in ('output', 'errors')
    )
    with self._output.open('wb') as output, self._errors.open('wb') as errors:
      self._process = subprocess.Popen(
        [sys.executable, '-m', 'train.jobs'],
        stdin=subprocess.PIPE,
        stdout=output,
        stderr=errors,
        env={**os.environ, 'PYTHONPATH': python_path()},
        start_new_session=True,  # Ctrl-C is for the process that started it
      )
    assert self._process.stdin is not None  # it is a pipe
    self._input: IO[bytes] = self._process.stdin
    with contextlib.suppress(BrokenPipeError):  # if it has died, that is seen when it is looked at
      pickle.dump(task, self._input)
      self._input.flush()

  def ask_to_stop(self) -> None:
    with contextlib.suppress(BrokenPipeError):
      self._input.close()

  def kill(self) -> None:
    self._process.kill()
    self._process.wait()
    self._close()

  def result(self) -> Result | None:
    """Returns what became of the run, None while it is trained."""
    status = self._process.poll()
    if status is None:
      return None
    try:
      outcome, said, reason = json.loads(self._output.read_bytes())
      return Result(Outcome(outcome), said, reason)
    except ValueError:  # it did not come to write it
      return Result(Outcome.DIED, reason=self._cause(status))
    finally:
      self._close()

  def _cause(self, status: int) -> str:
    lines = self._errors.read_text(errors='replace').splitlines()[-_LINES_OF_A_DEATH:]
    words = f'signal {signal.Signals(-status).name}' if status < 0 else f'exit status {status}'
    return '\n'.join([words, *lines])

  def _close(self) -> None:
    self.ask_to_stop()
    self._folder.cleanup()


def main() -> None:
  """Trains the run that the input of the process names; its output is the result."""
  task = pickle.load(sys.stdin.buffer)
  results = os.fdopen(os.dup(1), 'w')
  os.dup2(2, 1)  # what the user's code prints is no result
  threading.Thread(target=_stop_at_end_of_input, daemon=True).start()
  with results:
    outcome, said, reason = train_task(task)
    json.dump([outcome.value, said, reason], results)
    results.flush()
    # What still writes to a full disk would only add tracebacks, and everything else is written.
    os._exit(0)


def _stop_at_end_of_input() -> None:
  sys.stdin.buffer.read(1)
  os.kill(os.getpid(), signal.SIGTERM)


if __name__ == '__main__':
  main()
