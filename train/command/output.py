"""The program's output, also when its reader is gone or it cannot be written."""

import contextlib
import os
import signal
import sys
from typing import Any

from rich.console import Console

from train.system.errors import UserError
from train.system.files import first_line
from train.system.signals import request_stop


class OutputError(UserError):
  """The output cannot be written, as to a full disk or after the user's code has closed it."""


class GuardedOutput:
  """Standard output whose errors are told apart from those of the working directory."""

  def __init__(self, stream: Any):
    self._stream = stream

  def __getattr__(self, name: str) -> Any:
    return getattr(self._stream, name)

  def write(self, text: str) -> int:
    """Writes as the stream does."""
    return self._guarded(self._stream.write, text)

  def flush(self) -> None:
    """Flushes as the stream does."""
    self._guarded(self._stream.flush)

  def _guarded(self, function: Any, *arguments: Any) -> Any:
    try:
      return function(*arguments)
    except BrokenPipeError:
      raise
    except (OSError, ValueError) as error:
      raise OutputError(
        f'The output cannot be written ({first_line(error)}); what was saved is kept. Send it '
        'elsewhere, then run the command again.'
      ) from error


def complain(sentence: object) -> None:
  """Prints a sentence on standard error, if that can be written."""
  with contextlib.suppress(OSError, ValueError):
    if sys.stderr is not None:  # it was closed before the process started
      print(sentence, file=sys.stderr, flush=True)


class Output(Console):
  """The console of the program.

  When its reader is gone, as after `| head`, it prints nothing more, and saves and stops the run.
  """

  def on_broken_pipe(self) -> None:
    self.quiet = True
    # The rest of the buffer, which Python flushes at exit, must go somewhere.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if not request_stop(signal.SIGPIPE):
      raise SystemExit(128 + signal.SIGPIPE)
