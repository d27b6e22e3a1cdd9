"""Checks of the numbers a transformation is built from.

A number may also be a JAX array, as under ``optax.inject_hyperparams``, ``jax.jit`` and
``jax.vmap``. Its value may be unknown until it runs, so arrays are not checked.
"""

import numbers
from typing import Any


def check_momentum(name: str, momentum: Any) -> None:
  """Raises ``ValueError`` unless this is a momentum, in [0, 1), or an array."""
  if not _is_array(momentum) and not (isinstance(momentum, numbers.Real) and 0 <= momentum < 1):
    raise ValueError(f'{name} must be at least 0 and below 1, but is {momentum!r}.')


def check_steps_per_epoch(steps_per_epoch: Any) -> None:
  """Raises ``ValueError`` unless this is a whole number of at least 1, or an array."""
  if not _is_array(steps_per_epoch) and not (
    isinstance(steps_per_epoch, numbers.Real) and steps_per_epoch >= 1 and steps_per_epoch % 1 == 0
  ):
    raise ValueError(
      f'steps_per_epoch must be a whole number of at least 1, but is {steps_per_epoch!r}. It is '
      'the number of updates in an epoch: math.ceil(examples / batch_size).'
    )


def _is_array(value: Any) -> bool:
  # NumPy's scalars have a shape too, and values that can be checked.
  return hasattr(value, 'shape') and not isinstance(value, numbers.Real)
