"""Leaving a run on Ctrl-C or SIGTERM with nothing lost."""

import shlex
import signal
import sys
from collections.abc import Callable

from train.errors import UserError


class InterruptedRunError(UserError):
  """The user or the system asked the run to stop, and it was saved.

  Attributes:
    exit_status: What a process that ends for this reason returns, 128 + the signal's number.
  """

  def __init__(self, message: str, number: int):
    """Keeps the message and the number of the signal."""
    super().__init__(message)
    self.exit_status = 128 + number


class Interrupts:
  """Notes SIGINT and SIGTERM while it is entered, for the training loop to look at.

  A second Ctrl-C is not held back.

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
    for number in self.signals:
      self._previous[number] = signal.signal(number, self._note)
    return self

  def __exit__(self, *_) -> None:
    """Gives them back."""
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
    if self.requested:
      signal.default_int_handler(number, frame)
    self.requested = number


def command_line() -> str:
  """Returns the command that goes on with this one."""
  return shlex.join([sys.executable, '-m', 'train', *sys.argv[1:]])
