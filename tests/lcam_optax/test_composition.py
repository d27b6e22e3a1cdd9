"""LCAM inside Optax's wrappers and JAX's transformations."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib
import pytest
from flax.training.train_state import TrainState

from lcam_optax import hold_then_decay, lcam, scale_by_lcam, step_drops

PARAMS = {
  'weight': np.array([[1.0, -2.0], [0.5, 3.0]], np.float32),
  'bias': np.zeros(2, np.float32),
}
LOSSES = np.array([2.0, 3.0, 1.0, 2.5, 0.5, 4.0], np.float32)
SOLVER = lcam(0.1, 0.8, 0.4, steps_per_epoch=4)


def params_tree():
  return jax.tree.map(jnp.asarray, PARAMS)


def train(solver, losses=LOSSES, params=None, jit=True):
  """Runs updates whose gradient is the parameters; returns (params, state)."""
  update = jax.jit(solver.update) if jit else solver.update
  params = params_tree() if params is None else params
  state = solver.init(params)
  for loss in losses:
    updates, state = update(params, state, params, value=loss)
    params = optax.apply_updates(params, updates)
  return params, state


@pytest.fixture(autouse=True)
def count_traces_per_test():
  chex.clear_trace_counter()


@pytest.fixture(scope='module')
def expected():
  return train(SOLVER)[0]


def assert_same(actual, expected):
  chex.assert_trees_all_close(actual, expected, rtol=1e-6)


def test_without_jit(expected):
  assert_same(train(SOLVER, jit=False)[0], expected)


def test_chain(expected):
  assert_same(train(optax.chain(optax.identity(), SOLVER, optax.scale(1.0)))[0], expected)


# Optax may come to leave some of an optimizer's numbers out, as it does with static_args.
@pytest.mark.parametrize('static_args', [(), 'steps_per_epoch'])
def test_injected_hyperparams(expected, static_args):
  solver = optax.inject_hyperparams(lcam, static_args)(0.1, 0.8, 0.4, steps_per_epoch=4)
  params, state = train(solver)
  assert_same(params, expected)
  assert {'learning_rate', 'high_loss_momentum', 'low_loss_momentum'} <= set(state.hyperparams)


@pytest.mark.parametrize('static_args', [(), 'steps_per_epoch'])
def test_injected_momenta_can_be_changed_without_recompiling(static_args):
  solver = optax.inject_hyperparams(lcam, static_args)(0.1, 0.8, 0.4, steps_per_epoch=4)
  update = jax.jit(chex.assert_max_traces(solver.update, n=1))
  params = params_tree()
  state = solver.init(params)
  _, state = update(params, state, params, value=jnp.float32(1.0))
  state = optax.tree.set(state, high_loss_momentum=jnp.float32(0.25))
  _, state = update(params, state, params, value=jnp.float32(1.0))
  assert optax.tree.get(state, 'momentum') == 0.25


def test_traced_steps_per_epoch_and_mean_decay(expected):
  @jax.jit
  def final(**mean):
    return train(lcam(0.1, 0.8, 0.4, **mean), jit=False)[0]

  assert_same(final(steps_per_epoch=4), expected)
  plain = train(lcam(0.1, 0.8, 0.4, mean_decay=0.5))[0]
  assert_same(final(mean_decay=0.5), plain)


def test_injected_schedule_of_a_momentum():
  injected = optax.inject_hyperparams(scale_by_lcam)
  solver = injected(lambda count: 0.1 * count, 0.8, steps_per_epoch=4)
  _, state = train(solver, losses=[1.0, 1.0, 1.0, 1.0])
  np.testing.assert_allclose(optax.tree.get(state, 'momentum'), 0.3, rtol=1e-6)


def test_a_static_mean_decay_keeps_its_digits_where_parameters_have_few():
  params = jax.tree.map(lambda x: x.astype('bfloat16'), params_tree())
  injected = optax.inject_hyperparams(lcam, static_args='mean_decay')(0.1, mean_decay=0.999)
  _, state = train(injected, params=params)
  _, plain = train(lcam(0.1, mean_decay=0.999))
  assert optax.tree.get(state, 'loss_sum') == optax.tree.get(plain, 'loss_sum')


@pytest.mark.parametrize('dtype', ['bfloat16', 'float16'])
def test_injected_hyperparams_keep_low_precision(dtype):
  params = jax.tree.map(lambda x: x.astype(dtype), params_tree())
  injected = optax.inject_hyperparams(lcam, hyperparam_dtype=jnp.float32)
  _, state = train(injected(0.1, 0.8, 0.4, steps_per_epoch=4), params=params)
  chex.assert_trees_all_equal_dtypes(optax.tree.get(state, 'trace'), params)


def test_masked(expected):
  solver = optax.masked(SOLVER, {'weight': True, 'bias': False})
  assert_same(train(solver)[0]['weight'], expected['weight'])


def test_partition(expected):
  solver = optax.partition(
    {'ours': SOLVER, 'sgd': optax.sgd(0.1)}, {'weight': 'ours', 'bias': 'sgd'}
  )
  assert_same(train(solver)[0]['weight'], expected['weight'])


def test_none_leaves():
  params = {'weight': jnp.ones(2), 'absent': None}
  params, _ = train(lcam(0.1, steps_per_epoch=4, nesterov=True), params=params)
  assert params['absent'] is None


def test_multi_steps_hears_the_last_loss_of_each_accumulated_batch(expected):
  solver = optax.MultiSteps(SOLVER, every_k_schedule=2)
  params, state = params_tree(), solver.init(params_tree())
  update = jax.jit(solver.update)
  for loss in LOSSES:
    for value in (100 - loss, loss):
      updates, state = update(params, state, params, value=value)
      params = optax.apply_updates(params, updates)
  assert_same(params, expected)
  assert int(optax.tree.get(state, 'epoch_step')) == 2


def test_apply_if_finite_undoes_a_rejected_update():
  solver = optax.apply_if_finite(SOLVER, max_consecutive_errors=3)
  params, state = train(solver)
  bad = jax.tree.map(lambda x: jnp.full_like(x, jnp.nan), params)
  updates, rejected = solver.update(bad, state, params, value=jnp.nan)
  chex.assert_trees_all_equal(updates, jax.tree.map(jnp.zeros_like, params))
  chex.assert_trees_all_equal(rejected.inner_state, state.inner_state)


@pytest.mark.parametrize('reset_state', [False, True])
def test_lookahead_with_the_loss_bound_at_each_step(reset_state):
  # optax.lookahead passes no keyword on, so the loss is bound to the fast optimizer.
  def lookahead(loss):
    fast = optax.GradientTransformation(SOLVER.init, functools.partial(SOLVER.update, value=loss))
    return optax.lookahead(fast, sync_period=3, slow_step_size=0.5, reset_state=reset_state)

  @chex.assert_max_traces(n=1)
  def step(params, state, loss):
    updates, state = lookahead(loss).update(params.fast, state, params)
    return optax.apply_updates(params, updates), state

  params = optax.LookaheadParams.init_synced(params_tree())
  state = lookahead(None).init(params)
  step = jax.jit(step)
  for loss in LOSSES[:2]:
    params, state = step(params, state, loss)
  assert_same(params.fast, train(SOLVER, LOSSES[:2])[0])
  params, state = step(params, state, LOSSES[2])
  chex.assert_trees_all_equal(params.fast, params.slow)
  assert int(optax.tree.get(state, 'count')) == (0 if reset_state else 3)


@pytest.mark.parametrize('opaque', [False, True])
def test_sam_with_the_loss_bound_at_each_step(opaque):
  # optax.contrib.sam takes no value, so the loss is bound to the outer optimizer.
  def sam(loss):
    outer = optax.GradientTransformation(SOLVER.init, functools.partial(SOLVER.update, value=loss))
    adversary = optax.chain(optax.contrib.normalize(), optax.sgd(0.0))  # leaves the gradient alone
    return optax.contrib.sam(outer, adversary, sync_period=2, opaque_mode=opaque)

  @jax.jit
  def step(params, state, loss):
    keywords = {'grad_fn': lambda params, step: params} if opaque else {}
    updates, state = sam(loss).update(params, state, params, **keywords)
    return optax.apply_updates(params, updates), state

  params, state = params_tree(), sam(None).init(params_tree())
  for loss in LOSSES:
    for value in (loss,) if opaque else (100 - loss, loss):  # otherwise two calls are one update
      params, state = step(params, state, value)
  assert_same(params, train(SOLVER)[0])
  with pytest.raises(TypeError, match='value'):
    optax.contrib.sam(SOLVER, optax.sgd(0.1)).update(params, state, params, value=1.0)


def test_linen_train_state_with_the_loss_passed_by_hand(expected):
  state = TrainState.create(apply_fn=None, params=params_tree(), tx=SOLVER)
  with pytest.raises(ValueError, match='Linen'):
    state.apply_gradients(grads=state.params, value=2.0)
  for loss in LOSSES:
    updates, opt_state = state.tx.update(state.params, state.opt_state, state.params, value=loss)
    params = optax.apply_updates(state.params, updates)
    state = state.replace(step=state.step + 1, params=params, opt_state=opt_state)
  assert_same(state.params, expected)


def test_tree_map_params_reaches_the_trace_alone():
  state = train(SOLVER)[1]
  mapped = optax.tree.map_params(SOLVER, lambda x: x + 1, state)
  ours, before = mapped[0], state[0]
  chex.assert_trees_all_equal(ours._replace(trace=0), before._replace(trace=0))
  chex.assert_trees_all_equal(ours.trace, jax.tree.map(lambda x: x + 1, before.trace))


def test_scan(expected):
  def body(carry, loss):
    params, state = carry
    updates, state = SOLVER.update(params, state, params, value=loss)
    return (optax.apply_updates(params, updates), state), optax.tree.get(state, 'momentum')

  (params, _), momenta = jax.lax.scan(body, (params_tree(), SOLVER.init(params_tree())), LOSSES)
  assert_same(params, expected)
  np.testing.assert_allclose(momenta, [0.8, 0.8, 0.8, 0.4, 0.8, 0.8], rtol=1e-6)


def test_vmap_over_momenta():
  highs, lows = jnp.array([0.9, 0.5, 0.8]), jnp.array([0.9, 0.7, 0.4])

  def run(high, low):
    return train(lcam(0.1, high, low, steps_per_epoch=4), jit=False)[0]

  together = jax.vmap(run)(highs, lows)
  for index in range(len(highs)):
    alone = run(highs[index], lows[index])
    assert_same(jax.tree.map(lambda x, i=index: x[i], together), alone)


def test_donation(expected):
  step = jax.jit(
    lambda params, state, loss: SOLVER.update(params, state, params, value=loss),
    donate_argnums=1,
  )
  params, state = params_tree(), SOLVER.init(params_tree())
  for loss in LOSSES:
    donated = state
    updates, state = step(params, state, loss)
    params = optax.apply_updates(params, updates)
  assert all(leaf.is_deleted() for leaf in jax.tree.leaves(donated[0].trace))
  assert_same(params, expected)


def test_does_not_recompile_from_the_second_call_on():
  update = jax.jit(chex.assert_max_traces(SOLVER.update, n=1))
  params, state = params_tree(), SOLVER.init(params_tree())
  for loss in (1.0, 2.0, float('nan'), 0.5):
    _, state = update(params, state, params, value=loss)
  _, state = update(params, SOLVER.init(params), params, value=3.0)


@pytest.mark.parametrize('dtype', ['bfloat16', 'float16', 'float32', 'float64'])
@pytest.mark.parametrize('loss_dtype', ['bfloat16', 'float32', 'float64'])
def test_keeps_the_dtype_of_the_parameters(dtype, loss_dtype):
  with jax.enable_x64('float64' in (dtype, loss_dtype)):
    params = jax.tree.map(lambda x: jnp.asarray(x, dtype), PARAMS)
    trained, state = train(SOLVER, losses=jnp.asarray(LOSSES, loss_dtype), params=params)
    chex.assert_trees_all_equal_dtypes(trained, params)
    chex.assert_trees_all_equal_dtypes(state[0].trace, params)
    chex.assert_trees_all_equal_shapes_and_dtypes(state, SOLVER.init(params))


def test_accumulator_dtype():
  params = jax.tree.map(lambda x: jnp.asarray(x, 'bfloat16'), PARAMS)
  trained, state = train(lcam(0.1, steps_per_epoch=4, accumulator_dtype=jnp.float32), params=params)
  chex.assert_trees_all_equal_dtypes(trained, params)
  assert state[0].trace['weight'].dtype == jnp.float32


def test_unknown_keywords_are_accepted():
  params = params_tree()
  SOLVER.update(params, SOLVER.init(params), params, value=1.0, grad=params, value_fn=None)


def test_after_an_epoch_the_state_holds_its_mean_loss():
  _, state = train(SOLVER, losses=[1.0, 2.0, 3.0, 4.0])
  assert float(state[0].loss_sum / state[0].count) == 2.5
  _, state = train(SOLVER, losses=[1.0, 2.0, 3.0, 4.0, 7.0])
  assert float(state[0].loss_sum / state[0].count) == 7.0


@pytest.mark.parametrize('rule', ['equation9', 'algorithm1'])
@pytest.mark.parametrize('mean', [{'steps_per_epoch': 4}, {'mean_decay': 0.5}])
@pytest.mark.parametrize('dtype', ['float32', 'bfloat16'])
def test_strict_promotion_gives_the_same_steps(rule, mean, dtype):
  params = grads = jnp.ones(3, dtype)

  def steps():
    schedules = (step_drops(0.1, 2, (1,)), hold_then_decay(0.1, 2, 1))
    for nesterov, rate in zip((False, True), schedules, strict=True):
      solver = lcam(rate, 0.95, 0.5, rule=rule, nesterov=nesterov, **mean)
      state = solver.init(params)
      for loss in (1.0, 3.0, 2.0, 2.5, 0.5):
        updates, state = solver.update(grads, state, params, value=jnp.float32(loss))
        yield updates

  usual = list(steps())
  with jax.numpy_dtype_promotion('strict'):
    chex.assert_trees_all_equal(list(steps()), usual)
