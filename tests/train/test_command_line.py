"""What the command line says to what a user may type."""

import subprocess
import sys

import pytest

from tests.train.command_line import run_command
from train.experiments import EXPERIMENTS


def test_list_names_every_experiment():
  output = run_command('list')
  assert all(name in output for name in EXPERIMENTS)


@pytest.mark.parametrize(
  ('arguments', 'message'),
  [
    (['run', 'figure33'], "no experiment 'figure33': choose one of quickstart"),
    (['run', 'quickstart', '--arms', 'fixed-0.8'], "no arm 'fixed-0.8': choose of fixed-0.9"),
    (['run', 'quickstart', '--epochs', '0'], '--epochs must be at least 1, not 0'),
    (['run', 'quickstart', '--batch-size', '-1'], '--batch-size must be at least 1, not -1'),
    (['run', 'quickstart', '--depth', '12'], 'depth must be 6n + 4, not 12: use 10 or 16'),
    (['run', 'quickstart', '--width', '0'], 'width must be at least 1'),
    (['report', 'no/such/directory'], 'no/such/directory holds no runs'),
    (['prepare', 'mnist'], 'mnist'),
  ],
)
def test_errors_are_one_sentence(refused, arguments, message, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  assert message in refused(*arguments)
  assert not list(tmp_path.glob('runs/*/*/*/metrics.csv'))


def test_help_names_the_commands():
  done = subprocess.run(
    [sys.executable, '-m', 'train', '--help'], capture_output=True, text=True, check=True
  )
  for command in ('quickstart', 'list', 'run', 'report', 'prepare'):
    assert command in done.stdout
