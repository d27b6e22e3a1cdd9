"""Yoked runs on the command line: whose phases they replay, and when."""

import csv
import json

import numpy as np
import pytest

from tests.train.support import LCAM, YOKED, run_command, write_problem
from train.storage.tables import read_phases, read_table

pytestmark = pytest.mark.training


def arguments_of(workdir, *seeds, arms=(YOKED, LCAM)):
  """Returns a command of two epochs of ten steps."""
  path = write_problem(workdir, epochs=2)
  arguments = '--train-examples', 80, '--workdir', workdir / 'runs', '--arms', *arms
  return 'run', path, *arguments, '--seeds', *seeds


def run_seeds(workdir, *seeds, arms=(YOKED, LCAM)):
  return run_command(*arguments_of(workdir, *seeds, arms=arms))


def mean_momenta(workdir, arm, seed):
  return read_table(workdir / arm / f'seed-{seed}' / 'metrics.csv', ['mean_momentum'])


@pytest.fixture(scope='module')
def finished(tmp_path_factory):
  workdir = tmp_path_factory.mktemp('yoked')
  run_seeds(workdir, 0, 1, 2)
  return workdir / 'runs'


def test_phases_are_recorded_exactly(finished):
  with (finished / LCAM / 'seed-0' / 'phases.csv').open(newline='') as file:
    rows = list(csv.DictReader(file))
  assert [row['epoch'] for row in rows] == ['1', '2']
  assert all(len(row['high_loss_phases']) == 10 for row in rows)
  metrics = read_table(finished / LCAM / 'seed-0' / 'metrics.csv', ['high_loss_share'])
  shares = [row['high_loss_phases'].count('1') / 10 for row in rows]
  np.testing.assert_allclose(metrics['high_loss_share'], shares)


@pytest.mark.parametrize(('seed', 'partner'), [(0, 1), (1, 2), (2, 0)])
def test_a_yoked_run_has_the_momenta_of_the_next_seed(finished, seed, partner):
  directory = finished / YOKED / f'seed-{seed}'
  assert json.loads((directory / 'config.json').read_text())['partner_seed'] == partner
  np.testing.assert_array_equal(
    read_phases(directory, 2), read_phases(finished / LCAM / f'seed-{partner}', 2)
  )
  np.testing.assert_array_equal(
    mean_momenta(finished, YOKED, seed)['mean_momentum'],
    mean_momenta(finished, LCAM, partner)['mean_momentum'],
  )


def test_a_finished_yoked_run_keeps_its_partner_when_seeds_are_added(finished):
  output = run_seeds(finished.parent, 0, 1, 2, 3)
  assert f'{YOKED} seed 2: finished before' in output
  config = json.loads((finished / YOKED / 'seed-3' / 'config.json').read_text())
  assert config['partner_seed'] == 0


def test_a_partner_may_have_been_run_before(tmp_path):
  run_seeds(tmp_path, 0, 1, arms=(LCAM,))
  run_seeds(tmp_path, 0, 1, arms=(YOKED,))
  assert read_phases(tmp_path / 'runs' / YOKED / 'seed-1', 2) is not None


def test_without_its_partner_it_says_what_to_run(tmp_path, refused):
  arguments = arguments_of(tmp_path, 0, 1, arms=(YOKED,))
  assert f'run {LCAM} with that seed first, or add it to --arms' in refused(*arguments)


def test_optimizers_without_a_phase_have_none(tmp_path):
  output = run_seeds(tmp_path, 0, 1, arms=('fixed-0.9', 'adam'))
  columns = read_table(
    tmp_path / 'runs' / 'adam' / 'seed-0' / 'metrics.csv',
    ['high_loss_share', 'mean_momentum', 'test_loss'],
  )
  assert np.isnan(columns['high_loss_share']).all()
  assert np.isnan(columns['mean_momentum']).all()
  assert np.isfinite(columns['test_loss']).all()
  assert 'nan' not in output
