"""The randomness of training, as pure functions of the seed and the position in the run.

All arguments but the number of examples may be traced.
"""

from functools import partial, reduce

import jax
from jaxtyping import Array, Int32, Key

# Keep the streams of one seed apart, also from that of :func:`lcam_optax.coin_tracker`, 2**31.
_ORDER, _STEP = 0, 1


@partial(jax.jit, static_argnums=2)
def epoch_order(seed: int, epoch: int, examples: int) -> Int32[Array, ' examples']:
  """Returns the order in which an epoch visits the training examples, on the default device."""
  return jax.random.permutation(_key(seed, _ORDER, epoch), examples)


def step_key(seed: int, epoch: int, step: int) -> Key[Array, '']:
  """Returns the random key of one training step, which no other step of this seed has."""
  return _key(seed, _STEP, epoch, step)


def _key(seed, *position):
  return reduce(jax.random.fold_in, position, jax.random.key(seed))
