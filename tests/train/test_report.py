"""The statistics of a report, against SciPy's, and its words."""

import csv
import json
import re

import numpy as np
import pytest
from scipy import stats

from tests.train.command_line import run_command
from train.contrasts import contrasts
from train.read_runs import find_runs
from train.records import EpochRecord
from train.statistics import estimate

ERRORS = {
  'fixed-0.9': [5.0, 5.4, 4.9, 5.2],
  'better': [4.0, 4.5, 3.9, 4.1],
  'same': [5.1, 5.2, 5.0, 5.3],
}


def write_run(workdir, arm, seed, error, epochs=1):
  directory = workdir / arm / f'seed-{seed}'
  directory.mkdir(parents=True)
  rows = [','.join(EpochRecord._fields)]
  rows += [f'{epoch},1.5,1.5,{error},0.1,0.4,0.9,1' for epoch in range(1, epochs + 1)]
  (directory / 'metrics.csv').write_text('\n'.join(rows) + '\n')
  timing = ['epoch,seconds,steps_per_second', *(f'{epoch},2.5,8' for epoch in range(1, epochs + 1))]
  (directory / 'timing.csv').write_text('\n'.join(timing) + '\n')


@pytest.fixture
def output(tmp_path):
  for arm, errors in ERRORS.items():
    for seed, error in enumerate(errors):
      write_run(tmp_path, arm, seed, error)
  return run_command('report', tmp_path)


def cells(output, arm):
  (line,) = [line for line in output.splitlines() if line.startswith(f' {arm} ')]
  return re.split(' {2,}', line.strip())


def test_mean_and_interval(output):
  interval = stats.t.interval(0.95, 3, np.mean(ERRORS['better']), stats.sem(ERRORS['better']))
  half_width = (interval[1] - interval[0]) / 2
  assert cells(output, 'better')[1:3] == [
    '4',
    f'{np.mean(ERRORS["better"]):.2f} ± {half_width:.2f}',
  ]


def test_paired_difference(output):
  interval = stats.ttest_rel(ERRORS['better'], ERRORS['fixed-0.9']).confidence_interval()
  mean, half_width = sum(interval) / 2, (interval.high - interval.low) / 2
  assert cells(output, 'better')[3] == f'{mean:+.2f} ± {half_width:.2f}'
  assert cells(output, 'fixed-0.9')[3] == '-'


def test_words(output):
  text = ' '.join(output.split())
  assert 'better: a lower error than fixed-0.9 was shown' in text
  assert 'same: no difference to fixed-0.9 was shown; the interval holds zero (' in text


def test_one_seed_shows_nothing(tmp_path):
  write_run(tmp_path, 'fixed-0.9', 0, 5.0)
  write_run(tmp_path, 'better', 0, 1.0)
  output = run_command('report', tmp_path)
  assert cells(output, 'better')[2:4] == ['1.00', '-4.00']
  assert 'one seed cannot tell a difference to fixed-0.9 from noise' in ' '.join(output.split())


def test_an_arm_without_a_baseline(tmp_path):
  write_run(tmp_path, 'better', 0, 1.0)
  assert 'no run of fixed-0.9 on the same seeds' in ' '.join(
    run_command('report', tmp_path).split()
  )


def test_only_the_same_seeds_are_compared(tmp_path):
  for seed, error in enumerate([5.0, 5.4, 9.9]):
    write_run(tmp_path, 'fixed-0.9', seed, error)
  for seed, error in enumerate([4.0, 4.0]):
    write_run(tmp_path, 'better', seed, error)
  assert cells(run_command('report', tmp_path), 'better')[3].startswith('-1.20 ±')


def test_unfinished_runs_are_left_out_and_named(tmp_path):
  write_run(tmp_path, 'fixed-0.9', 0, 5.0, epochs=3)
  write_run(tmp_path, 'fixed-0.9', 1, 90.0, epochs=1)
  output = run_command('report', tmp_path)
  assert cells(output, 'fixed-0.9')[1:3] == ['1', '5.00']
  assert 'fixed-0.9: seed 1 is unfinished (1 of 3 epochs) and not in the mean' in output


def test_a_pair_is_set_against_its_coin_and_its_other_direction(tmp_path):
  errors = {
    'low0.9-high0.95': [4.0, 4.5, 3.9],
    'low0.95-high0.9': [4.9, 5.5, 4.8],
    'coin': [4.1, 4.3, 3.95],
    'coin0.857-0.93': [9.0, 9.1, 9.2],
  }
  config = {'experiment': 'figure3', 'part': 'cifar10', 'epochs': 1, 'batch_size': 128}
  config |= {'network': {'kind': 'wide_resnet', 'depth': 10, 'width': 1}, 'dtype': 'float32'}
  config |= {'dataset': 'cifar10', 'train_examples': None}
  for arm, values in errors.items():
    for seed, error in enumerate(values):
      write_run(tmp_path, arm, seed, error)
      (tmp_path / arm / f'seed-{seed}' / 'config.json').write_text(json.dumps(config))
  text = ' '.join(run_command('report', tmp_path).split())
  mirror = stats.ttest_rel(errors['low0.9-high0.95'], errors['low0.95-high0.9'])
  interval = mirror.confidence_interval()
  assert (
    f'low0.9-high0.95: a lower error than low0.95-high0.9 was shown, by {-sum(interval) / 2:.2f} ± '
    f'{(interval.high - interval.low) / 2:.2f} points' in text
  )
  assert 'low0.9-high0.95: no difference to coin was shown' in text
  # The coin has the momenta in the proportion of one direction only, and another pair's not at all.
  found = contrasts(find_runs(tmp_path)[tmp_path])
  assert [(contrast.kind, contrast.arm, contrast.other) for contrast in found] == [
    ('coin', 'low0.9-high0.95', 'coin'),
    ('direction', 'low0.9-high0.95', 'low0.95-high0.9'),
  ]


def test_the_folder_of_an_arm_is_no_working_directory(tmp_path, refused):
  write_run(tmp_path, 'better', 0, 1.0)
  assert 'holds no runs' in refused('report', tmp_path / 'better')
  assert not (tmp_path / 'report.md').exists()


def test_a_run_knows_how_many_epochs_it_should_have(tmp_path):
  write_run(tmp_path, 'fixed-0.9', 0, 5.0, epochs=2)
  config = {'experiment': 'other', 'part': '', 'epochs': 9, 'dataset': 'digits'}
  (tmp_path / 'fixed-0.9' / 'seed-0' / 'config.json').write_text(json.dumps(config))
  output = run_command('report', tmp_path)
  assert cells(output, 'fixed-0.9')[1:3] == ['0', 'unfinished']
  assert '(2 of 9 epochs)' in output


@pytest.mark.parametrize('damage', [b'epoch,seconds\n1,abc\n', b'epoch\n1\n', b'\xff\xfe'])
@pytest.mark.parametrize('table', ['metrics.csv', 'timing.csv'])
def test_a_damaged_table_is_named(tmp_path, refused, table, damage):
  write_run(tmp_path, 'fixed-0.9', 0, 5.0)
  (tmp_path / 'fixed-0.9' / 'seed-0' / table).write_bytes(damage)
  assert f'{table} cannot be read' in refused('report', tmp_path)


def test_runs_without_an_epoch_are_no_runs(tmp_path, refused):
  write_run(tmp_path, 'fixed-0.9', 0, 5.0, epochs=0)
  assert 'holds no runs with a finished epoch' in refused('report', tmp_path)


def test_an_estimate_of_equal_values_is_certain():
  assert estimate(np.array([2.0, 2.0, 2.0])) == (2.0, 0.0)


def test_several_parts_are_compared_in_one_table_and_plot(tmp_path):
  for part in ('one', 'deeper/two'):
    for arm, errors in ERRORS.items():
      for seed, error in enumerate(errors):
        write_run(tmp_path / part, arm, seed, error)
  write_run(tmp_path / 'single', 'better', 0, 1.0)
  write_run(tmp_path / 'single', 'fixed-0.9', 0, 1.0)
  assert 'Differences of all parts' in run_command('report', tmp_path)
  rows = list(csv.DictReader((tmp_path / 'differences.csv').open()))
  assert [(row['part'], row['arm'], row['seeds']) for row in rows] == [
    (part, arm, '4') for part in ('deeper/two', 'one') for arm in ('better', 'same')
  ]
  interval = stats.ttest_rel(ERRORS['better'], ERRORS['fixed-0.9']).confidence_interval()
  np.testing.assert_allclose(float(rows[0]['difference']), sum(interval) / 2)
  np.testing.assert_allclose(float(rows[0]['half_width']), (interval.high - interval.low) / 2)
  assert (tmp_path / 'differences.png').read_bytes().startswith(b'\x89PNG')
