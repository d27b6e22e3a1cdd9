import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from models.batch_norm import BatchNorm


def _inputs(shape=(4, 3, 5, 2), mean=0.0, dtype=np.float32):
  rng = np.random.default_rng(0)
  return jnp.asarray((rng.normal(size=shape) + mean).astype(dtype))


def test_normalises_with_the_biased_and_keeps_the_unbiased_variance():
  x = _inputs()
  norm = BatchNorm(2, rngs=nnx.Rngs(0))
  y = norm(x)
  flat = np.asarray(x, np.float64).reshape(-1, 2)
  expected = (flat - flat.mean(0)) / np.sqrt(flat.var(0) + 1e-5)
  np.testing.assert_allclose(y.reshape(-1, 2), expected, atol=1e-6)
  np.testing.assert_allclose(norm.mean[...], 0.1 * flat.mean(0), rtol=1e-5)
  np.testing.assert_allclose(norm.var[...], 0.9 + 0.1 * flat.var(0, ddof=1), rtol=1e-6)


def test_evaluation_uses_the_running_statistics_and_leaves_them():
  norm = BatchNorm(2, rngs=nnx.Rngs(0))
  norm(_inputs(mean=1.0))
  norm.eval()
  mean, var = np.asarray(norm.mean[...]), np.asarray(norm.var[...])
  x = _inputs(mean=5.0)
  np.testing.assert_allclose(norm(x), (x - mean) / np.sqrt(var + 1e-5), rtol=1e-5)
  np.testing.assert_array_equal(norm.mean[...], mean)
  np.testing.assert_array_equal(norm.var[...], var)


def test_variance_keeps_its_digits_where_the_mean_is_large():
  x = _inputs(shape=(512, 1), mean=1e4)
  norm = BatchNorm(1, rngs=nnx.Rngs(0))
  norm(x)
  expected = 0.9 + 0.1 * np.asarray(x, np.float64).var(ddof=1)
  np.testing.assert_allclose(norm.var[0], expected, rtol=1e-5)


def test_bfloat16_rounds_the_result_alone():
  x = _inputs(mean=3.0).astype(jnp.bfloat16)
  low, high = BatchNorm(2, dtype=jnp.bfloat16, rngs=nnx.Rngs(0)), BatchNorm(2, rngs=nnx.Rngs(0))
  y = low(x)
  assert y.dtype == jnp.bfloat16
  np.testing.assert_array_equal(y, high(x.astype(jnp.float32)).astype(jnp.bfloat16))
  np.testing.assert_array_equal(low.mean[...], high.mean[...])
  np.testing.assert_array_equal(low.var[...], high.var[...])
  assert low.mean.dtype == low.var.dtype == low.scale.dtype == jnp.float32


def test_one_value_per_channel_cannot_be_trained_on():
  norm = BatchNorm(2, rngs=nnx.Rngs(0))
  with pytest.raises(ValueError, match=r'two values per channel.*larger batch'):
    norm(jnp.zeros((1, 1, 2)))
  norm.eval()
  norm(jnp.zeros((1, 1, 2)))


def test_modes_follow_nnx_view():
  norm = BatchNorm(2, rngs=nnx.Rngs(0))
  assert nnx.view(norm, use_running_average=True).use_running_average
  assert not norm.use_running_average
