"""Computes running means of losses, and whether a loss is above or below them.

The authors' scripts sum the losses in Python floats, which are float64. JAX has float32 by
default, in which a plain sum stops growing near 2**24 terms, and rounding hides a tie between a
loss and the mean (the first loss of every epoch is a tie). Here the sum is an unevaluated pair of
floats, about 48 bits together, and is compared with the loss without a division, so that float32
decides as float64 does. (The weights of the exponential mean are not exact, so that its last digits
in float32 may differ.)

Both means have the same signature. They map (total, error, count, loss), with ``count`` the number
of losses including this one, to the new total, the new error and the *excess*: a number with the
sign of the loss minus the mean that includes this loss. The excess is NaN or infinite if the loss
is.
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

Pair = tuple[jax.Array, jax.Array]
RunningMean = Callable[
  [jax.Array, jax.Array, jax.Array, jax.Array], tuple[jax.Array, jax.Array, jax.Array]
]

_LIMB_BITS = 12  # two such factors multiply without rounding in float32, which has 24


def mean_of_all(
  loss_sum: jax.Array, loss_sum_error: jax.Array, count: jax.Array, loss: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
  """Adds a loss to the sum of the losses so far.

  Args:
    loss_sum: The sum, rounded; a float scalar.
    loss_sum_error: The rounding error of the sum; same dtype.
    count: The number of losses including this one; int32.
    loss: The loss; same dtype as the sum.

  Returns:
    The new sum, its error, and the excess.
  """
  loss_sum, loss_sum_error = _add(loss_sum, loss_sum_error, loss)
  return loss_sum, loss_sum_error, _times_minus(count, loss, loss_sum, loss_sum_error)


def exponential_mean(decay: float | jax.Array) -> RunningMean:
  r"""Returns the running mean in which a loss weighs ``decay`` times as much as the next one.

  With :math:`v_n = d v_{n-1} + (1 - d) L_n` it is :math:`v_n / (1 - d^n)`, computed as
  :math:`\mu_n = \mu_{n-1} + w_n (L_n - \mu_{n-1}), w_n = (1 - d) / (1 - d^n)`. A loss is above
  the mean that includes it if it is above the mean before it. So the first loss, and losses that do
  not change, are ties, however the weights are rounded.

  Args:
    decay: The decay, in (0, 1). If it was rounded to 1, the result is the mean of all losses.

  Returns:
    A function that adds a loss to the mean; its total is the mean itself.
  """

  def add(mean: jax.Array, mean_error: jax.Array, count: jax.Array, loss: jax.Array):
    if isinstance(decay, jax.Array):
      share = jnp.maximum(1 - decay.astype(loss.dtype), 2.0**-100)
      log_decay = jnp.log1p(-share)
    else:  # before rounding to float32, in which a decay close to 1 loses most of its digits
      share, log_decay = 1 - float(decay), math.log(decay)
    first = count == 1
    mean, mean_error = jnp.where(first, loss, mean), jnp.where(first, 0, mean_error)
    excess = (loss - mean) - mean_error
    weight = share / -jnp.expm1(count.astype(loss.dtype) * log_decay)
    return *_add(mean, mean_error, weight * excess), excess

  return add


def _two_sum(a: jax.Array, b: jax.Array) -> Pair:
  """Returns the rounded sum of two floats and its rounding error (Knuth, TAOCP 2, 4.2.2)."""
  total = a + b
  b_seen = total - a
  return total, (a - (total - b_seen)) + (b - b_seen)


def _add(total: jax.Array, error: jax.Array, term: jax.Array) -> Pair:
  """Adds a term to an unevaluated pair."""
  total, rounding = _two_sum(total, term)
  return _two_sum(total, error + rounding)


def _times_minus(
  count: jax.Array, loss: jax.Array, loss_sum: jax.Array, loss_sum_error: jax.Array
) -> jax.Array:
  """Returns ``count * loss - sum``.

  Every product is of 12 bits with 12 bits, and therefore exact, even if the compiler fuses it with
  an addition.
  """
  float_info = jnp.finfo(loss.dtype)
  loss_high = lax.reduce_precision(loss, float_info.nexp, float_info.nmant // 2)
  excess, error = -loss_sum, -loss_sum_error
  for shift in range(0, 31, _LIMB_BITS):
    limb = (count >> shift) & (2**_LIMB_BITS - 1)
    weight = limb.astype(loss.dtype) * 2.0**shift
    for part in (loss_high, loss - loss_high):
      excess, rounding = _two_sum(excess, part * weight)
      error += rounding
  return excess + error
