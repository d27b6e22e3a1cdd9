"""Hyperparameters by loss phase: the steps of LCAM, and of Adam and Lion as NumPy takes them."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib
import pytest

from lcam_optax import lcam, loss_phase_schedule, scale_by_lcam
from tests.lcam_optax import reference

START = {'weight': np.array([1.0, -2.0, 0.5]), 'bias': np.array([0.25])}
LOSSES = np.array([2.0, 3.0, 1.0, 2.5, 0.5, 4.0, np.nan, 0.75, 0.75, 9.0], np.float32)
MEANS = [{'steps_per_epoch': 4}, {'mean_decay': 0.75}]


def gradient(params):
  return jax.tree.map(lambda x: 2 * x + 0.125, params)


def start():
  return jax.tree.map(jnp.float32, START)


def make(optimizer, high=0.95, low=0.7, rule='equation9', mean=MEANS[0]):
  b1 = loss_phase_schedule(high, low, rule=rule, **mean)
  return optax.inject_hyperparams(optimizer)(0.1, b1=b1)


def one_update(solver, params, state, loss):
  updates, state = solver.update(gradient(params), state, params, value=loss)
  return optax.apply_updates(params, updates), state


def trajectory(solver, losses=LOSSES, jit=True):
  """Returns the parameters after each update, stacked, and the last state."""
  update = jax.jit(lambda *args: one_update(solver, *args)) if jit else None
  params, state, seen = start(), solver.init(start()), []
  for loss in losses:
    params, state = (
      update(params, state, loss) if update else one_update(solver, params, state, loss)
    )
    seen.append(params)
  return jax.tree.map(lambda *leaves: np.stack(leaves), *seen), state


def expected(optimizer, rule='equation9', mean=MEANS[0], high=0.95, low=0.7):
  b1s = reference.momenta(LOSSES, rule=rule, high=high, low=low, **mean)
  loop = {optax.adam: reference.adam, optax.lion: reference.lion}[optimizer]
  return {name: np.stack(list(loop(leaf, gradient, b1s, lr=0.1))) for name, leaf in START.items()}


def assert_close(actual, wanted):
  chex.assert_trees_all_close(actual, jax.tree.map(np.float32, wanted), rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize('mean', MEANS)
@pytest.mark.parametrize('rule', reference.RULES)
@pytest.mark.parametrize('optimizer', [optax.adam, optax.lion])
def test_b1_by_phase_follows_the_numpy_loop(optimizer, rule, mean):
  actual, _ = trajectory(make(optimizer, rule=rule, mean=mean))
  assert_close(actual, expected(optimizer, rule, mean))


@pytest.mark.parametrize(
  ('optimizer', 'rule'), [(optax.adam, 'algorithm1'), (optax.lion, 'equation9')]
)
class TestInside:
  """The same steps inside JAX's transformations and Optax's wrappers."""

  def test_no_jit(self, optimizer, rule):
    actual, _ = trajectory(make(optimizer, rule=rule), jit=False)
    assert_close(actual, expected(optimizer, rule))

  def test_scan(self, optimizer, rule):
    solver = make(optimizer, rule=rule)

    def body(carry, loss):
      carry = one_update(solver, *carry, loss)
      return carry, carry[0]

    _, actual = jax.lax.scan(body, (start(), solver.init(start())), LOSSES)
    assert_close(actual, expected(optimizer, rule))

  def test_vmap_over_the_values(self, optimizer, rule):
    highs, lows = np.array([0.95, 0.5, 0.0]), np.array([0.7, 0.9, 0.25])

    def final(high, low):
      solver = make(optimizer, high, low, rule)
      carry = start(), solver.init(start())
      return jax.lax.scan(
        lambda carry, loss: (one_update(solver, *carry, loss), None), carry, LOSSES
      )[0][0]

    actual = jax.vmap(final)(jnp.float32(highs), jnp.float32(lows))
    for index, (high, low) in enumerate(zip(highs, lows, strict=True)):
      wanted = expected(optimizer, rule, high=high, low=low)
      assert_close(
        jax.tree.map(lambda x, i=index: x[i], actual), jax.tree.map(lambda x: x[-1], wanted)
      )

  def test_chain(self, optimizer, rule):
    solver = optax.chain(optax.identity(), make(optimizer, rule=rule), optax.scale(1.0))
    assert_close(trajectory(solver)[0], expected(optimizer, rule))

  def test_partition(self, optimizer, rule):
    solver = optax.partition(
      {'ours': make(optimizer, rule=rule), 'sgd': optax.sgd(0.1)}, {'weight': 'ours', 'bias': 'sgd'}
    )
    assert_close(trajectory(solver)[0]['weight'], expected(optimizer, rule)['weight'])

  def test_multi_steps(self, optimizer, rule):
    solver = optax.MultiSteps(make(optimizer, rule=rule), every_k_schedule=2)
    losses = np.stack([100 - LOSSES, LOSSES], axis=1).ravel()  # the last of each pair decides
    actual, _ = trajectory(solver, losses)
    assert_close(jax.tree.map(lambda x: x[1::2], actual), expected(optimizer, rule))


@pytest.mark.parametrize('mean', MEANS)
@pytest.mark.parametrize('rule', reference.RULES)
@pytest.mark.parametrize('nesterov', [False, True])
def test_sgd_takes_the_steps_of_lcam(rule, mean, nesterov):
  momentum = loss_phase_schedule(0.9, 0.5, rule=rule, **mean)
  injected = optax.inject_hyperparams(optax.sgd)(0.1, momentum=momentum, nesterov=nesterov)
  actual, state = trajectory(injected)
  wanted, _ = trajectory(lcam(0.1, 0.9, 0.5, rule=rule, nesterov=nesterov, **mean))
  chex.assert_trees_all_close(actual, wanted, rtol=1e-6)
  assert int(optax.tree.get(state, 'high_loss_phase')) == 1


@pytest.mark.parametrize('rule', reference.RULES)
def test_trace_accumulates_as_scale_by_lcam_does(rule):
  decay = loss_phase_schedule(0.9, 0.5, rule=rule, steps_per_epoch=4)
  actual, _ = trajectory(optax.inject_hyperparams(optax.trace)(decay))
  wanted, _ = trajectory(scale_by_lcam(0.9, 0.5, rule=rule, steps_per_epoch=4))
  chex.assert_trees_all_close(actual, wanted, rtol=1e-6)


def values_used(high, low, name='b1', steps=4, **keywords):
  """Returns the hyperparameter at init and in updates whose losses are low, high, low, high."""
  schedule = loss_phase_schedule(high, low, steps_per_epoch=100, rule='equation9')
  solver = optax.inject_hyperparams(optax.adam, **keywords)(0.1, **{name: schedule})
  state = solver.init(start())
  used = [state.hyperparams[name]]
  for loss in (2.0, 3.0, 1.0, 4.0)[:steps]:
    _, state = one_update(solver, start(), state, loss)
    used.append(state.hyperparams[name])
  return used


@pytest.mark.parametrize('array', [float, np.float32, np.asarray, jnp.float32])
def test_values_may_be_numbers_and_arrays(array):
  used = values_used(array(0.75), array(0.5))
  np.testing.assert_array_equal(used, [0.5, 0.5, 0.75, 0.5, 0.75])


def test_values_may_be_whole_numbers():
  used = values_used(1, 0, 'eps')
  assert [(float(x), x.dtype) for x in used] == [(x, jnp.float32) for x in (0, 0, 1, 0, 1)]


def test_values_may_be_schedules_of_the_step_count():
  used = values_used(lambda step: 0.5 + step / 16, optax.linear_schedule(0.0, 0.5, 4))
  np.testing.assert_array_equal(used, [0.0, 0.0, 0.5625, 0.25, 0.6875])


@pytest.mark.parametrize(('rule', 'tie'), [('equation9', 0.5), ('algorithm1', 0.75)])
def test_without_a_loss_the_value_is_that_of_the_phase_so_far(rule, tie):
  schedule = loss_phase_schedule(0.75, 0.5, rule=rule, steps_per_epoch=100)
  state = schedule.init()
  assert float(schedule(state)) == tie
  state = schedule.update(state, value=1.0)
  assert float(schedule(schedule.update(state, value=2.0))) == 0.75
  assert float(schedule(schedule.update(state, value=0.5))) == 0.5


def test_an_update_without_a_loss_raises_what_lcam_raises():
  sentences = set()
  for solver in (make(optax.adam), lcam(0.1, steps_per_epoch=4)):
    with pytest.raises(ValueError, match=r'update\(grads, state, params, value=loss\)') as raised:
      solver.update(start(), solver.init(start()), start())
    sentences.add(str(raised.value))
  assert len(sentences) == 1


def test_a_number_takes_the_dtype_that_optax_gives_its_own():
  low_precision = jax.tree.map(jnp.bfloat16, START)

  def hyperparams(**keywords):
    b1 = loss_phase_schedule(0.999, 0.9, steps_per_epoch=4)
    solver = optax.inject_hyperparams(optax.adam, **keywords)(0.1, b1=b1)
    state = solver.init(low_precision)
    for loss in (1.0, 2.0):
      _, state = solver.update(low_precision, state, low_precision, value=loss)
    return state.hyperparams

  rounded = hyperparams()
  assert rounded['b1'].dtype == rounded['b2'].dtype == jnp.bfloat16
  assert float(rounded['b1']) == float(rounded['b2']) == 1.0  # the trap
  kept = hyperparams(hyperparam_dtype=jnp.float32)
  assert kept['b1'] == kept['b2'] == np.float32(0.999)


def test_a_weight_decay_and_a_learning_rate_by_phase():
  mean = {'steps_per_epoch': 4, 'rule': 'equation9'}
  rate = loss_phase_schedule(0.5, 0.25, **mean)
  decay = loss_phase_schedule(0.125, 0.0, **mean)
  solver = optax.inject_hyperparams(
    lambda rate, decay: optax.chain(optax.add_decayed_weights(decay), optax.sgd(rate))
  )(rate, decay)
  params = jnp.ones(())
  state = solver.init(params)
  for loss, wanted in ((1.0, -0.25), (2.0, -0.5625)):
    updates, state = solver.update(jnp.ones(()), state, params, value=loss)
    assert float(updates) == wanted


def test_two_schedules_with_the_same_mean_are_in_the_same_phase_as_lcam():
  rates = loss_phase_schedule(0.2, 0.1, steps_per_epoch=4)
  solver = optax.inject_hyperparams(lcam)(rates, 0.9, 0.5, steps_per_epoch=4)
  state = solver.init(start())
  for loss in LOSSES:
    _, state = one_update(solver, start(), state, loss)
    high = float(state.hyperparams['learning_rate']) > 0.15
    assert high == (float(optax.tree.get(state, 'momentum')) > 0.7)
