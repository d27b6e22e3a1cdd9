"""The study of noisy labels: its noise, its theory, its methods and its report."""

import csv
import io

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from studies.arms import Numbers, make_optimizer
from studies.label_noise import definition, losses, report, run
from studies.label_noise.analysis import contrasts, find, read_results
from studies.label_noise.definition import FIXED, LCAM_WIDE, LOW, Cell, Setting
from studies.label_noise.methods import Method
from studies.label_noise.noise import Noise, people
from studies.label_noise.theory import (
  Distributions,
  largest_relative_weight,
  relative_weight,
  turning_share,
)
from train import cross_entropy

RANDOM = np.random.default_rng(0)
LABELS = RANDOM.integers(0, 10, 20_000).astype(np.int32)


def counts(labels):
  table = np.zeros((10, 10))
  np.add.at(table, (LABELS, labels), 1)
  return table / table.sum(1, keepdims=True)


@pytest.mark.parametrize(
  ('noise', 'expected'),
  [
    (Noise('symmetric', 0.2), np.where(np.eye(10), 0.8, 0.2 / 9)),
    (Noise('pair', 0.4), 0.6 * np.eye(10) + 0.4 * np.roll(np.eye(10), 1, axis=1)),
    (Noise('people', source='worst'), people('worst', 10)),
  ],
)
def test_labels_are_replaced_as_often_as_said(noise, expected):
  found = noise.wrong_labels(LABELS, 10, 3)
  np.testing.assert_allclose(counts(found), expected, atol=0.05)
  assert np.array_equal(found, noise.wrong_labels(LABELS, 10, 3))
  assert not np.array_equal(found, noise.wrong_labels(LABELS, 10, 4))


def test_people_mislabel_as_often_as_the_authors_of_the_counts_say():
  wrong = [
    1 - np.trace(people(*of)) / of[1] for of in (('worst', 10), ('random1', 10), ('noisy', 100))
  ]
  np.testing.assert_allclose(wrong, [0.4021, 0.1723, 0.402], atol=1e-3)


def test_outliers_are_a_share_of_the_targets_and_far_off():
  targets = RANDOM.normal(size=20_000).astype(np.float32)
  off = np.abs(Noise('outliers', 0.1).wrong_labels(targets, 1, 0) - targets)
  assert np.mean(off > 0) == pytest.approx(0.1, abs=0.01)
  assert off[off > 0].min() > 2.99
  assert off.max() < 6.01


def test_every_setting_can_be_run_and_none_is_named_twice():
  settings = definition.settings()
  assert len({setting.name for setting in settings}) == len(settings)
  for setting in settings:
    names = [method.name for method in setting.methods]
    assert len(set(names)) == len(names)
    assert setting.train_examples % setting.batch_size == 0
    for place, method in enumerate(setting.methods):
      assert not method.partner or method.partner in names[:place]
      assert setting.batch_size > 1 or method.rule != 'examples'
  seeds = [
    seed for repeat in range(definition.REPEATS) for seed in Cell(settings[0], repeat).final_seeds
  ]
  assert len(set(seeds)) == len(seeds) == 100
  tuned = {seed for repeat in range(10) for seed in Cell(settings[0], repeat).tuning_seeds}
  assert not tuned & set(seeds)


def test_losses_of_rivals_are_their_formulas():
  logits = jnp.array(RANDOM.normal(size=(6, 4)), jnp.float32)
  labels = jnp.array([0, 1, 2, 3, 0, 1])
  p = np.asarray(jax.nn.softmax(logits))
  own = p[np.arange(6), labels]
  np.testing.assert_allclose(
    losses.generalised_cross_entropy(0.7)(logits, labels), (1 - own**0.7) / 0.7, rtol=1e-4
  )
  smooth = 0.8 * -np.log(own) + 0.2 * -np.log(p).mean(1)
  np.testing.assert_allclose(losses.smoothed_cross_entropy(0.2)(logits, labels), smooth, rtol=1e-4)
  np.testing.assert_allclose(
    losses.huber(1.0)(jnp.array([[0.5], [3.0]]), jnp.zeros(2)), [0.125, 2.5], rtol=1e-5
  )


def test_a_tilted_step_follows_the_gradient_of_the_tilted_loss():
  logits, labels = jnp.array(RANDOM.normal(size=(6, 4)), jnp.float32), jnp.array([0, 1, 2, 3, 0, 1])
  t = -0.5

  def mean_of_tilted(logits):
    return losses.tilted(cross_entropy, t)(logits, labels).mean()

  def tilted_mean(logits):
    return jnp.log(jnp.exp(t * cross_entropy(logits, labels)).mean()) / t

  value, gradient = jax.value_and_grad(mean_of_tilted)(logits)
  optimizer = make_optimizer('tilt', 1, Numbers(1.0, 0.0, 0.0), strength=t)
  updates, _ = optimizer.update(gradient, optimizer.init(logits), logits, value=value)
  np.testing.assert_allclose(-updates, jax.grad(tilted_mean)(logits), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize('batch_size', [1, 2, 4])
def test_the_predicted_weight_of_wrong_labels_is_that_of_a_simulation(batch_size):
  share, high, low, steps = 0.2, 0.2, 0.8, 40_000
  right, wrong = RANDOM.exponential(0.3, 1000), RANDOM.exponential(2.0, 1000)
  is_wrong = RANDOM.random((steps, batch_size)) < share
  drawn = np.where(
    is_wrong, RANDOM.choice(wrong, is_wrong.shape), RANDOM.choice(right, is_wrong.shape)
  )
  of = Distributions(share, right, wrong)
  phases = drawn.mean(1) > of.mean
  momenta = np.where(np.roll(phases, 1), high, low)  # algorithm1: of the step before
  weights = run.total_weights(momenta)
  found = np.average(weights, weights=is_wrong.mean(1)) / weights.mean()
  assert relative_weight(of, batch_size, (high - low) / 2) == pytest.approx(found, abs=0.02)


def test_a_bound_holds_whatever_the_losses_are():
  for right, wrong in (([0.0], [9.0]), ([0.0, 1.0], [0.5, 3.0])):
    of = Distributions(0.06, np.array(right), np.array(wrong))
    assert relative_weight(of, 128, -0.025) > largest_relative_weight(0.06, 128, -0.025) - 0.002


def test_the_direction_turns_where_half_of_the_high_losses_are_wrong():
  # A twentieth of the right ones is as high as the wrong ones.
  of = Distributions(0.0, np.array([0.0] * 19 + [5.0]), np.array([5.0]))
  assert turning_share(of) == pytest.approx(0.05 / 1.05, abs=0.002)


def errors_of(name, setting):
  effect = {LOW.name: -0.02, LCAM_WIDE[2].name: 0.03}.get(name, 0.0)
  return 0.1 + effect * (setting.noise.share > 0) + 0.001 * RANDOM.normal(size=10)


@pytest.fixture(scope='module')
def directory(tmp_path_factory):
  """All but the last setting, with the effects of ``errors_of``."""
  directory = tmp_path_factory.mktemp('cells')
  for setting in definition.settings()[:-1]:
    for repeat in range(definition.REPEATS):
      search, of_losses, test = run.paths(Cell(setting, repeat), directory)
      search.touch()
      rows = []
      for labels, loss in (('right', 0.1), ('wrong' if setting.noise.share else 'other', 3.0)):
        rows += [(setting.noise.share, 'last', labels, percent, loss) for percent in run.PERCENTS]
      of_losses.write_text(run.csv_text(run.LOSSES_COLUMNS, rows))
      rows = []
      for method in setting.methods:
        weight = 0.5 if method.low != method.high and setting.noise.share else float('nan')
        for seed, error in enumerate(errors_of(method.name, setting)):
          rows.append((method.name, 0.1, 0.3, seed, error, 0.2, weight))
      test.write_text(run.csv_text(run.TEST_COLUMNS, rows))
  return directory


@pytest.mark.training
def test_the_report_says_what_was_put_in(directory, tmp_path):
  text = report.write_report(directory, tmp_path)
  results = read_results(directory)
  found = contrasts(results)
  primary = [one for one in found if one.family == 'primary']
  assert len(primary) == 8
  assert all(one.shown and one.estimate.mean == pytest.approx(-2, abs=0.2) for one in primary)
  zero = find(found, Setting('digits', Noise('symmetric', 0.0), 2), LOW.name)
  assert zero is not None
  assert not zero.shown
  settings = definition.settings()
  assert f'{len(settings) - 1} of {len(settings)} settings are done' in text
  assert f'1 settings: {settings[-1].name}.' in text
  assert text.count('**missed**') < text.count('| kept |') + text.count('**missed**')
  with (tmp_path / 'contrasts.csv').open() as file:
    assert len(list(csv.DictReader(file))) == len(found)
  for name in ('digits.png', 'problems.png', 'theory.png'):
    assert (tmp_path / name).read_bytes().startswith(b'\x89PNG')


@pytest.mark.slow
@pytest.mark.parametrize(
  ('problem', 'noise'), [('wine', Noise('symmetric', 0.2)), ('diabetes', Noise('outliers', 0.2))]
)
def test_a_cell_is_tuned_on_wrong_labels_and_tested_on_right_ones(problem, noise, monkeypatch):
  cell = Cell(Setting(problem, noise, 32), 0)
  methods = (FIXED, *LCAM_WIDE[:2], Method('early', early=True))
  monkeypatch.setattr(definition, 'FINAL_SEEDS', 2)
  monkeypatch.setattr(definition, 'EXAMPLES_SEEN', 768)
  monkeypatch.setattr(Setting, 'methods', methods)
  data = run.load(cell)
  assert 0 < data.wrong.mean() < 0.4
  assert np.array_equal(data.training.labels != data.right, data.wrong)
  assert (data.counterfactual.labels != data.right).all()
  search, of_losses, test = (list(csv.DictReader(io.StringIO(text))) for text in run.run_cell(cell))
  assert len(search) == len(methods) * 5
  assert len(test) == len(methods) * 2
  for row in test:
    tried = [float(one['validation_error']) for one in search if one['method'] == row['method']]
    assert float(row['validation_error']) == min(tried)
    assert len(set(tried)) > 1
    assert (row['wrong_weight'] == 'nan') == (row['method'] in (FIXED.name, 'early'))
  assert {row['labels'] for row in of_losses} == {'right', 'wrong', 'other'}
