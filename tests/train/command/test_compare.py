"""A comparison from Python: what it returns, what it raises, and what it leaves behind."""

import dataclasses
import math

import jax
import numpy as np
import pytest
from flax import nnx
from scipy import stats

import train
from tests.train.support import tables
from train import Comparison, Dataset, Split, compare
from train.reports.results import Results

pytestmark = pytest.mark.training
ARMS = ('fixed-0.5', 'low0.5-high0.9')


def dataset() -> Dataset:
  inputs = np.random.default_rng(0).normal(size=(60, 3))
  split = Split(inputs, (inputs.sum(1) > 0).astype(int))
  return Dataset('sums', split, split, ('low', 'high'))


def network(num_classes, rngs):
  return nnx.Linear(3, num_classes, rngs=rngs)


COMPARISON = Comparison(
  name='sums', dataset=dataset, network=network, epochs=2, batch_size=8, arms=ARMS, seeds=(0, 1, 2)
)


@pytest.fixture(scope='module')
def made(tmp_path_factory) -> tuple[Results, object]:
  """Returns the results of the comparison, and its working directory."""
  workdir = tmp_path_factory.mktemp('runs')
  return compare(COMPARISON, workdir=workdir, progress=False), workdir


def test_values_are_those_of_the_tables(made):
  results, workdir = made
  arm = results.arms['fixed-0.5']
  assert arm.seeds == (0, 1, 2)
  for seed, value, curve in zip(
    arm.seeds, arm.metric, results.curves()['fixed-0.5']['metric'], strict=True
  ):
    rows = (workdir / 'fixed-0.5' / f'seed-{seed}' / 'metrics.csv').read_text().splitlines()
    column = rows[0].split(',').index('test_error_percent')
    assert [float(row.split(',')[column]) for row in rows[1:]] == curve.tolist()
    assert value == curve[-1]
  expected = stats.t.ppf(0.975, 2) * stats.sem(arm.metric)
  np.testing.assert_allclose((arm.mean, arm.half_width), (arm.metric.mean(), expected))
  (contrast,) = results.contrasts
  difference = results.arms['low0.5-high0.9'].metric - arm.metric
  np.testing.assert_allclose(contrast.difference, difference.mean())


def test_it_shows_its_tables_and_curves_in_a_notebook(made):
  results, _ = made
  shown = results._repr_html_()
  for words in ('<table>', 'low0.5-high0.9', 'data:image/png;base64,', *results.verdict):
    assert words in shown
  assert 'fixed-0.5: ' in repr(results)


def test_a_working_directory_is_gone_on_with(made):
  _, workdir = made
  before = tables(workdir)
  more = compare(COMPARISON, seeds=np.arange(5).tolist(), workdir=workdir, progress=False)
  assert more.arms['fixed-0.5'].seeds == (0, 1, 2, 3, 4)
  assert before.items() <= tables(workdir).items()


def test_it_prints_nothing_and_leaves_the_settings_of_jax_alone(capsys, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  with jax.default_prng_impl('rbg'):
    compare(dataclasses.replace(COMPARISON, epochs=1, seeds=(0,)), progress=False)
    assert jax.config.jax_default_prng_impl == 'rbg'
  assert capsys.readouterr() == ('', '')
  assert not list(tmp_path.iterdir())


def test_what_can_be_mended_is_an_exception_with_a_sentence():
  def wrong(num_classes, rngs):
    return nnx.Linear(4, num_classes, rngs=rngs)

  with pytest.raises(train.UserError, match=r'test_compare\.py, line|The network wrong'):
    compare(dataclasses.replace(COMPARISON, network=wrong), progress=False)


def test_an_arm_without_a_result_says_so():
  def explodes(outputs, targets):
    return math.inf * outputs[:, 0] * targets

  comparison = dataclasses.replace(COMPARISON, loss=explodes, epochs=1, seeds=(0,))
  with pytest.raises(train.UserError, match='All runs of sums diverged'):
    compare(comparison, progress=False)
