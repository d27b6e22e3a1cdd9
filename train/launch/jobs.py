"""Trains runs at the same time on this machine, each in a process of its own: ``--jobs N``.

``subprocess`` starts them in sessions of their own. Processes of ``multiprocessing`` would import JAX
before they run any code of ours, and Ctrl-C in these seconds would end each with a traceback.
"""

import collections
import contextlib
import multiprocessing
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from multiprocessing.connection import Connection, wait

from train.launch.run import Outcome
from train.launch.worker import Result, Task, train_task
from train.system.errors import UserError
from train.system.files import first_line
from train.system.signals import request_stop

_SECONDS_BETWEEN_LOOKS = 0.5
_SECONDS_TO_SAVE = 120
_SECONDS_TO_DIE = 10
_LINES_OF_A_DEATH = 5
# After these a process trains no other run.
_LAST = {Outcome.STOPPED, Outcome.DIED, Outcome.REFUSED, Outcome.FAILED}


def share_of_cores(number: int) -> int:
  """Returns how many cores each of a number of runs gets, at least one."""
  return max(1, _cores() // number)


def _cores() -> int:
  affinity = getattr(os, 'sched_getaffinity', None)  # not on macOS
  return len(affinity(0)) if affinity else os.cpu_count() or 1


class Jobs:
  """Processes of this machine that train runs, a limited number at a time."""

  def __init__(self, number: int):
    """Starts the processes, so that they import what they need while the runs are planned."""
    if os.name != 'posix':
      raise UserError('--jobs works on Linux and macOS only: leave it out.')
    self._number = number
    self._processes: dict[Task, _Process] = {}
    self._idle = [_Process() for _ in range(number)]

  def has_room(self) -> bool:
    """Returns whether another task may be submitted."""
    return len(self._processes) < self._number

  def submit(self, task: Task) -> None:
    """Starts to train a run."""
    process = self._idle.pop() if self._idle else _Process()
    process.send(task)
    self._processes[task] = process

  def wait(self, seconds: float) -> list[tuple[Task, Result]]:
    """Waits until tasks have ended, at most some seconds, and returns them."""
    # The driver waits briefly: a child of a process that died may hold its connection open.
    connections = [process.connection for process in self._processes.values()]
    wait(connections, seconds)
    ended = []
    for task, process in list(self._processes.items()):
      if result := process.result():
        del self._processes[task]
        if result.outcome in _LAST:
          cause = process.end()
          result = result._replace(reason=result.reason or cause)
        else:
          self._idle.append(process)
        ended.append((task, result))
    return ended

  def request_stop(self) -> None:
    """Asks all runs to save and stop."""
    for process in self._processes.values():
      process.send(None)

  def close(self) -> None:
    """Ends all runs at once; their checkpoints stay."""
    for process in (*self._processes.values(), *self._idle):
      process.end()


class _Process:
  """A process that trains runs, one after the other; it leads a session and group of its own."""

  def __init__(self):
    self.connection, theirs = multiprocessing.Pipe()
    try:
      self._output = tempfile.TemporaryFile('w+', encoding='utf-8', errors='replace')  # noqa: SIM115
    except OSError as error:
      raise UserError(
        f'Runs at the same time need a temporary file ({first_line(error)}): set TMPDIR to a folder '
        'that can be written, or leave --jobs out.'
      ) from error
    with theirs:
      # Libraries are those of this process, and no neighbours of the working directory.
      path = f'import sys; sys.path[:] = {sys.path!r}'
      work = f'from train.launch.jobs import work; work({theirs.fileno()}, {os.getpid()})'
      self._process = subprocess.Popen(
        [sys.executable, '-c', f'{path}; {work}'],
        stdin=subprocess.DEVNULL,
        stdout=self._output,
        stderr=self._output,
        pass_fds=[theirs.fileno()],
        start_new_session=True,  # Ctrl-C is for this process only
      )

  def send(self, task: Task | None) -> None:
    """Sends a run to train; None asks the process to save and stop."""
    with contextlib.suppress(OSError):  # it has died, which `result` returns
      self.connection.send(task)

  def result(self) -> Result | None:
    """Returns the result of the run, None while it is trained."""
    died = self._process.poll() is not None  # before the connection, which then has all it sent
    try:
      if self.connection.poll():
        return self.connection.recv()
    except (EOFError, OSError):
      died = True
    return Result(Outcome.DIED) if died else None

  def end(self) -> str:
    """Ends the process at once, and all that it has started; returns how it ended."""
    with contextlib.suppress(OSError):  # all have ended
      os.killpg(self._process.pid, signal.SIGKILL)
    status = -signal.SIGKILL
    with contextlib.suppress(subprocess.TimeoutExpired):
      status = self._process.wait(_SECONDS_TO_DIE)
    words = f'signal {signal.Signals(-status).name}' if status < 0 else f'exit status {status}'
    with self.connection, self._output:
      self._output.seek(0)
      lines = collections.deque(self._output, _LINES_OF_A_DEATH)
    return f'{words}\n{"".join(lines)}'.rstrip()


def work(descriptor: int, parent: int) -> None:
  """Trains the runs that come over a connection, and sends their results; does not return.

  Saves its run and stops when it is asked to, or when the parent process has died.
  """
  os.set_inheritable(descriptor, False)
  connection = Connection(descriptor)
  tasks: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
  threading.Thread(target=_receive, args=(connection, parent, tasks), daemon=True).start()
  while (task := tasks.get()) is not None:
    result = train_task(task)
    with contextlib.suppress(OSError):  # the parent has died
      connection.send(result)
  os.killpg(0, signal.SIGKILL)  # this process, and what the user's code has started


def _receive(connection: Connection, parent: int, tasks: queue.SimpleQueue[Task | None]) -> None:
  """Receives tasks until the process is to stop, then has its run saved and stopped."""
  with contextlib.suppress(EOFError, OSError):
    # A child of the parent may hold the connection open when the parent has died.
    while os.getppid() == parent:
      if connection.poll(_SECONDS_BETWEEN_LOOKS):
        if (task := connection.recv()) is None:
          break
        tasks.put(task)
  tasks.put(None)
  deadline = time.monotonic() + _SECONDS_TO_SAVE
  while time.monotonic() < deadline:
    request_stop(signal.SIGTERM)  # more than once, because a run may just be starting
    time.sleep(_SECONDS_BETWEEN_LOOKS)
  os.killpg(0, signal.SIGKILL)
