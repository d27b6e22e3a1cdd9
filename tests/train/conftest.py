"""Fixtures for the command line."""

import pytest

from tests.train.support import run_command


@pytest.fixture
def refused(capsys):
  """Returns a function that runs a command that must fail and returns its one-line message."""

  def run(*arguments):
    with pytest.raises(SystemExit) as exit_info:
      run_command(*arguments)
    assert exit_info.value.code == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    return lines[0]

  return run
