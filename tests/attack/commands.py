"""Starts ``python -m train ...`` without importing JAX each time: in a fork of this process.

This process has imported all that the program imports, and must never use JAX itself: a fork of a
process that has would hang.
"""

import atexit
import contextlib
import dataclasses
import os
import pathlib
import resource
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Mapping

_ROOT = pathlib.Path(__file__).resolve().parents[2]
SECONDS = 600  # after which a command is taken to hang, also on a machine that is busy
_FREE_BYTES = 2 * 2**30  # what a command may write into one file


@dataclasses.dataclass(frozen=True)
class Done:
  """A command that has ended.

  Attributes:
    arguments: What it was asked for.
    status: Its exit status; negative if a signal ended it; None if it was still running and killed.
    output: What it wrote to stdout.
    errors: What it wrote to stderr.
  """

  arguments: tuple[str, ...]
  status: int | None
  output: str
  errors: str

  def __str__(self) -> str:
    """Shows it to whoever has to mend what it found."""
    said = f'{self.output[-1500:]}\n{self.errors[-3000:]}'.strip()
    return f'$ python -m train {" ".join(self.arguments)}\n{said}\n-> {self.status}'


class Command:
  """A running ``python -m train ...``."""

  def __init__(
    self,
    *arguments: object,
    folder: pathlib.Path,
    environment: Mapping[str, str] | None = None,
    program: Callable[[], None] | None = None,
    output: int | None = None,
  ):
    """Starts it.

    Args:
      *arguments: Those of the command line.
      folder: The folder that it runs in.
      environment: What it gets besides.
      program: What it does; that of the command line if not given.
      output: Where its stdout goes, a file descriptor; kept for :class:`Done` if not given.
    """
    self.arguments = tuple(map(str, arguments))
    self._files = [tempfile.TemporaryFile() for _ in range(2)]  # noqa: SIM115  closed by done()
    descriptors = [output or self._files[0].fileno(), self._files[1].fileno()]
    sys.stdout.flush()
    sys.stderr.flush()
    self.pid = os.fork()
    if self.pid == 0:
      _become(self.arguments, descriptors, folder, environment or {}, program)
    self._status: int | None = None

  def is_running(self) -> bool:
    """Returns whether it has not ended."""
    if self._status is None:
      pid, status = os.waitpid(self.pid, os.WNOHANG)
      if pid:
        self._status = os.waitstatus_to_exitcode(status)
    return self._status is None

  def send(self, number: int) -> None:
    """Sends a signal, if it is still running."""
    if self.is_running():
      os.kill(self.pid, number)

  def wait(self, seconds: float) -> bool:
    """Waits until it has ended or some time has passed; returns whether it has ended."""
    deadline = time.monotonic() + seconds
    while self.is_running() and time.monotonic() < deadline:
      time.sleep(0.002)
    return not self.is_running()

  def done(self, seconds: float = SECONDS) -> Done:
    """Waits until it has ended; one that does not is killed, with all that it has started."""
    ended = self.wait(seconds)
    with contextlib.suppress(ProcessLookupError):
      if not ended:
        os.killpg(self.pid, signal.SIGKILL)
    self.wait(10)
    said = []
    for file in self._files:
      file.seek(0)
      said.append(file.read().decode(errors='replace'))
      file.close()
    return Done(self.arguments, self._status if ended else None, *said)


def run(*arguments: object, folder: pathlib.Path, **options) -> Done:
  """Starts a command, waits until it has ended, and returns it; see :class:`Command`."""
  return Command(*arguments, folder=folder, **options).done()


def _become(arguments, descriptors, folder, environment, program) -> None:
  """Makes this process, a fork, the program; does not return."""
  status = 70
  try:
    os.setsid()
    for number in (signal.SIGINT, signal.SIGTERM):
      signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for descriptor, standard in zip(descriptors, (1, 2), strict=True):
      os.dup2(descriptor, standard)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    sys.stdout, sys.stderr = (os.fdopen(number, 'w', encoding='utf-8') for number in (1, 2))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.chdir(folder)
    os.environ.update(environment, COLUMNS='100')
    sys.argv = ['train', *arguments]
    status = _status_of(program or _main)
  finally:
    os._exit(status)


def fresh() -> None:
  """Becomes a new interpreter that runs the command line, for what Python or JAX reads at start."""
  os.environ['PYTHONPATH'] = str(_ROOT)
  os.execv(sys.executable, [sys.executable, '-m', 'train', *sys.argv[1:]])


def _main() -> None:
  from train.__main__ import program

  program()


def _status_of(program: Callable[[], None]) -> int:
  """Runs a program to its end as Python does: exceptions are shown, threads and exits waited for."""
  status = 0
  try:
    program()
  except SystemExit as error:
    status = error.code if isinstance(error.code, int) else int(error.code is not None)
  except BaseException:
    traceback.print_exc()
    status = 1
  threading._shutdown()
  atexit._run_exitfuncs()
  for stream in (sys.stdout, sys.stderr):
    with contextlib.suppress(OSError, ValueError):
      stream.flush()
  return status
