"""The study of tuned methods: what is tuned, on what, and that controls are what they say."""

import csv
import dataclasses
import io

import jax
import numpy as np
import pytest

from studies.arms import Numbers, Optimizer, make_optimizer
from studies.network import initial_params, losses
from studies.problems import PROBLEMS, Problem
from studies.training import Engine, Trained
from studies.tuned import definition, followup, run
from studies.tuned.definition import FIXED, LCAM, METHODS, Cell, Setting
from studies.tuned.methods import Method, Point
from train import Split
from train.data.randomness import epoch_order
from train.training.trainer import Start

CELL = Cell(Setting('digits', 128), 3)
DIGITS = next(problem for problem in PROBLEMS if problem.name == 'digits').load()
SIZES = (64, 32, 10)
POINT = Point(0.5, 0.8)


@pytest.fixture(scope='module')
def engine():
  training, _ = DIGITS.divide(768, 0)
  return Engine(training, SIZES, 128, 2, earlier=(1,))


@pytest.fixture
def small(monkeypatch):
  """A study of two epochs, four points and two seeds."""
  sizes = {'POINTS': 4, 'TUNING_SEEDS': 2, 'FINAL_SEEDS': 2, 'FURTHER_TUNINGS': 2}
  for name, size in sizes.items():
    monkeypatch.setattr(definition, name, size)
  monkeypatch.setattr(definition, 'EPOCHS', {128: 2})


def table(text):
  return list(csv.DictReader(io.StringIO(text)))


def test_tuning_and_final_seeds_are_disjoint():
  final = [seed for cell in definition.cells() for seed in cell.final_seeds]
  assert len(set(final)) == definition.REPEATS * definition.FINAL_SEEDS
  tuned = {seed for cell in definition.cells() for t in range(13) for seed in cell.tuning_seeds(t)}
  assert tuned
  assert not tuned & set(final)


@pytest.mark.slow
def test_every_method_is_tuned_with_the_same_runs_and_tested_with_the_same_seeds(
  small, monkeypatch
):
  search, test = map(table, run.run_cell(CELL))
  assert len(search) == (len(METHODS) + 2) * 2 * 4
  tried = {}
  for row in search:
    if row['tuning'] == '0':
      place = row['point'], row['effective_rate'], row['momentum'], row['part']
      tried.setdefault(row['method'], []).append(place)
  assert tried.keys() == {method.name for method in METHODS}
  assert all(places == tried['fixed'] for places in tried.values())
  tested = {}
  for row in test:
    tested.setdefault((row['method'], row['part']), []).append(int(row['seed']))
  assert len(tested) == (len(METHODS) + 2) * 2
  assert all(seeds == list(CELL.final_seeds) for seeds in tested.values())
  for row in test:  # it is the best that was tried
    of_fixed = row['method'].startswith('fixed-')
    losses = [
      float(one['validation_loss'])
      for one in search
      if one['part'] == row['part']
      and one['method'] == ('fixed' if of_fixed else row['method'])
      and (
        one['tuning'] in ('1', '2')
        if row['method'] == 'fixed-12-fold'
        else one['tuning'] == ('1' if of_fixed else '0')
      )
    ]
    assert float(row['validation_loss']) == min(losses)

  other = dataclasses.replace(DIGITS, test_inputs=-DIGITS.test_inputs)
  monkeypatch.setattr(Problem, 'load', lambda problem: other)
  search_again, test_again = map(table, run.run_cell(CELL))
  assert search_again == search  # test examples decide nothing
  assert test_again != test


def test_training_and_validation_are_disjoint_and_differ_between_repeats():
  divided = [DIGITS.divide(768, repeat) for repeat in (0, 1)]
  for training, validation in divided:
    assert (len(training.labels), len(validation.labels)) == (768, 256)
    rows = np.concatenate([training.inputs, validation.inputs])
    assert sorted(map(bytes, rows)) == sorted(map(bytes, DIGITS.inputs))
  assert not np.array_equal(divided[0][1].inputs, divided[1][1].inputs)


def test_a_study_that_is_stopped_goes_on_with_the_cell_that_is_missing(tmp_path, monkeypatch):
  cells, done, stops = list(definition.cells())[:3], [], [RuntimeError('stopped')]

  def run_cell(cell):
    if cell == cells[1] and stops:
      raise stops.pop()
    done.append(cell)
    return 'search\n', f'{cell.name}\n'

  monkeypatch.setattr(run, 'run_cell', run_cell)
  with pytest.raises(RuntimeError, match='stopped'):
    run.run_cells(cells, tmp_path)
  run.run_cells(cells, tmp_path)
  assert done == cells
  assert [run.final_path(cell, tmp_path).read_text() for cell in cells] == [
    f'{cell.name}\n' for cell in cells
  ]


@pytest.mark.training
@pytest.mark.parametrize('rule', ['algorithm1', 'equation9', 'weights'])
def test_without_a_delta_every_method_is_fixed_momentum(rule, engine):
  expected = engine.train(FIXED.starts([POINT], (4, 5)))
  found = engine.train(Method('', rule).starts([POINT], (4, 5)))
  for own, fixed in zip(
    jax.tree.leaves(found.params), jax.tree.leaves(expected.params), strict=True
  ):
    np.testing.assert_allclose(own, fixed, rtol=1e-4, atol=1e-5)


@pytest.mark.training
def test_with_a_delta_every_method_differs(engine):
  found = {}
  for method in METHODS:
    params = engine.train(method.starts([POINT], [4])).params
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(params))
    found[method.name] = params[0][0][0].tobytes()
  assert len(set(found.values())) == len(METHODS)


def test_momenta_stay_in_bounds_and_the_effective_rate_is_that_of_their_mean():
  for method in METHODS:
    for momentum in (0.0, 0.5, 0.9, 0.98):
      rate, high, low = method.numbers(Point(2.0, momentum))
      if method.rule in ('algorithm1', 'equation9'):
        assert 0 <= min(high, low) < max(high, low) <= 0.99
        assert np.sign(high - low) == np.sign(method.delta)
      mean = 0 if method.rule == 'momo' else (high + low) / 2
      assert rate / (1 - mean) == pytest.approx(2.0)
  assert Method('', 'algorithm1', -0.1).numbers(Point(1.0, 0.5))[1:] == pytest.approx((0.4, 0.6))


def test_a_reweighted_gradient_is_that_of_the_loss_plus_its_mean_deviation():
  # L_i = (w - x_i)^2 / 2 with x_i skewed: the sign of the deviation has no mean of zero.
  w, delta, steps = 0.0, 0.25, 20_000
  x = np.random.default_rng(0).exponential(size=steps)

  def objective(w):
    of_batch = (w - x) ** 2 / 2
    return of_batch.mean() + delta * np.abs(of_batch - of_batch.mean()).mean()

  expected = (objective(w + 1e-5) - objective(w - 1e-5)) / 2e-5
  optimizer = make_optimizer('weights', 1000, Numbers(1.0, delta, -delta))

  def step(state, x):
    update, state = optimizer.update(w - x, state, w, value=(w - x) ** 2 / 2)
    return state, update

  _, updates = jax.lax.scan(step, optimizer.init(w), x.astype(np.float32))
  plain = (w - x).mean()
  assert abs(expected - plain) > 0.1
  assert -updates[5000:].mean() == pytest.approx(expected, abs=0.03)


def test_runs_that_diverged_count_as_a_guess():
  layer = np.zeros((3, 4, 10), np.float32), np.zeros((3, 10), np.float32)
  layer[1][0, 3] = 5.0  # says class 3
  layer[1][1] = np.nan
  layer[1][2, 4] = 500.0  # says class 4, far too surely
  rows = Split(np.ones((8, 4), np.float32), np.full(8, 3))
  trained = Trained(([layer],), [layer], None, np.zeros((3, 1)))
  error, loss = run.bounded_scores(trained, rows)
  expected = np.log(np.exp(5) + 9) - 5
  np.testing.assert_allclose(error, [[0, 0], [0.9, 0.9], [1, 1]])
  np.testing.assert_allclose(loss, [[expected] * 2, [np.log(10)] * 2, [np.log(10)] * 2], rtol=1e-4)


@pytest.mark.training
def test_replaying_its_own_phases_changes_nothing(engine):
  own = engine.train(LCAM[2].starts([POINT], (4, 5)))
  assert 0 < own.phases.mean() < 1
  replaying = Optimizer(LCAM[2].rule, LCAM[2].numbers(POINT), replays=True)
  again = engine.train([Start(replaying, 4, own.phases[0]), Start(replaying, 5, own.phases[1])])
  np.testing.assert_array_equal(again.phases, own.phases)
  for one, other in zip(jax.tree.leaves(again), jax.tree.leaves(own), strict=True):
    np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.training
@pytest.mark.slow
def test_a_decaying_rate_is_a_cosine_to_zero(engine):
  training, _ = DIGITS.divide(768, 0)
  schedule = 0.1 * (1 + np.cos(np.pi * np.arange(12) / 12))
  params, trace = initial_params(jax.random.key(4), SIZES), None
  gradient = jax.jit(jax.grad(lambda p, x, y: losses(p, x, y).mean()))
  orders = np.concatenate([epoch_order(4, epoch, 768) for epoch in range(2)])
  for rate, rows in zip(schedule, orders.reshape(-1, 128), strict=True):
    grads = gradient(params, training.inputs[rows], training.labels[rows])
    trace = grads if trace is None else jax.tree.map(lambda t, g: 0.5 * t + g, trace, grads)
    params = jax.tree.map(lambda p, t, rate=rate: p - rate * t, params, trace)
  found = engine.train([Start(Optimizer('sgd', Numbers(0.2, 0.5, 0.5), decays=True), 4)])
  for one, other in zip(jax.tree.leaves(found.params), jax.tree.leaves(params), strict=True):
    np.testing.assert_allclose(one[0], other, rtol=1e-3, atol=1e-5)


@pytest.mark.training
def test_the_followup_trains_again_what_the_study_trained(small, monkeypatch, tmp_path):
  chosen = LCAM[2]
  monkeypatch.setattr(definition, 'METHODS', (FIXED, chosen))
  monkeypatch.setattr(followup, 'LCAM', (chosen,))
  monkeypatch.setattr(followup, 'DECAYED', (FIXED,))
  _, test = run.run_cell(CELL)
  run.final_path(CELL, tmp_path).write_text(test)
  added = table(followup.run_followup(CELL, tmp_path))
  assert [row['arm'] for row in added] == ['lcam'] * 2 + ['yoked'] * 2 + ['decay'] * 2
  expected = [row for row in table(test) if (row['method'], row['part']) == (chosen.name, 'full')]
  for one, other in zip(added, expected, strict=False):
    assert all(one[name] == other[name] for name in ('method', 'point', 'seed', 'test_loss'))
  assert added[2]['test_loss'] != added[0]['test_loss']
