"""Tuning: what decides, what is never looked at, and what is left behind."""

import csv
import dataclasses
import json
import shutil

import numpy as np
import pytest
from flax import nnx

from tests.train.support import run_command, tables
from train import Comparison, Dataset, Split, UserError, compare, tune
from train.launch import tuning as launch_tuning
from train.reports.results import Results

pytestmark = pytest.mark.training
ARMS = ('fixed-0.5', 'low0.5-high0.9', 'yoked0.5-0.9')
PROBLEM = """
import numpy as np
from flax import nnx
from train import Comparison, Dataset, Split

inputs = np.random.default_rng(0).normal(size=(60, 3)).astype('float32')
split = Split(inputs, (inputs.sum(1) > 0).astype(int))
comparison = Comparison(
  name='sums',
  dataset=Dataset('sums', split, split, ('low', 'high')),
  network=lambda num_classes, rngs: nnx.Linear(3, num_classes, rngs=rngs),
  epochs=2,
  batch_size=8,
  arms=('fixed-0.5',),
)
"""


def dataset(validation=None) -> Dataset:
  inputs = np.random.default_rng(0).normal(size=(60, 3)).astype('float32')
  split = Split(inputs, (inputs.sum(1) > 0).astype(int))
  return Dataset('sums', split, split, ('low', 'high'), validation)


def network(num_classes, rngs):
  return nnx.Linear(3, num_classes, rngs=rngs)


COMPARISON = Comparison(
  name='sums', dataset=dataset, network=network, epochs=2, batch_size=8, arms=ARMS
)
OPTIONS = {'points': 4, 'tuning_seeds': 2, 'seeds': range(3), 'progress': False}


@pytest.fixture(scope='module')
def made(tmp_path_factory) -> tuple[Results, object]:
  """Returns the results of a tuning, and its working directory."""
  workdir = tmp_path_factory.mktemp('runs')
  return tune(COMPARISON, workdir=workdir, **OPTIONS), workdir


def rows_of(workdir) -> list[dict[str, str]]:
  with (workdir / 'tuning.csv').open() as file:
    return list(csv.DictReader(file))


def config_of(workdir, arm) -> dict:
  return json.loads((workdir / arm / 'seed-0' / 'config.json').read_text())['arm']


def test_the_point_with_the_best_validation_metric_is_trained(made):
  _, workdir = made
  rows = rows_of(workdir)
  for arm in ('fixed-0.5', 'low0.5-high0.9'):
    of_arm = [row for row in rows if row['arm'] == arm]
    assert len(of_arm) in (4, 8)
    for row in of_arm:
      folder = workdir / 'tuning' / f'{arm}-point{row["point"]}'
      values = [
        float(path.read_text().splitlines()[-1].split(',')[3])
        for path in sorted(folder.glob('seed-*/metrics.csv'))
      ]
      np.testing.assert_allclose(np.mean(values), float(row['metric']), rtol=1e-6)
      assert len(values) == 2
    (picked,) = [row for row in of_arm if row['picked'] == '1']
    assert float(picked['metric']) == min(float(row['metric']) for row in of_arm)
    assert config_of(workdir, arm)['learning_rate'] == float(picked['learning_rate'])
  assert (
    len({sum(row['arm'] == arm for row in rows) for arm in ('fixed-0.5', 'low0.5-high0.9')}) == 1
  )


def test_yoked_runs_are_trained_with_the_numbers_of_their_partners(made):
  _, workdir = made
  rates = [config_of(workdir, arm)['learning_rate'] for arm in ('low0.5-high0.9', 'yoked0.5-0.9')]
  assert rates[0] == rates[1]
  assert 'yoked0.5-0.9' not in {row['arm'] for row in rows_of(workdir)}


def test_reports_tell_settings_and_sensitivity(made):
  results, workdir = made
  assert set(results.arms) == set(ARMS)
  assert results.arms['yoked0.5-0.9'].metric.shape == (3,)
  assert len(results.tuning) == len(rows_of(workdir))
  page = results._repr_html_()
  assert page.count('<img') == 2
  (axis,) = results.plot_sensitivity().axes
  assert axis.get_xscale() == 'log'
  assert 'validation error' in axis.get_ylabel()


def test_validation_examples_are_those_given_or_kept_out_of_training():
  """What chooses has no test examples to look at."""
  whole = COMPARISON.load()
  tuned = dataclasses.replace(COMPARISON, stage='tuned').load()
  tuning = dataclasses.replace(COMPARISON, stage='tuning').load()
  assert (len(tuned.train), len(tuning.test), len(tuned.test)) == (48, 12, 60)
  np.testing.assert_array_equal(tuned.train.inputs, tuning.train.inputs)
  both = np.concatenate([tuning.train.inputs, tuning.test.inputs])
  np.testing.assert_array_equal(np.sort(both, 0), np.sort(whole.train.inputs, 0))
  own = Split(whole.train.inputs[:5], whole.train.labels[:5])
  given = dataclasses.replace(COMPARISON, dataset=dataset(validation=own), stage='tuning').load()
  assert (len(given.train), len(given.test)) == (60, 5)


def test_a_tuning_that_was_cut_short_goes_on_to_the_same_bytes(made, tmp_path):
  _, workdir = made
  cut = tmp_path / 'cut'
  shutil.copytree(workdir, cut)
  (cut / 'tuning.csv').unlink()
  shutil.rmtree(cut / 'fixed-0.5')
  shutil.rmtree(cut / 'tuning' / 'low0.5-high0.9-point1')
  tune(COMPARISON, workdir=cut, **OPTIONS)
  assert tables(cut) == tables(workdir)
  assert (cut / 'tuning.csv').read_bytes() == (workdir / 'tuning.csv').read_bytes()


def test_another_search_in_the_same_folder_is_refused(made):
  _, workdir = made
  before = (workdir / 'tuning.csv').read_bytes()
  with pytest.raises(UserError, match='another configuration'):
    tune(dataclasses.replace(COMPARISON, weight_decay=0.1), workdir=workdir, **OPTIONS)
  assert (workdir / 'tuning.csv').read_bytes() == before


@pytest.fixture(scope='module')
def far_off(tmp_path_factory) -> tuple[Results, object]:
  """Returns a tuning that starts from a learning rate that is far too low, without seeds to test."""
  workdir = tmp_path_factory.mktemp('runs')
  schedule = dataclasses.replace(COMPARISON.schedule, init_value=1e-6)
  comparison = dataclasses.replace(COMPARISON, schedule=schedule, arms=('fixed-0.5',), epochs=4)
  options = OPTIONS | {'epoch': 'best', 'seeds': None}
  return tune(comparison, workdir=workdir, **options), workdir


def test_tuned_and_other_runs_are_not_mixed(made, tmp_path):
  """It is said before anything is trained, with the reason alone."""
  _, workdir = made
  with pytest.raises(
    UserError, match='seed-0 holds a run that was tuned: choose another --workdir'
  ):
    compare(COMPARISON, workdir=workdir, progress=False)
  plain = json.loads((workdir / 'fixed-0.5' / 'seed-0' / 'config.json').read_text())
  config = tmp_path / 'fixed-0.5' / 'seed-0' / 'config.json'
  config.parent.mkdir(parents=True)
  config.write_text(json.dumps(plain | {'stage': None}))
  with pytest.raises(UserError, match='holds a run that was not tuned: choose another --workdir'):
    tune(COMPARISON, workdir=tmp_path, **OPTIONS)
  assert not (tmp_path / 'tuning').exists()


def test_the_range_is_widened_where_the_best_point_lies_at_its_edge(far_off):
  _, workdir = far_off
  rates = [float(row['effective_rate']) for row in rows_of(workdir)]
  assert len(rates) == 8
  assert min(rates[4:]) > max(rates[:4])


def test_arms_may_be_judged_by_their_best_epoch(far_off):
  results, workdir = far_off
  (picked,) = [row for row in rows_of(workdir) if row['picked'] == '1']
  curves = results.curves()['fixed-0.5']['metric']
  np.testing.assert_array_equal(
    results.arms['fixed-0.5'].metric, curves[:, int(picked['epoch']) - 1]
  )
  of_epochs = []
  for epoch in range(4):
    paths = (workdir / 'tuning' / f'fixed-0.5-point{picked["point"]}').glob('seed-*/metrics.csv')
    rows = [path.read_text().splitlines()[epoch + 1] for path in paths]
    of_epochs.append(np.mean([float(row.split(',')[3]) for row in rows]))
  assert int(picked['epoch']) == np.argmin(of_epochs) + 1


def test_without_seeds_there_are_a_hundred_where_runs_are_trained_at_once(far_off, tmp_path):
  results, _ = far_off
  assert results.arms['fixed-0.5'].seeds == tuple(range(100))
  assert launch_tuning.default_seeds(tmp_path) == range(5)


@pytest.mark.slow
def test_an_arm_without_any_result_is_one_sentence(tmp_path):
  schedule = dataclasses.replace(COMPARISON.schedule, init_value=1e30)
  comparison = dataclasses.replace(COMPARISON, schedule=schedule, arms=('fixed-0.5',))
  with pytest.raises(UserError, match='no result at any of its points: all diverged'):
    tune(comparison, workdir=tmp_path, **OPTIONS)


@pytest.mark.parametrize('further', [(), pytest.param(('--jobs', '2'), marks=pytest.mark.slow)])
def test_tune_on_the_command_line(tmp_path, further):
  problem = tmp_path / 'sums.py'
  problem.write_text(PROBLEM)
  command = ['tune', problem, '--points', '2', '--tuning-seeds', '2', '--seeds', '0-1', *further]
  assert 'Sensitivity to the learning rate' in run_command(*command, '--workdir', tmp_path / 'runs')
  report = (tmp_path / 'runs' / 'report.md').read_text()
  assert 'sums, tuned' in report
  assert '![sensitivity](sensitivity.png)' in report
  assert 'Tuned settings' in (tmp_path / 'runs' / 'report.html').read_text()
  if further:  # the same bytes
    comparison = dataclasses.replace(COMPARISON, arms=('fixed-0.5',))
    tune(comparison, workdir=tmp_path / 'python', points=2, tuning_seeds=2, seeds=range(2))
    assert tables(tmp_path / 'python') == tables(tmp_path / 'runs')
