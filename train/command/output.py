"""The program's output, also where its reader is gone or its encoding lacks characters."""

import io
import os
import signal
import sys

from rich.console import Console

from train.system.signals import request_stop


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


def write_what_can_be_written() -> None:
  """Replaces characters that the output's encoding lacks, such as ± in ASCII."""
  for stream in (sys.stdout, sys.stderr):
    if isinstance(stream, io.TextIOWrapper):
      stream.reconfigure(errors='replace')
