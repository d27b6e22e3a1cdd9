"""The running mean of the losses, and on which side of it a loss lies.

The authors' scripts add the losses up in Python floats, which are float64. JAX has float32 by
default, in which a plain sum stops growing near 2**24 terms and a tie between a loss and the mean
(the first loss of every epoch is one) is lost to rounding. Here the sum is kept as an unevaluated
pair of floats, about 48 bits together, and compared with the loss without a division, so that
float32 decides as float64 does.
"""

import jax
import jax.numpy as jnp
from jax import lax

_LIMB_BITS = 12  # two such factors multiply without rounding in float32, which has 24


def _two_sum(a: jax.Array, b: jax.Array) -> tuple[jax.Array, jax.Array]:
  """Returns the rounded sum of two floats and its rounding error (Knuth, TAOCP 2, 4.2.2)."""
  total = a + b
  b_seen = total - a
  return total, (a - (total - b_seen)) + (b - b_seen)


def add_loss(
  loss_sum: jax.Array, loss_sum_error: jax.Array, loss: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """Adds a loss to a compensated sum.

  Args:
    loss_sum: The sum, rounded; a float scalar.
    loss_sum_error: What rounding has kept out of it; same dtype.
    loss: The loss to add; same dtype.

  Returns:
    The new sum and the new error, whose exact total is the sum of all losses.
  """
  total, error = _two_sum(loss_sum, loss)
  return _two_sum(total, loss_sum_error + error)


def excess_over_mean(
  loss: jax.Array, loss_sum: jax.Array, loss_sum_error: jax.Array, count: jax.Array
) -> jax.Array:
  """Compares a loss with the mean of a compensated sum.

  Args:
    loss: A float scalar.
    loss_sum: See :func:`add_loss`.
    loss_sum_error: See :func:`add_loss`.
    count: How many losses the sum holds; int32.

  Returns:
    ``count * loss - sum``: positive if the loss is above the mean, zero if they tie. Every product
    is one of 12 bits with 12 bits and so exact, also where the compiler fuses it with an addition.
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
