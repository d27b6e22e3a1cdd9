"""Leaving a run on Ctrl-C or SIGTERM with nothing lost."""

import shlex
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

from train.system.errors import UserError

_SECONDS_TO_LEAVE_A_CALLBACK = 0.01


class InterruptedRunError(UserError):
  """The user or the system asked the run to stop, and it was saved.

  Attributes:
    exit_status: What a process that ends for this reason returns, 128 + the signal's number.
  """

  def __init__(self, message: str, number: int):
    """Keeps the message and the number of the signal."""
    super().__init__(message)
    self.exit_status = 128 + number


class StoppedAtOnceError(KeyboardInterrupt):
  """A second signal came, and nothing is waited for.

  Attributes:
    exit_status: As of :class:`InterruptedRunError`.
  """

  def __init__(self, number: int):
    """Keeps the number of the signal."""
    super().__init__()
    self.exit_status = 128 + number


class Interrupts:
  """Notes SIGINT and SIGTERM while it is entered, for the training loop to look at.

  A second one is not held back.

  Attributes:
    signals: What it notes.
    requested: The number of the signal that has come, None before.
  """

  signals: tuple[int, ...] = (signal.SIGINT, signal.SIGTERM)

  def __init__(self):
    """Starts with no signal."""
    self.requested: int | None = None
    self._previous = {}

  def __enter__(self) -> 'Interrupts':
    """Takes over the signals."""
    _entered.append(self)
    for number in self.signals:
      self._previous[number] = signal.signal(number, self._note)
    return self

  def __exit__(self, *_) -> None:
    """Gives them back."""
    _entered.remove(self)
    for number, handler in self._previous.items():
      signal.signal(number, handler)

  def leave_if_requested(self, where: str, save: Callable[[], None] | None = None) -> None:
    """Raises an ``InterruptedRunError`` if a signal has come.

    Args:
      where: Says where the run stopped, and that it is saved.
      save: Is called before.
    """
    number = self._number()
    if number is None:
      return
    if save is not None:
      save()
    raise InterruptedRunError(f'Stopped and saved {where}; go on with: {command_line()}', number)

  def _number(self) -> int | None:
    return self.requested

  def _note(self, number, frame):
    del frame
    if self.requested:
      raise StoppedAtOnceError(number)
    self.requested = number


_entered: list[Interrupts] = []


def request_stop(number: int) -> bool:
  """Has the run that is trained saved and stopped, as if a signal had come; returns whether one is.

  Args:
    number: The number of the signal.
  """
  for interrupts in _entered:
    if interrupts.requested is None:
      interrupts._note(number, None)
  return bool(_entered)


def let_imports_be_interrupted() -> None:
  """Lets Ctrl-C end this process without a traceback, if it is the program and still imports."""
  importing = sys.argv[:1] == ['-m']  # which Python sets while it looks for the program
  if importing and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def raise_again_what_is_swallowed(unraisable: Any) -> None:
  """Is a ``sys.unraisablehook``: a signal that came within a callback still stops the process.

  JAX has one that Python's garbage collector calls, from which no exception gets out.
  """
  error = unraisable.exc_value
  if isinstance(error, KeyboardInterrupt):
    number = getattr(error, 'exit_status', 128 + signal.SIGINT) - 128
    # Not here, where it would be swallowed like the first.
    main = threading.main_thread().ident
    threading.Timer(_SECONDS_TO_LEAVE_A_CALLBACK, signal.pthread_kill, [main, number]).start()
  else:
    sys.__unraisablehook__(unraisable)


def let_the_exit_be_interrupted() -> None:
  """Lets Ctrl-C end this process without a traceback, when all is done and it only cleans up."""
  signal.signal(signal.SIGINT, signal.SIG_DFL)


def imports_are_done() -> None:
  """Lets Ctrl-C raise a ``KeyboardInterrupt`` again."""
  if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def command_line() -> str:
  """Returns the command that goes on with this one."""
  return shlex.join([sys.executable, '-m', 'train', *sys.argv[1:]])
