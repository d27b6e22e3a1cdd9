"""What the command line says to what a user may type."""

import subprocess
import sys

import pytest

from tests.train.command_line import run_command
from train.experiments import EXPERIMENTS


def test_list_tells_what_experiments_cost():
  lines = run_command('list', columns=200).splitlines()
  for name, parts in EXPERIMENTS.items():
    rows = [line for line in lines if line.startswith(f' {name} ')]
    assert len(rows) == len(parts)
    for row, part in zip(rows, parts, strict=True):
      assert all(
        text in row for text in (part.name, part.dataset, *(arm.name for arm in part.arms))
      )
  (figure3,) = [line for line in lines if line.startswith(' figure3 ')]
  assert '36,479,194' in figure3
  assert '58,650' in figure3  # 150 epochs of 391 steps


def test_list_times_what_it_is_asked_to():
  (line,) = [
    line
    for line in run_command('list', '--probe', 'quickstart', columns=200).splitlines()
    if line.startswith(' quickstart ')
  ]
  assert float(line.split()[-1]) > 0


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
