"""The main job, shrunk: real digits, all steps from training to report."""

import csv
import dataclasses
import json
import re

import numpy as np
import pytest
from PIL import Image

from tests.train.support import LCAM, YOKED, run_command, write_problem
from train.problem.arms import Lcam
from train.problem.experiments import DIGITS, EXPERIMENTS, NOISY_DIGITS
from train.storage.tables import metrics_columns, read_table

pytestmark = pytest.mark.training


def momenta(arm):
  return arm.momenta if isinstance(arm, Lcam) else (arm.momentum,)


SMALL = ('--epochs', 2, '--train-examples', 80, '--batch-size', 40)
ARMS = [arm.name for arm in DIGITS.arms]


@pytest.fixture(scope='module')
def finished(tmp_path_factory):
  """Returns the working directory and the output of a small comparison."""
  workdir = tmp_path_factory.mktemp('digits')
  return workdir, run_command('run', 'digits', '--workdir', workdir, '--seeds', 0, 1, *SMALL)


def test_every_run_is_recorded(finished):
  workdir, _ = finished
  for arm in ARMS:
    for seed in (0, 1):
      directory = workdir / arm / f'seed-{seed}'
      config = json.loads((directory / 'config.json').read_text())
      assert (config['arm']['name'], config['seed'], config['epochs']) == (arm, seed, 2)
      metrics = read_table(directory / 'metrics.csv', metrics_columns())
      np.testing.assert_array_equal(metrics['epoch'], [1, 2])
      assert all(np.isfinite(column).all() for column in metrics.values())
      assert (read_table(directory / 'timing.csv', ['seconds'])['seconds'] > 0).all()


def test_the_output_has_progress_a_table_and_words(finished):
  _, output = finished
  for arm in ARMS:
    assert f'{arm} seed 1  epoch 2/2' in output
  assert 'error %' in output
  assert 'The smallest difference that 2 seeds show here: ' in ' '.join(output.split())


def test_the_report_is_written_with_a_plot(finished):
  workdir, _ = finished
  image = Image.open(workdir / 'curves.png').convert('RGB')
  assert min(image.size) > 400
  assert len(image.getcolors(maxcolors=2**24)) > 10
  assert '| fixed-0.9 | 2 |' in (workdir / 'report.md').read_text()
  with (workdir / 'report.csv').open(newline='') as file:
    assert [row['arm'] for row in csv.DictReader(file)] == ARMS


def test_the_momentum_is_the_one_of_the_phase(finished):
  workdir, _ = finished
  for arm in DIGITS.arms:
    metrics = read_table(workdir / arm.name / 'seed-0' / 'metrics.csv', metrics_columns())
    low, high = min(momenta(arm)), max(momenta(arm))
    assert (metrics['mean_momentum'] >= low - 1e-6).all()
    assert (metrics['mean_momentum'] <= high + 1e-6).all()


def test_the_schedule_is_scaled_to_the_epochs(finished):
  workdir, _ = finished
  metrics = read_table(workdir / 'fixed-0.9' / 'seed-0' / 'metrics.csv', metrics_columns())
  np.testing.assert_allclose(metrics['learning_rate'], [0.1, 0.0008], rtol=1e-6)


def test_arms_of_a_seed_share_weights_and_batches(tmp_path):
  # With one step per epoch the first epoch's loss comes before any momentum has had an effect.
  arms = ('fixed-0.9', LCAM, YOKED, 'adam')
  run_command(
    *('run', write_problem(tmp_path, epochs=1), '--arms', *arms, '--workdir', tmp_path / 'runs'),
    *('--train-examples', 40, '--batch-size', 40),
  )
  losses = {
    seed: {
      read_table(tmp_path / 'runs' / arm / f'seed-{seed}' / 'metrics.csv', ['train_loss'])[
        'train_loss'
      ][0]
      for arm in arms
    }
    for seed in (0, 1)
  }
  assert len(losses[0]) == len(losses[1]) == 1
  assert losses[0] != losses[1]


def test_the_same_command_gives_the_same_bytes(finished, tmp_path):
  workdir, _ = finished
  arm = ARMS[1]
  run_command(*('run', 'digits', '--workdir', tmp_path, '--seeds', 1, '--arms', arm), *SMALL)
  written = tmp_path / arm / 'seed-1' / 'metrics.csv'
  assert written.read_bytes() == (workdir / arm / 'seed-1' / 'metrics.csv').read_bytes()


def test_finished_runs_are_kept(finished):
  workdir, _ = finished
  metrics = workdir / ARMS[0] / 'seed-0' / 'metrics.csv'
  before = metrics.stat().st_mtime_ns
  output = run_command('run', 'digits', '--workdir', workdir, '--seeds', 0, 1, *SMALL)
  assert f'{ARMS[0]} seed 0: finished before' in output
  assert metrics.stat().st_mtime_ns == before


def test_runs_of_another_configuration_are_refused(finished, refused):
  workdir, _ = finished
  before = (workdir / ARMS[0] / 'seed-0' / 'metrics.csv').read_bytes()
  message = refused('run', 'digits', '--workdir', workdir, '--epochs', 3)
  assert 'epochs was 2, is 3' in message
  assert 'choose another --workdir' in message
  assert (workdir / ARMS[0] / 'seed-0' / 'metrics.csv').read_bytes() == before


def test_report_alone_prints_the_same_table(finished):
  workdir, output = finished
  table = output.splitlines()[-20:]
  assert run_command('report', workdir).splitlines()[-20:] == table


def test_the_quickstart_ends_in_a_verdict_on_wrong_labels(tmp_path, monkeypatch):
  # As `python -m train` does it, but for the number of seeds and epochs.
  small = dataclasses.replace(NOISY_DIGITS, seeds=tuple(range(16)), epochs=2)
  monkeypatch.setitem(EXPERIMENTS, 'noisy-digits', (small,))
  output = run_command('quickstart', '--workdir', tmp_path)
  verdict = ' '.join(output.split('\n\n')[2].split())
  assert re.search(
    r'low-loss phase \(low0.95-high0\): error [\d.]+ % instead of [\d.]+ % \(fixed-0.475\)', verdict
  )
  assert re.search(r'The smallest difference that 16 seeds show here: 0\.\d\d points', verdict)
