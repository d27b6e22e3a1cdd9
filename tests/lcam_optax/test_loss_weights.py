"""Weights of examples: against NumPy, and against the weights that LCAM gives to gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lcam_optax import loss_phase_weights, scale_by_lcam

NAN, INF = np.nan, np.inf
# Means of them are at least 1/96 from any of them that they do not equal: no float32 is too short.
LOSSES = st.integers(-128, 128).map(lambda eighths: eighths / 8)


def in_numpy(losses, strength, mean=None):
  losses = np.asarray(losses, np.float64)
  usable = np.isfinite(losses)
  weights = np.ones_like(losses)
  if usable.any():
    mean = losses[usable].mean() if mean is None else mean
    side = np.where(losses[usable] > mean, 1, -1)
    weights[usable] = 1 + strength * (side - side.mean())
  return weights


@settings(deadline=None, max_examples=100)
@given(
  losses=st.lists(LOSSES | st.sampled_from([NAN, INF, -INF]), min_size=12, max_size=12),
  shape=st.sampled_from([(12,), (3, 4), (1,)]),  # few, because each compiles its operations
  strength=st.sampled_from([-0.5, -0.475, 0.0, 0.3, 0.5]),
  mean=st.none() | LOSSES | st.sampled_from([NAN, INF]),
  dtype=st.sampled_from(['float32', 'bfloat16', 'float16']),
)
def test_weights_are_those_of_numpy(losses, shape, strength, mean, dtype):
  losses = np.resize(losses, shape)
  weights = loss_phase_weights(jnp.asarray(losses, dtype), strength, mean=mean)
  assert (weights.dtype, weights.shape) == (dtype, shape)
  epsilon = float(jnp.finfo(dtype).eps)
  np.testing.assert_allclose(
    np.float64(weights), in_numpy(losses, strength, mean), atol=2 * epsilon
  )
  assert abs(np.float64(weights).mean() - 1) < 2 * epsilon
  assert weights.min() >= 0


def test_a_mean_that_a_short_dtype_would_round_or_overflow_is_kept():
  step = 2**-7  # after 1, the next number of bfloat16; the mean, 1 + 0.75 step, lies between
  losses = jnp.asarray([1.0] + 3 * [1 + step], 'bfloat16')
  np.testing.assert_allclose(np.float32(loss_phase_weights(losses, 0.5)), [0.25] + 3 * [1.25])
  losses = jnp.asarray([6e4] * 3 + [1.0], 'float16')  # their sum would be infinite
  np.testing.assert_allclose(np.float32(loss_phase_weights(losses, 0.5)), [1.25] * 3 + [0.25])


def test_strict_promotion_allows_short_dtypes():
  losses = jnp.array([1.0, 2.0, 4.0], 'bfloat16')
  with jax.numpy_dtype_promotion('strict'):
    weights = loss_phase_weights(losses, jnp.float32(0.5), mean=jnp.bfloat16(1.5))
  np.testing.assert_allclose(weights, in_numpy(losses, 0.5, mean=1.5), atol=2**-8)


def test_float64_is_kept():
  with jax.enable_x64(True):
    losses = jnp.array([1.0, 1.0, 1 + 1e-12])
    weights = loss_phase_weights(losses, 0.3)
    assert weights.dtype == jnp.float64
    np.testing.assert_allclose(weights, in_numpy(losses, 0.3), rtol=1e-14)


def test_no_gradient_flows_through_the_weights():
  inputs = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
  params = np.array([0.5, -1.0, 2.0], np.float32)

  def objective(params, strength, mean):
    losses = (inputs @ params) ** 2
    return (loss_phase_weights(losses, strength, mean=mean) * losses).mean()

  grads, *others = jax.jit(jax.grad(objective, argnums=(0, 1, 2)))(params, -0.475, 1.0)
  outputs = inputs @ params
  weights = in_numpy(outputs**2, -0.475, mean=1.0)
  np.testing.assert_allclose(grads, (weights * 2 * outputs) @ inputs / len(inputs), rtol=1e-5)
  assert others == [0, 0]


def test_each_run_of_a_vmap_has_its_own_mean():
  losses = np.random.default_rng(0).gamma(1.0, size=(3, 8)).astype(np.float32)
  strengths = np.array([-0.475, 0.0, 0.3], np.float32)
  expected = [in_numpy(row, strength) for row, strength in zip(losses, strengths, strict=True)]
  np.testing.assert_allclose(jax.vmap(loss_phase_weights)(losses, strengths), expected, rtol=1e-6)


@pytest.mark.parametrize(('high', 'low'), [(0.0, 0.95), (0.8, 0.2), (0.95, 0.9)])
def test_they_are_the_weights_that_lcam_gives_to_batches_of_one_example(high, low):
  losses = np.random.default_rng(0).gamma(1.0, size=40_000).astype(np.float32)
  solver = scale_by_lcam(high, low, mean_decay=1 - 1 / 2000, rule='algorithm1')

  def distance(grads):  # linear in each gradient, so that its derivative is the total weight
    def step(carry, now):
      total, state = carry
      loss, grad = now
      update, state = solver.update(grad, state, value=loss)
      return (total + update, state), None

    zero = jnp.zeros(())
    (total, _), _ = jax.lax.scan(step, (zero, solver.init(zero)), (losses, grads))
    return total

  settled = slice(4000, -1000)  # the mean has seen losses, the weights have had their time
  ours = np.float64(loss_phase_weights(losses, (high - low) / 2, mean=losses.mean()))[settled]
  measured = np.float64(jax.jit(jax.grad(distance))(jnp.ones(len(losses))))[settled]
  measured /= measured.mean()
  deviations = ours - ours.mean()
  slope = (deviations @ measured) / (deviations @ deviations)
  rest = measured - 1 - slope * deviations
  # Neighbouring weights share momenta, so that the rest is correlated over some 20 steps, but not
  # with independent losses.
  error = rest.std() / (deviations @ deviations) ** 0.5
  assert abs(slope - 1) < 4 * error
  assert error < 0.1
