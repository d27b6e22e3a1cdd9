"""Weighs the examples of a batch by the side of the mean on which their losses are."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from lcam_optax._checks import check_losses, check_real, check_strength


def loss_phase_weights(
  losses: ArrayLike, strength: ArrayLike, *, mean: ArrayLike | None = None
) -> jax.Array:
  r"""Weighs examples as LCAM weighs batches of one example, for batches of any size.

  With :math:`s_i = 1` for an example whose loss is above the mean, and -1 for the others, the weight
  of an example is

  .. math::

    w_i = 1 + \text{strength} \cdot (s_i - \bar s)

  The weights average one. With a negative strength, examples with a low loss count more: a way to
  distrust labels that may be wrong. With a positive one, examples with a high loss do.

  LCAM does the same on average at a batch size of 1, with ``rule='algorithm1'`` and
  ``strength = (high - low) / 2``. In larger batches LCAM's effect shrinks, and that of these weights
  does not. The documentation derives this under "Derivation".

  Under ``jax.jit`` the mean is over the whole batch, on any number of devices. Inside
  ``jax.shard_map``, gather the losses, one row for each device, and take the row of this device::

    everywhere = jax.lax.all_gather(losses, 'data')
    weights = loss_phase_weights(everywhere, -0.475)[jax.lax.axis_index('data')]
    loss = jax.lax.pmean((weights * losses).mean(), 'data')

  Args:
    losses: The loss of each example; a float array of any shape but ().
    strength: Half the difference between the weights of the two sides, in [-0.5, 0.5], so that no
      weight is below 0.
    mean: The number that losses are compared with, such as a running mean of many batches; a scalar.
      None means the mean of ``losses``. It does not replace :math:`\bar s`: if all losses are on one
      side of the mean, all weights are 1.

  Returns:
    The weights, with the shape and the dtype of ``losses``. Means are computed in float32 or wider.
    No gradient flows through the weights. A loss that equals the mean is low. A loss that is NaN or
    infinite has weight 1 and is left out of both means, as ``lcam`` leaves it out. If the mean of
    the losses is NaN or infinite, all weights are 1.

  Raises:
    ValueError: If ``losses`` is a scalar or not of floats, ``strength`` is a Python number outside
      [-0.5, 0.5], or ``strength`` or ``mean`` is not one real number.

  Example:
    >>> import jax.numpy as jnp
    >>> losses = jnp.array([0.1, 0.2, 0.3, 3.0])  # the label of the last one may be wrong
    >>> weights = loss_phase_weights(losses, -0.475)
    >>> [round(weight, 4) for weight in weights.tolist()]
    [1.2375, 1.2375, 1.2375, 0.2875]
    >>> loss = (weights * losses).mean()  # to be differentiated
  """
  losses = jnp.asarray(losses)
  check_losses(losses)
  check_strength(strength)
  dtype = losses.dtype if jnp.finfo(losses.dtype).bits > 32 else jnp.float32
  strength = jnp.asarray(strength, dtype)
  wide = losses.astype(dtype)
  usable = jnp.isfinite(wide)
  if mean is None:
    mean = wide.mean(where=usable)  # NaN if there is none, and then all weights are 1
  else:
    check_real('mean', mean)
  side = jnp.where(wide > jnp.asarray(mean, dtype), 1, -1).astype(dtype)
  weights = 1 + strength * (side - side.mean(where=usable))
  return jax.lax.stop_gradient(jnp.where(usable, weights, 1)).astype(losses.dtype)
