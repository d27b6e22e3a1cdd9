"""The randomness of training, as pure functions of the seed and the position in the run."""

from functools import partial

import jax
from jaxtyping import Array, Int32, Key

# Keep the streams of one seed apart; the coin's far from the weights', which NNX numbers from 0.
_ORDER, _STEP, _COIN = 0, 1, 2**31


@partial(jax.jit, static_argnums=2)
def epoch_order(seed: int, epoch: int, examples: int) -> Int32[Array, ' examples']:
  """The order in which an epoch visits the training examples.

  Args:
    seed: The run's seed; may be traced.
    epoch: The epoch, from 0; may be traced.
    examples: How many training examples there are; static under ``jax.jit``.

  Returns:
    A permutation of 0 to ``examples - 1``, on the default device.

  Example:
    >>> sorted(epoch_order(0, 2, examples=4).tolist())
    [0, 1, 2, 3]
  """
  return jax.random.permutation(
    jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), _ORDER), epoch), examples
  )


def step_key(seed: int, epoch: int, step: int) -> Key[Array, '']:
  """The random key of one training step.

  Args:
    seed: The run's seed.
    epoch: The epoch, from 0; may be traced.
    step: The step within the epoch, from 0; may be traced.

  Returns:
    A key that no other (epoch, step) of this seed has, and no :func:`epoch_order`.

  Example:
    >>> bool(step_key(0, 1, 2) == step_key(0, 1, 2)), bool(step_key(0, 1, 2) == step_key(0, 2, 1))
    (True, False)
  """
  key = jax.random.fold_in(jax.random.key(seed), _STEP)
  return jax.random.fold_in(jax.random.fold_in(key, epoch), step)


def coin_key(seed: int, update: int) -> Key[Array, '']:
  """The random key of the coin that the control for momentum noise tosses.

  Args:
    seed: The run's seed; may be traced.
    update: The update, from 0; may be traced.

  Returns:
    A key that neither the weights nor the data of this seed have.

  Example:
    >>> bool(coin_key(0, 1) == coin_key(0, 2))
    False
  """
  return jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), _COIN), update)
