"""Ctrl-C and SIGTERM: the first one saves and stops a run, a second one ends the process."""

import shlex
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any, NoReturn

from train.system.errors import UserError

_SECONDS_TO_LEAVE_A_CALLBACK = 0.01


class InterruptedRunError(UserError):
  """The user or the system asked the run to stop, and it was saved; has an exit status."""

  def __init__(self, message: str, number: int):
    super().__init__(message)
    self.exit_status = 128 + number


class StoppedAtOnceError(KeyboardInterrupt):
  """A signal ends the process without saving; has an exit status."""

  def __init__(self, number: int):
    super().__init__()
    self.exit_status = 128 + number


class Interrupts:
  """A context that notes the first signal for the training loop to look at; a second one raises."""

  signals: tuple[int, ...] = (signal.SIGINT, signal.SIGTERM)

  def __init__(self):
    self.requested: int | None = None  # the number of the signal that arrived

  def __enter__(self) -> 'Interrupts':
    _entered.append(self)
    self._previous = {number: signal.signal(number, self._note) for number in self.signals}
    return self

  def __exit__(self, *_) -> None:
    _entered.remove(self)
    for number, handler in self._previous.items():
      signal.signal(number, handler)

  def leave_if_requested(self, where: str, save: Callable[[], None] | None = None) -> None:
    """Raises an ``InterruptedRunError`` if a signal has arrived, after it has called ``save``."""
    if (number := self._number()) is not None:
      if save is not None:
        save()
      raise InterruptedRunError(f'Stopped and saved {where}; go on with: {command_line()}', number)

  def _number(self) -> int | None:
    return self.requested

  def _note(self, number, frame):
    if self.requested:
      raise StoppedAtOnceError(number)
    self.requested = number


_entered: list[Interrupts] = []


def request_stop(number: int) -> bool:
  """Stops the current run as a signal of this number would; returns whether there is a run."""
  for interrupts in _entered:
    if interrupts.requested is None:
      interrupts._note(number, None)
  return bool(_entered)


def resend_swallowed_signal(unraisable: Any) -> None:
  """Sends a signal again whose exception was lost in a callback; is a ``sys.unraisablehook``.

  Python's garbage collector calls one of JAX's callbacks, and no exception leaves it.
  """
  error = unraisable.exc_value
  if isinstance(error, KeyboardInterrupt):
    number = getattr(error, 'exit_status', 128 + signal.SIGINT) - 128
    # Later, because here its exception would be lost again.
    main = threading.main_thread().ident
    threading.Timer(_SECONDS_TO_LEAVE_A_CALLBACK, signal.pthread_kill, [main, number]).start()
  else:
    sys.__unraisablehook__(unraisable)


def let_ctrl_c_kill(kill: bool) -> None:
  """Has Ctrl-C end the process at once and without a traceback, or raise ``StoppedAtOnceError``.

  A process that was started with Ctrl-C ignored, as in the background of a shell, still ignores it.
  """
  if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.SIG_DFL if kill else _stop_at_once)


def _stop_at_once(number: int, _) -> NoReturn:
  raise StoppedAtOnceError(number)


def command_line() -> str:
  """Returns the command that resumes what this process does."""
  return shlex.join([sys.executable, '-m', 'train', *sys.argv[1:]])
