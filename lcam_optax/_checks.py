"""Checks of the numbers a transformation is built from.

A number may also be a JAX array, as under ``optax.inject_hyperparams``, ``jax.jit`` and
``jax.vmap``. Its value may be unknown until it runs, so arrays are not checked.
"""

import numbers
from typing import Any


def check_momentum(name: str, momentum: Any) -> None:
  """Raises ``ValueError`` if a Python number is no momentum, that is not in [0, 1)."""
  if isinstance(momentum, numbers.Real) and not 0 <= momentum < 1:
    raise ValueError(f'{name} must be at least 0 and below 1, but is {momentum}.')


def check_steps_per_epoch(steps_per_epoch: Any) -> None:
  """Raises ``ValueError`` if a Python number is no count of steps, that is not a whole one >= 1."""
  if isinstance(steps_per_epoch, numbers.Real) and not (
    steps_per_epoch >= 1 and steps_per_epoch % 1 == 0
  ):
    raise ValueError(
      f'steps_per_epoch must be a whole number of at least 1, but is {steps_per_epoch}. It is '
      'the number of updates in an epoch: math.ceil(examples / batch_size).'
    )
