"""Runs at the same time on this machine, in processes that were started for them: ``--jobs N``.

``python -m train.launch.jobs`` is such a process. It trains the runs that its input names, one after the
other, and stops, saved, when that input ends: because it is asked to, or because whoever started it has
died. After a run that did not end well it ends, so that the next one starts afresh.
"""

import contextlib
import json
import os
import pathlib
import pickle
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from typing import IO

import jax

from train.launch.run import Outcome
from train.launch.worker import Result, Task, Worker, python_path

_SECONDS_BETWEEN_LOOKS = 0.05
_LINES_OF_A_DEATH = 5
_MOST_SMALL_RUNS = 4  # each takes half a GiB of memory
# After these a process trains another run.
_GOES_ON = {
  Outcome.FINISHED,
  Outcome.DIVERGED,
  Outcome.BEFORE,
  Outcome.ELSEWHERE,
  Outcome.NO_PARTNER,
}


def share_of_cores(number: int) -> int:
  """Returns how many of the cores that this process may use each of a number of runs has."""
  return max(1, _cores() // number)


def jobs_of_small_runs() -> int:
  """Returns how many runs of a small network are best trained at a time on this machine.

  The operations of its steps are too short to be divided among cores well, so that runs at the same
  time are faster; on an accelerator they would only be in each other's way.
  """
  most = min(_cores(), _MOST_SMALL_RUNS)
  return most if most > 1 and jax.default_backend() == 'cpu' else 1


def _cores() -> int:
  affinity = getattr(os, 'sched_getaffinity', None)  # not on macOS
  return len(affinity(0)) if affinity else os.cpu_count() or 1


class Jobs:
  """Processes of this machine, a limited number at a time."""

  def __init__(self, number: int):
    """Starts them, so that they import what they need while the runs are planned.

    Args:
      number: How many processes there may be.
    """
    self._number = number
    self._processes: dict[Task, _Process] = {}
    self._idle = [_Process() for _ in range(number)]

  def has_room(self) -> bool:
    """Returns whether another task may be submitted."""
    return len(self._processes) < self._number

  def submit(self, task: Task) -> None:
    """Starts to train a run."""
    process = self._idle.pop() if self._idle else _Process()
    process.train(task)
    self._processes[task] = process

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
    for process in (*self._processes.values(), *self._idle):
      process.kill()
    self._processes.clear()
    self._idle.clear()

  def _ended(self) -> Iterator[tuple[Task, Result]]:
    for task, process in list(self._processes.items()):
      if (result := process.result()) is not None:
        del self._processes[task]
        if result.outcome in _GOES_ON:
          self._idle.append(process)
        else:
          process.close()
        yield task, result


class _Process:
  """A process that trains runs, one after the other."""

  def __init__(self):
    # Files, because nobody empties a pipe while the process runs.
    self._folder = tempfile.TemporaryDirectory(prefix='lcam-', ignore_cleanup_errors=True)
    self._output, self._errors = (
      pathlib.Path(self._folder.name) / name for name in ('output', 'errors')
    )
    with self._output.open('wb') as output, self._errors.open('wb') as errors:
      self._process = subprocess.Popen(
        [sys.executable, '-m', 'train.launch.jobs'],
        stdin=subprocess.PIPE,
        stdout=output,
        stderr=errors,
        env={**os.environ, 'PYTHONPATH': python_path()},
        start_new_session=True,  # Ctrl-C is for the process that started it
      )
    assert self._process.stdin is not None  # it is a pipe
    self._input: IO[bytes] = self._process.stdin
    self._results = 0  # that were read

  def train(self, task: Task) -> None:
    with contextlib.suppress(BrokenPipeError):  # if it has died, that is seen when it is looked at
      pickle.dump(task, self._input)
      self._input.flush()

  def ask_to_stop(self) -> None:
    with contextlib.suppress(BrokenPipeError):
      self._input.close()

  def kill(self) -> None:
    self._process.kill()
    self._process.wait()
    self.close()

  def result(self) -> Result | None:
    """Returns what became of the run, None while it is trained."""
    status = self._process.poll()  # before its output is read, which is whole if it has ended
    lines = self._output.read_text().splitlines(keepends=True)
    if len(lines) > self._results and lines[self._results].endswith('\n'):
      outcome, said, reason = json.loads(lines[self._results])
      self._results += 1
      return Result(Outcome(outcome), said, reason)
    return None if status is None else Result(Outcome.DIED, reason=self._cause(status))

  def close(self) -> None:
    """Forgets it; it has ended, or ends by itself."""
    self.ask_to_stop()
    self._process.wait()
    self._folder.cleanup()

  def _cause(self, status: int) -> str:
    lines = self._errors.read_text(errors='replace').splitlines()[-_LINES_OF_A_DEATH:]
    words = f'signal {signal.Signals(-status).name}' if status < 0 else f'exit status {status}'
    return '\n'.join([words, *lines])


def main() -> None:
  """Trains the runs that the input of the process names; its output is their results."""
  results = os.fdopen(os.dup(1), 'w')
  os.dup2(2, 1)  # what the user's code prints is no result
  tasks: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
  threading.Thread(target=_read_tasks, args=(tasks,), daemon=True).start()
  worker = Worker()
  while (task := tasks.get()) is not None:
    outcome, said, reason = worker.train(task)
    print(json.dumps([outcome.value, said, reason]), file=results, flush=True)
    if outcome not in _GOES_ON:
      break
  # What still writes to a full disk would only add tracebacks, and everything else is written.
  os._exit(0)


def _read_tasks(tasks: queue.SimpleQueue[Task | None]) -> None:
  with contextlib.suppress(EOFError, pickle.UnpicklingError):  # the latter, if cut short
    while True:
      tasks.put(pickle.load(sys.stdin.buffer))
  tasks.put(None)  # for a run that has made its last step and no longer looks for the signal
  os.kill(os.getpid(), signal.SIGTERM)


if __name__ == '__main__':
  main()
