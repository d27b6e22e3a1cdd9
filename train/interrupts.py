"""Leaving a run on Ctrl-C or SIGTERM with nothing lost."""

import shlex
import signal
import sys

from train.errors import UserError


class InterruptedRunError(UserError):
  """The user or the system asked the run to stop, and it was saved."""


class Interrupts:
  """Notes SIGINT and SIGTERM while it is entered, for the training loop to look at.

  A second Ctrl-C is not held back.

  Attributes:
    requested: Whether a signal has come.
  """

  def __init__(self):
    """Starts with no signal."""
    self.requested = False
    self._previous = {}

  def __enter__(self) -> 'Interrupts':
    """Takes over the signals."""
    for number in (signal.SIGINT, signal.SIGTERM):
      self._previous[number] = signal.signal(number, self._note)
    return self

  def __exit__(self, *_) -> None:
    """Gives them back."""
    for number, handler in self._previous.items():
      signal.signal(number, handler)

  def _note(self, number, frame):
    if self.requested:
      signal.default_int_handler(number, frame)
    self.requested = True


def command_line() -> str:
  """Returns the command that goes on with this one."""
  return shlex.join(['python', '-m', 'train', *sys.argv[1:]])
