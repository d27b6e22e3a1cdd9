"""The program's output, also when its reader is gone."""

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
