"""Runs the command line in this process, so that programs need not be compiled in a new one."""

import contextlib
import io
import sys
from unittest import mock

from train.__main__ import main


def run_command(*arguments, columns: int = 80) -> str:
  """Runs ``python -m train ...`` and returns what it printed."""
  argv = ['train', *map(str, arguments)]
  with (
    mock.patch.object(sys, 'argv', argv),
    mock.patch.dict('os.environ', COLUMNS=str(columns)),
    contextlib.redirect_stdout(io.StringIO()) as output,
  ):
    main()
  return output.getvalue()
