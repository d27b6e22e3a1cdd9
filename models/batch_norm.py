"""Batch normalisation with PyTorch's running statistics."""

import jax.numpy as jnp
from flax import nnx
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Float


class BatchNorm(nnx.BatchNorm):
  """Batch normalisation over every axis but the last (Ioffe and Szegedy, 2015).

  This subclass differs from ``flax.nnx.BatchNorm`` in three ways that change the numbers:

  * Flax keeps a running average of the biased batch variance. This class keeps that of the unbiased
    variance, as PyTorch does (n / (n - 1) times as large: 1.6 % for 64 values, the number that a
    small batch has after the strides).
  * Flax computes the variance as E[x^2] - E[x]^2 by default, which loses all digits where the mean
    is large. This class always computes E[(x - E[x])^2].
  * With ``dtype=bfloat16`` Flax rounds the running statistics and normalises in bfloat16. Here the
    statistics and the normalisation are at least float32, and only the result is rounded.

  Under ``jax.jit`` with a batch that is divided among devices, the statistics are those of the
  whole batch.

  Args:
    features: The number of channels: the size of the last axis.
    dtype: The type of the result.
    param_dtype: The type of scale and bias; the running statistics have this type or float32,
      whichever is wider.
    rngs: Random keys (not used: scale starts at one, bias at zero).

  Example:
    >>> import jax.numpy as jnp
    >>> from flax import nnx
    >>> norm = BatchNorm(1, rngs=nnx.Rngs(0))
    >>> norm(jnp.array([[0.0], [2.0]])).round(3).tolist()
    [[-1.0], [1.0]]
    >>> round(float(norm.var[0]), 3)  # 0.9 of the initial 1, 0.1 of the unbiased variance 2
    1.1
  """

  def __init__(
    self,
    features: int,
    *,
    dtype: DTypeLike = jnp.float32,
    param_dtype: DTypeLike = jnp.float32,
    rngs: nnx.Rngs,
  ):
    super().__init__(
      features, momentum=0.9, epsilon=1e-5, dtype=dtype, param_dtype=param_dtype, rngs=rngs
    )
    statistics_dtype = jnp.promote_types(param_dtype, jnp.float32)
    self.mean = nnx.BatchStat(jnp.zeros(features, statistics_dtype))
    self.var = nnx.BatchStat(jnp.ones(features, statistics_dtype))

  def __call__(self, x: Float[Array, '*axes channel']) -> Float[Array, '*axes channel']:
    """Normalises ``x``; in training mode it also updates the running statistics.

    Args:
      x: Activations, channels last.

    Returns:
      An array of the same shape, in ``dtype``.

    Raises:
      ValueError: In training mode, if a channel has only one value, which has no variance.
    """
    wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    if self.use_running_average:
      mean, var = self.mean[...], self.var[...]
    else:
      mean, var = self._batch_statistics(wide)
    y = (wide - mean) * (lax.rsqrt(var + self.epsilon) * self.scale[...]) + self.bias[...]
    return y.astype(self.dtype)

  def _batch_statistics(self, x):
    count = x.size // x.shape[-1]
    if count < 2:
      raise ValueError(
        f'Batch norm needs two values per channel in training, but the input has shape {x.shape}: '
        'use a larger batch, or larger images or longer audio, or call model.eval().'
      )
    axes = tuple(range(x.ndim - 1))
    mean = x.mean(axes)
    var = jnp.square(x - mean).mean(axes)
    old = self.momentum
    self.mean[...] = old * self.mean[...] + (1 - old) * mean
    self.var[...] = old * self.var[...] + (1 - old) * count / (count - 1) * var
    return mean, var
