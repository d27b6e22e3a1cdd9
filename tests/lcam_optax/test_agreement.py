"""LCAM against an independent NumPy loop, and against optax.sgd where they must be equal."""

import functools
from fractions import Fraction

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lcam_optax import lcam, scale_by_lcam
from tests.lcam_optax.reference import RULES

WITHOUT_A_MEAN = pytest.mark.filterwarnings('ignore:Without steps_per_epoch or mean_decay')
CURVATURE = np.array([1.0, 0.3, 2.0], np.float32)
START = np.array([1.0, -2.0, 0.5], np.float32)


def gradient(params):
  return CURVATURE * params + 0.1


def step(solver, params, state, gradient, loss):
  updates, state = solver.update(gradient(params), state, params, value=loss)
  return optax.apply_updates(params, updates), state


jitted_step = jax.jit(step, static_argnums=(0, 3))


def run(solver, losses):
  """Yields (params, state) after each update of a jitted solver."""
  params, state = jnp.asarray(START), solver.init(jnp.asarray(START))
  for loss in losses:
    params, state = jitted_step(solver, params, state, gradient, loss)
    yield params, state


def assert_follows_reference(rule, losses, **options):
  solver = lcam(0.1, 0.8, 0.4, rule=rule, **options)
  expected = RULES[rule](START, gradient, losses, lr=0.1, a=0.8, b=0.4, **options)
  for (params, state), (reference, momentum, high) in zip(
    run(solver, losses), expected, strict=True
  ):
    np.testing.assert_allclose(params, reference, rtol=2e-5, atol=1e-6)
    assert optax.tree.get(state, 'momentum') == np.float32(momentum)
    assert bool(optax.tree.get(state, 'high_loss_phase')) == high


@WITHOUT_A_MEAN
@pytest.mark.parametrize('rule', RULES)
@pytest.mark.parametrize('nesterov', [False, True])
@pytest.mark.parametrize(
  'mean',
  [{}, {'steps_per_epoch': 1}, {'steps_per_epoch': 7}, {'mean_decay': 0.9}],
  ids=lambda mean: '-'.join(map(str, *mean.items())) if mean else 'all',
)
def test_follows_the_numpy_loop(rule, nesterov, mean):
  losses = np.random.default_rng(0).gamma(2.0, size=100).astype(np.float32)
  assert_follows_reference(rule, losses, nesterov=nesterov, **mean)


@pytest.mark.parametrize('rule', RULES)
@pytest.mark.parametrize(
  'losses',
  [
    [0.1] * 20,  # 0.1 is not exact: a rounded sum drifts away from count * loss
    [1, 2, 4, 1, 2, 2, 2],  # passes through a mean of 7/3 before it ties at 2
    [3, 1, 2, 2, 5, 1, 2],
    [-1, -3, -2, -2, 0, -2, 0],
  ],
)
def test_ties(rule, losses):
  assert_follows_reference(rule, np.array(losses, np.float32), steps_per_epoch=10)


@pytest.mark.parametrize('rule', RULES)
@pytest.mark.parametrize('first', [2.0, np.nan, np.inf])
@pytest.mark.parametrize('mean', [{'steps_per_epoch': 4}, {'mean_decay': 0.75}])
def test_a_loss_that_is_not_finite_is_left_out(rule, first, mean):
  nan, inf = np.nan, np.inf
  losses = [first, 1, nan, 3, inf, 2, -inf, nan, 2, 4, nan, 1, 1, 3]
  assert_follows_reference(rule, np.array(losses, np.float32), **mean)


@pytest.mark.parametrize('rule', RULES)
def test_a_loss_too_large_to_sum_is_left_out(rule):
  solver = lcam(0.1, rule=rule, steps_per_epoch=10)
  *_, (_, state) = run(solver, [2.0, 1.0, 3e38, 3e38, 1.0])
  assert optax.tree.get(state, 'loss_sum') < 1e38
  *_, (_, later) = run(solver, [2.0, 1.0, 3e38, 3e38, 1.0, 3.0])
  assert int(optax.tree.get(later, 'high_loss_phase')) == 1


@functools.cache
def phases_with(rule, steps_per_epoch):
  """Returns a function from losses to the phase of each; it is compiled once."""
  solver = scale_by_lcam(0.5, 0.25, rule=rule, steps_per_epoch=steps_per_epoch)

  def body(state, loss):
    _, state = solver.update(jnp.zeros(()), state, value=loss)
    return state, state.high_loss_phase

  return jax.jit(lambda losses: jax.lax.scan(body, solver.init(jnp.zeros(())), losses)[1])


@settings(deadline=None, max_examples=50)
@given(
  rule=st.sampled_from(sorted(RULES)),
  losses=st.lists(st.floats(2**-10, 100, width=32), min_size=30, max_size=30),
  steps_per_epoch=st.sampled_from([1, 2, 3, 7, 11, 30]),
)
def test_float32_decides_as_float64_does(rule, losses, steps_per_epoch):
  losses = np.array(losses, np.float32)
  phases = phases_with(rule, steps_per_epoch)(losses)
  expected = []
  for position, loss in enumerate(losses):
    epoch = losses[position // steps_per_epoch * steps_per_epoch : position + 1]
    mean = sum(map(Fraction, epoch.tolist())) / len(epoch)
    expected.append(loss >= mean if rule == 'algorithm1' else loss > mean)
  np.testing.assert_array_equal(phases.astype(bool), expected)


@settings(deadline=None, max_examples=20)
@given(
  momentum=st.floats(0, 0.99),
  nesterov=st.booleans(),
  # Few, because each compiles its operations.
  shapes=st.sampled_from([[()], [(3,), (2, 1, 3)], [(2, 1, 3), (), (2, 2)]]),
  dtype=st.sampled_from(['bfloat16', 'float16', 'float32']),
  accumulator_dtype=st.sampled_from([None, 'float32', 'bfloat16']),
  rule=st.sampled_from(sorted(RULES)),
  seed=st.integers(0, 2**16),
)
def test_equal_momenta_are_exactly_sgd(
  momentum, nesterov, shapes, dtype, accumulator_dtype, rule, seed
):
  rng = np.random.default_rng(seed)

  def draw():
    return [jnp.asarray(rng.normal(size=shape), dtype) for shape in shapes]

  options = {'nesterov': nesterov, 'accumulator_dtype': accumulator_dtype}
  ours = lcam(0.1, momentum, momentum, rule=rule, steps_per_epoch=2, **options)
  sgd = optax.sgd(0.1, momentum, **options)
  params = draw()
  our_state, sgd_state = ours.init(params), sgd.init(params)
  for loss in rng.normal(size=4):
    grads = draw()
    our_updates, our_state = ours.update(grads, our_state, params, value=loss)
    sgd_updates, sgd_state = sgd.update(grads, sgd_state, params)
    chex.assert_trees_all_equal(our_updates, sgd_updates, strict=True)


@pytest.mark.parametrize('jit', [False, True])
@pytest.mark.parametrize('dtype', ['int8', 'int32', 'complex64', 'float32', 'float64'])
def test_equal_momenta_are_exactly_sgd_in_other_dtypes(dtype, jit):
  with jax.enable_x64(dtype == 'float64'):
    rng = np.random.default_rng(0)
    ours, sgd = lcam(0.1, 0.9, 0.9, steps_per_epoch=2), optax.sgd(0.1, 0.9)
    params = jnp.asarray(rng.normal(size=5) * 100, dtype)
    our_update, sgd_update = (
      jax.jit(solver.update) if jit else solver.update for solver in (ours, sgd)
    )
    our_state, sgd_state = ours.init(params), sgd.init(params)
    for loss in rng.normal(size=4):
      grads = jnp.asarray(rng.normal(size=5) * 100, dtype)
      our_updates, our_state = our_update(grads, our_state, params, value=loss)
      sgd_updates, sgd_state = sgd_update(grads, sgd_state, params)
      chex.assert_trees_all_equal(our_updates, sgd_updates, strict=True)


PLAIN = {rule: lcam(0.1, 0.8, 0.4, rule=rule, steps_per_epoch=5) for rule in RULES}


@settings(deadline=None, max_examples=30)
@given(
  losses=st.lists(st.integers(-50, 50), min_size=1, max_size=20),
  scale=st.sampled_from([0.125, 1.0, 3.0, 1024.0]),
  shift=st.integers(0, 1000),
  rule=st.sampled_from(sorted(RULES)),
)
def test_scaling_and_shifting_the_losses_changes_nothing(losses, scale, shift, rule):
  losses = np.array(losses, np.float32)
  for (params, _), (changed, _) in zip(
    run(PLAIN[rule], losses), run(PLAIN[rule], losses * scale + shift), strict=True
  ):
    chex.assert_trees_all_equal(params, changed)


@settings(deadline=None, max_examples=20)
@given(order=st.permutations(range(4)), rule=st.sampled_from(sorted(RULES)))
def test_permuting_the_leaves_changes_nothing(order, rule):
  rng = np.random.default_rng(0)
  leaves = [rng.normal(size=n).astype(np.float32) for n in (1, 2, 3, 4)]
  losses = rng.normal(size=6).astype(np.float32)
  solver = lcam(0.1, 0.8, 0.4, rule=rule, steps_per_epoch=3)

  def double(tree):
    return jax.tree.map(lambda x: 2 * x, tree)

  trajectory = run_tree(solver, leaves, losses, double)
  permuted = run_tree(solver, [leaves[i] for i in order], losses, double)
  chex.assert_trees_all_equal([trajectory[i] for i in order], permuted)


def run_tree(solver, params, losses, gradient):
  state = solver.init(params)
  for loss in losses:
    params, state = step(solver, params, state, gradient, loss)
  return params
