"""The optimizers of the arms: the coin against its definition, schedules, every method."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from lcam_optax import scale_by_lcam
from train.coin import scale_by_coin
from train.experiments import ADAPTIVE, EXPERIMENTS, FIGURE_3, FIGURE_5_CIFAR10, Constant, Cosine
from train.optimizer import make_optimizer, make_schedule, set_arm
from train.setup import Setup

COIN = {'steps_per_epoch': 50, 'rule': 'algorithm1'}


def phases(transformation, losses):
  def body(state, loss):
    _, state = transformation.update(jnp.zeros([]), state, value=loss)
    return state, state.high_loss_phase

  return np.asarray(jax.lax.scan(body, transformation.init(jnp.zeros([])), losses)[1])


@pytest.fixture(scope='module')
def losses():
  # Skewed, so that high losses are rarer than low ones.
  return np.random.default_rng(0).gamma(0.3, size=5000).astype(np.float32)


def test_the_coin_is_as_often_high_as_the_losses_are(losses):
  by_loss = phases(scale_by_lcam(0.9, 0.5, **COIN), losses)
  by_coin = phases(scale_by_coin(0.9, 0.5, **COIN, coin_seed=0), losses)
  assert by_loss.mean() < 0.35
  assert abs(by_coin.mean() - by_loss.mean()) < 0.03


def test_the_coin_is_independent_of_the_loss(losses):
  by_loss = phases(scale_by_lcam(0.9, 0.5, **COIN), losses)
  by_coin = phases(scale_by_coin(0.9, 0.5, **COIN, coin_seed=0), losses)
  assert abs(np.corrcoef(by_coin, by_loss)[0, 1]) < 0.05
  assert abs(np.corrcoef(by_coin, losses)[0, 1]) < 0.05


def test_the_coin_of_a_step_does_not_see_that_steps_loss(losses):
  other = losses.copy()
  other[-1] = 1e6
  flips = phases(scale_by_coin(0.9, 0.5, **COIN, coin_seed=0), losses)
  np.testing.assert_array_equal(flips, phases(scale_by_coin(0.9, 0.5, **COIN, coin_seed=0), other))


def test_each_seed_has_a_coin_of_its_own(losses):
  first, again, other = (
    phases(scale_by_coin(0.9, 0.5, **COIN, coin_seed=seed), losses) for seed in (0, 0, 1)
  )
  np.testing.assert_array_equal(first, again)
  assert 0.4 < (first != other).mean() < 0.6 or abs(np.corrcoef(first, other)[0, 1]) < 0.05


def test_the_coin_applies_the_momentum_that_it_chose():
  coin = scale_by_coin(0.8, 0.4, **COIN, coin_seed=3)
  state, trace = coin.init(jnp.zeros(2)), np.zeros(2)
  for loss in (1.0, 3.0, 2.0, 0.5, 4.0, 1.0):
    updates, state = coin.update(jnp.ones(2), state, value=loss)
    momentum = 0.8 if state.high_loss_phase else 0.4
    assert state.momentum == np.float32(momentum)
    trace = 1 + momentum * trace
    np.testing.assert_allclose(updates, trace, rtol=1e-6)


def test_arms_set_their_momenta_and_coins():
  params = {'weight': jnp.ones(3)}
  for arm in FIGURE_3.extra_arms:
    optimizer = make_optimizer(FIGURE_3, arm, 391)
    state = set_arm(optimizer.init(params), arm, seed=7)
    hyperparams = optax.tree.get(state, 'hyperparams')
    assert hyperparams['high_loss_momentum'] == np.float32(arm.high_loss_momentum)
    assert hyperparams['low_loss_momentum'] == np.float32(arm.low_loss_momentum)
    assert arm.method == 'lcam' or hyperparams['coin_seed'] == 7


@pytest.mark.parametrize('arm', ADAPTIVE, ids=lambda arm: arm.name)
def test_adaptive_arms_start_from_their_own_learning_rate(arm):
  part = EXPERIMENTS['baselines'][0]
  optimizer = make_optimizer(part, arm, 391)
  params = {'weight': jnp.ones(3)}
  state = set_arm(optimizer.init(params), arm, seed=0)
  updates, state = optimizer.update(params, state, params, value=1.0)
  np.testing.assert_allclose(
    optax.tree.get(state, 'hyperparams')['learning_rate'], arm.learning_rate, rtol=1e-6
  )
  assert (updates['weight'] < 0).all()


def test_the_first_arm_of_every_part_has_an_optimizer():
  for parts in EXPERIMENTS.values():
    for part in parts:
      for arm in (*part.arms, *part.extra_arms):
        make_optimizer(part, arm, steps_per_epoch=10)


def test_schedules_of_the_paper_at_full_length():
  drops = make_schedule(FIGURE_3.schedule, 150, 391)
  for epoch, rate in ((30, 0.1), (31, 0.02), (60, 0.02), (61, 0.004), (91, 0.0008)):
    np.testing.assert_allclose(drops(epoch * 391), rate, rtol=1e-6)
  decay = make_schedule(FIGURE_5_CIFAR10.schedule, 150, 391)
  for step, decays in ((31 * 391 - 1, 0), (31 * 391, 1), (120 * 391, 89 * 391 + 1)):
    np.testing.assert_allclose(decay(step), 0.1 * 0.99985**decays, rtol=1e-5)


def test_shorter_runs_go_through_the_same_rates():
  drops = make_schedule(FIGURE_3.schedule, 30, 79)
  for epoch, rate in ((5, 0.1), (6, 0.02), (11, 0.02), (12, 0.004), (18, 0.0008)):
    np.testing.assert_allclose(drops(epoch * 79), rate, rtol=1e-6)
  decay = make_schedule(FIGURE_5_CIFAR10.schedule, 30, 79)
  np.testing.assert_allclose(decay(30 * 79 - 1), 0.1 * 0.99985 ** (119 * 391), rtol=1e-5)
  assert make_schedule(Constant(1e-4), 3, 5)(14) == np.float32(1e-4)
  np.testing.assert_allclose(make_schedule(Cosine(0.1), 10, 10)(50), 0.05, rtol=1e-6)


def test_arms_of_a_method_share_one_compiled_step():
  part = dataclasses.replace(EXPERIMENTS['quickstart'][0], train_examples=40, batch_size=20)
  setup = Setup(part)
  for arm in part.arms:
    _, train_step = setup.program(arm)
    for seed in (0, 1):
      state = setup.initial_state(arm, seed)
      for step, batch in enumerate(setup.train_input.epoch(seed, 0, part.batch_size)):
        state = train_step(state, batch, seed, 0, step)
  assert train_step._cache_size() == 1
