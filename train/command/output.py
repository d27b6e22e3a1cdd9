"""The program's output, also when it cannot be written or the user's code closes its streams."""

import contextlib
import os
import signal
from typing import IO, Any, cast

from rich.console import Console

from train.system.errors import UserError
from train.system.files import first_line
from train.system.signals import request_stop


class OutputError(UserError):
  """The output cannot be written, as to a full disk."""


class KeptStream:
  """A standard stream that can be written also after the user's code has closed or changed it.

  All but writing is done with the stream itself, as closing it. Replaces characters that its encoding
  lacks.
  """

  def __init__(self, stream: Any):
    stream = stream or open(os.devnull, 'w')  # noqa: SIM115  it was closed before the start
    self._stream = self._own = stream
    with contextlib.suppress(OSError, ValueError, AttributeError):  # it has no file
      buffering = 1 if stream.line_buffering else -1
      file = os.dup(stream.fileno())
      self._own = os.fdopen(file, 'w', buffering, stream.encoding, 'replace')
    self.encoding, self.isatty = stream.encoding, self._own.isatty

  def __getattr__(self, name: str) -> Any:
    return getattr(self._stream, name)

  def write(self, text: str) -> int:
    """Writes as the stream did at the start."""
    return self._own.write(text)

  def flush(self) -> None:
    """Flushes what was written here."""
    self._own.flush()

  def discard(self) -> None:
    """Discards what was not flushed, and all that is written later."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), self._own.fileno())


class GuardedOutput(KeptStream):
  """Standard output whose errors are told apart from those of the working directory."""

  def write(self, text: str) -> int:
    """Writes as the stream did at the start."""
    return self._guarded(super().write, text)

  def flush(self) -> None:
    """Flushes what was written here."""
    self._guarded(super().flush)

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


class Output(Console):
  """The console of the program.

  When its reader is gone, as after `| head`, it prints nothing more, and saves and stops the run.
  """

  def __init__(self, stream: KeptStream):
    super().__init__(file=cast(IO[str], stream))
    self._stream = stream

  def on_broken_pipe(self) -> None:
    self.quiet = True
    self._stream.discard()  # else Python would flush it at exit
    if not request_stop(signal.SIGPIPE):
      raise SystemExit(128 + signal.SIGPIPE)
