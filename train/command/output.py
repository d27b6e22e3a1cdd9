"""Where the program's output goes, and what happens where it cannot go there."""

import io
import os
import signal
import sys

from rich.console import Console

from train.system.signals import request_stop


class Output(Console):
  """The console of the program.

  When nobody reads it any more, as after `| head`, it falls silent, and a run that is trained is
  saved and stopped.
  """

  def on_broken_pipe(self) -> None:
    """See :meth:`rich.console.Console.on_broken_pipe`."""
    self.quiet = True
    # What is still to be flushed goes nowhere.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if not request_stop(signal.SIGPIPE):
      raise SystemExit(128 + signal.SIGPIPE)


def write_what_can_be_written() -> None:
  """Has characters replaced that the output's encoding does not have, as ± in ASCII."""
  for stream in (sys.stdout, sys.stderr):
    if isinstance(stream, io.TextIOWrapper):
      stream.reconfigure(errors='replace')
