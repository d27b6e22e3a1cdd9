"""What is tuned: the points of each arm, and arms with tuned numbers."""

import dataclasses
import pickle
import warnings

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from train import Comparison, Dataset, Split, UserError, arms, schedules
from train.problem.arms import BestOf, Setting, arm_of_name
from train.problem.tuning import (
  Numbers,
  Search,
  Stage,
  Tried,
  Tuned,
  Tuning,
  best,
  is_at_edge,
  tuned_arms,
)

EVERY = ('fixed-0.9', 'low0.45-high0.95', 'yoked0.45-0.95', 'adam', 'easy-0.4')
INPUTS = np.ones((10, 2), np.float32)


def comparison(*names, **changes) -> Comparison:
  split = Split(INPUTS, np.zeros(10, int))
  values = {'epochs': 2, 'batch_size': 5, 'arms': names or EVERY} | changes
  return Comparison(
    name='one', dataset=Dataset('one', split, split, ('a', 'b')), network=print, **values
  )


def points_of(search: Search) -> dict:
  return {tuning.name: search.first_points(tuning) for tuning in search.tunings()}


def test_all_arms_try_the_same_effective_rates_around_that_of_the_comparison():
  with warnings.catch_warnings():
    warnings.simplefilter('error')  # a number of points that is no power of two is fine
    found = points_of(Search(comparison(), points=21, seeds=2))
  assert list(found) == ['fixed-0.9', 'low0.45-high0.95', 'adam', 'easy-0.4']  # yoked follows
  rates = {name: np.array([one.effective_rate for one in found[name]]) for name in found}
  np.testing.assert_array_equal(rates['fixed-0.9'], rates['low0.45-high0.95'])
  np.testing.assert_allclose(rates['adam'] / 1e-3, rates['fixed-0.9'] / 1, rtol=1e-3)
  octaves = np.log2(rates['fixed-0.9'])
  assert -3.5 <= octaves.min() < -3
  assert 3 < octaves.max() <= 3.5
  assert np.diff(np.sort(octaves)).max() < 1  # evenly
  learning = {name: np.array([one.numbers.learning_rate for one in found[name]]) for name in found}
  np.testing.assert_allclose(learning['fixed-0.9'], 0.1 * rates['fixed-0.9'], rtol=1e-3)
  np.testing.assert_allclose(learning['low0.45-high0.95'], 0.3 * rates['fixed-0.9'], rtol=1e-3)
  np.testing.assert_array_equal(learning['adam'], rates['adam'])


def test_points_depend_on_the_name_of_the_comparison_alone():
  one, same = (points_of(Search(comparison('adam'), 8, 2))['adam'] for _ in range(2))
  other = points_of(Search(dataclasses.replace(comparison('adam'), name='other'), 8, 2))['adam']
  assert one == same
  assert [point.place for point in one] != [point.place for point in other]


def test_momenta_keep_their_difference_and_stay_possible():
  search = Search(comparison(), points=32, seeds=2, searched=('momentum',))
  for point in points_of(search)['low0.45-high0.95']:
    config = point.arm.config()
    low, high = config['low_loss_momentum'], config['high_loss_momentum']
    assert high - low == pytest.approx(0.5)
    assert 0 <= low < high < 1
    rate = point.effective_rate * (1 - (low + high) / 2)
    assert config['learning_rate'] == pytest.approx(rate, rel=1e-3)
  momenta = [point.arm.config()['momentum'] for point in points_of(search)['fixed-0.9']]
  assert min(momenta) < 0.2
  assert 0.9 < max(momenta) < 0.99


def test_weight_decay_is_that_of_the_arm_if_it_has_its_own():
  search = Search(comparison('fixed-0.9', 'adamw'), points=32, seeds=2, searched=('weight_decay',))
  found = points_of(search)
  decays = {name: [one.numbers.weight_decay for one in found[name]] for name in found}
  assert np.exp(np.mean(np.log(decays['fixed-0.9']))) == pytest.approx(5e-4, rel=0.3)
  assert np.exp(np.mean(np.log(decays['adamw']))) == pytest.approx(0.05, rel=0.3)
  assert found['adamw'][0].arm.config()['weight_decay'] == decays['adamw'][0]


@pytest.mark.parametrize(('place', 'side'), [(0.05, -1), (0.97, 1), (0.5, 0)])
def test_the_second_round_goes_on_beyond_the_edge_where_the_best_point_is(place, side):
  search = Search(comparison('fixed-0.9'), points=16, seeds=2)
  (tuning,) = search.tunings()
  first = search.first_points(tuning)
  nearest = min(first, key=lambda point: abs(point.place - place))
  places = [point.place for point in search.further_points(tuning, nearest)]
  low, high = {-1: (-0.5, 0), 0: (0, 1), 1: (1, 1.5)}[side]
  assert is_at_edge(nearest) == bool(side)
  assert low <= min(places) <= max(places) <= high
  assert {point.index for point in first}.isdisjoint(
    point.index for point in search.further_points(tuning, nearest)
  )


def test_the_best_of_variants_has_a_baseline_that_was_tuned_as_often():
  search = Search(comparison('fixed-0.9', 'low0.9-high0.95+low0.95-high0.9'), points=4, seeds=2)
  tunings = search.tunings()
  assert [tuning.answers for tuning in tunings] == [
    'fixed-0.9',
    *['low0.9-high0.95+low0.95-high0.9'] * 2,
    *['fixed-0.9-x2'] * 2,
  ]
  tried = {
    tuning: [
      Tried(point, 2, (float(10 * index + point.index),), 0.0)
      for point in search.first_points(tuning)
    ]
    for index, tuning in enumerate(reversed(tunings))
  }
  found = {arm.name: (arm.asked.name, arm.tries) for arm, _ in tuned_arms(search, tried)}
  assert found['low0.9-high0.95+low0.95-high0.9'] == ('low0.95-high0.9', 2)
  assert found['fixed-0.9-x2'] == ('fixed-0.9', 2)
  places = [[point.place for point in search.first_points(tuning)] for tuning in tunings]
  assert places[0] == places[1] == places[2] != places[3] != places[4]


def test_yoked_runs_have_the_numbers_of_their_partner():
  search = Search(comparison('low0.45-high0.95', 'yoked0.45-0.95'), points=4, seeds=2)
  tried = {
    tuning: [Tried(point, 2, (1.0,), point.place) for point in search.first_points(tuning)]
    for tuning in search.tunings()
  }
  (own, _), (yoked, pick) = tuned_arms(search, tried)
  assert yoked.partner == own
  assert yoked.numbers == pick.point.numbers
  assert pick == min(tried[pick.point.tuning], key=lambda one: one.loss)  # equal metrics


def test_equal_metrics_are_decided_by_the_loss():
  point = Search(comparison('adam'), 2, 2).first_points(Tuning(arms.ADAM, 'adam'))[0]
  tried = [Tried(point, 1, (1.0, 3.0), 0.5), Tried(point, 2, (2.0, 2.0), 0.4)]
  assert best(tried).epoch == 2


def updates_of(arm, setting, steps=6):
  """Returns the updates of a few steps, the losses of which go up and down."""
  optimizer = arm.build(setting)
  params = {'w': jnp.array([1.0, -2.0])}
  state, found = optimizer.init(params), []
  for step in range(steps):
    grads = jax.tree.map(lambda leaf, step=step: leaf * (1 + step % 3), params)
    updates, state = optimizer.update(grads, state, params, value=jnp.float32(step % 2))
    params = optax.apply_updates(params, updates)
    found.append(params)
  return found


@pytest.mark.parametrize(
  ('name', 'changed'),
  [
    ('fixed-0.9', 'fixed-0.5'),
    ('low0.8-high0.9', 'low0.45-high0.55'),
    ('easy-0.4', None),
    ('adam', None),
    ('adamw', None),
    ('adam-low0.85-high0.95', None),
    ('momo', None),
    ('schedule-free-sgd', None),
  ],
)
def test_a_tuned_arm_is_the_arm_with_these_numbers(name, changed):
  setting = Setting(schedules.Cosine(0.1), 3, 2, 0.01, 'algorithm1')
  arm, momentum = arm_of_name(name), 0.5 if changed else None
  if name == 'easy-0.4':
    changed = arm
  tuned = updates_of(Tuned(arm, 'x', Numbers(0.03, momentum, 0.02)), setting)
  plain = arm_of_name(changed) if isinstance(changed, str) else arm
  plain = plain.tuned(0.03, None, 0.02)
  expected = updates_of(plain, setting._replace(weight_decay=0.02, schedule=schedules.Cosine(0.03)))
  chex.assert_trees_all_close(tuned, expected, rtol=1e-5)


def test_points_of_an_arm_share_a_program():
  one, other = (Tuned(arms.Lcam(0.5, 0.9), f'p{rate}', Numbers(rate)) for rate in (0.1, 0.2))
  fixed = Tuned(arms.Fixed(0.5), 'f', Numbers(0.1))
  assert one.program == other.program == fixed.program


def test_a_stage_survives_pickling_with_own_arms():
  mine = arms.Optax('mine', lambda rate: optax.sgd(rate), learning_rate=0.2)
  both = BestOf((arms.Fixed(0.2), mine))
  asked = dataclasses.replace(comparison('fixed-0.9'), arms=(arms.Fixed(0.9), both))
  stage = Stage.with_arms('tuned', [Tuned(mine, both.name, Numbers(0.1), 1, 2)], range(3))
  found = pickle.loads(pickle.dumps(stage)).of(asked)
  assert found.arms == (Tuned(mine, both.name, Numbers(0.1), 1, 2),)
  assert (found.seeds, found.stage) == ((0, 1, 2), 'tuned')


@pytest.mark.parametrize(
  ('search', 'words'),
  [
    (lambda: Search(comparison(), 1, 4), 'points must be from 2'),
    (lambda: Search(comparison(), 8, 0), 'tuning seeds must be from 1'),
    (lambda: Search(comparison(), 8, 4, ('lr',)), 'lr cannot be tuned: choose from momentum'),
    (lambda: Search(comparison('rmsprop'), 8, 4, ('momentum',)), 'rmsprop has no momentum'),
    (lambda: Search(comparison('fixed-0.9', seeds=(1_000_001,)), 8, 4), 'are for tuning'),
    (
      lambda: Search(comparison('fixed-0.9', schedule=schedules.Optax(print)), 8, 4),
      'no first learning rate to tune',
    ),
    (lambda: Search(comparison('fixed-0.9+fixed-0.5'), 8, 4), 'baseline cannot be the best of'),
    (
      lambda: Search(comparison('fixed-0.9', arms.Optax('my', print)), 8, 4, ('weight_decay',)),
      'decays weights itself',
    ),
  ],
)
def test_what_cannot_be_tuned_is_one_sentence(search, words):
  with pytest.raises(UserError, match=words):
    search().check()


def test_the_best_of_several_arms_cannot_be_run():
  best_of = arm_of_name('fixed-0.9+fixed-0.5')
  with pytest.raises(UserError, match='use it with `python -m train tune`'):
    comparison('fixed-0.9').build_optimizer(best_of, 2, 0)
