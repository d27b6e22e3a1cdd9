"""Runs the command line in this process, so that programs need not be compiled in a new one."""

import contextlib
import io
import sys
from unittest import mock

import pytest

from train.__main__ import main


def run_command(*arguments, columns: int = 80, status: int = 0) -> str:
  """Runs ``python -m train ...``, which must end with a status, and returns what it printed."""
  argv = ['train', *map(str, arguments)]
  with (
    mock.patch.object(sys, 'argv', argv),
    mock.patch.dict('os.environ', COLUMNS=str(columns)),
    contextlib.redirect_stdout(io.StringIO()) as output,
  ):
    if status:
      with pytest.raises(SystemExit) as exit_info:
        main()
      assert exit_info.value.code == status
    else:
      main()
  return output.getvalue()
