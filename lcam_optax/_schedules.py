"""The two learning-rate schedules of the paper."""

from __future__ import annotations

import math
from collections.abc import Sequence

import jax.numpy as jnp
import optax

from lcam_optax._checks import check_epochs, checked_steps_per_epoch


def step_drops(
  init_value: float,
  steps_per_epoch: int,
  drop_epochs: Sequence[int] = (31, 61, 91),
  factor: float = 0.2,
) -> optax.Schedule:
  """Multiplies the learning rate by a factor after each of the given epochs.

  With its defaults and ``init_value=0.1`` this is the schedule of the paper's figures 3 and 4:
  0.1, 0.02, 0.004, 0.0008. The text of version 1 says "drop nodes 30, 60, 90"; the authors'
  scripts, and the curves, drop after 31, 61 and 91 whole epochs.

  Args:
    init_value: The learning rate of the first epoch.
    steps_per_epoch: Updates in an epoch, at least 1.
    drop_epochs: The numbers of epochs after which the rate drops, each at least 1, in ascending
      order; at an epoch that is named twice the rate drops twice.
    factor: The factor of each drop, above 0.

  Returns:
    A function that maps the step count, from 0, to the learning rate, a float scalar.

  Raises:
    ValueError: If ``steps_per_epoch`` or an epoch is below 1, the epochs are not in order or have
      2**31 or more updates, or ``factor`` is not above 0.

  Example:
    >>> learning_rate = step_drops(0.1, steps_per_epoch=391)
    >>> [round(float(learning_rate(epoch * 391)), 4) for epoch in (30, 31, 61, 91)]
    [0.1, 0.02, 0.004, 0.0008]

  References:
    Zhang et al., "Asymmetric Momentum: A Rethinking of Gradient Descent" (arXiv:2309.02130,
    version 1), section 4.
  """
  steps_per_epoch = checked_steps_per_epoch(steps_per_epoch)
  for epoch in drop_epochs:
    check_epochs('each of drop_epochs', epoch, 1, steps_per_epoch)
  if list(drop_epochs) != sorted(drop_epochs):
    raise ValueError(f'drop_epochs must be in order, but are {tuple(drop_epochs)}.')
  if not factor > 0:
    raise ValueError(f'factor must be above 0, but is {factor}.')

  def schedule(count):
    rate = jnp.asarray(init_value, float)
    for epoch in drop_epochs:
      rate = jnp.where(count >= epoch * steps_per_epoch, rate * factor, rate)
    return rate

  return schedule


def hold_then_decay(
  init_value: float,
  steps_per_epoch: int,
  hold_epochs: int = 31,
  decay_rate: float = 0.99985,
) -> optax.Schedule:
  """Holds the learning rate for some epochs, then decays it before every step.

  Args:
    init_value: The learning rate while it is held.
    steps_per_epoch: Updates in an epoch, at least 1.
    hold_epochs: The number of epochs for which it is held. The authors' scripts hold it for 31;
      Algorithm 1 says ``epoch > 30``.
    decay_rate: The factor before every later step, in (0, 1].

  Returns:
    A function that maps the step count, from 0, to the learning rate, a float scalar.

  Raises:
    ValueError: If ``steps_per_epoch`` is below 1, ``hold_epochs`` is below 0 or has 2**31 or more
      updates, or ``decay_rate`` is outside (0, 1].

  Example:
    >>> learning_rate = hold_then_decay(0.1, steps_per_epoch=391)
    >>> [round(float(learning_rate(31 * 391 + step)), 6) for step in (-1, 0, 1)]
    [0.1, 0.099985, 0.09997]

  References:
    Zhang et al., "Asymmetric Momentum: A Rethinking of Gradient Descent" (arXiv:2309.02130,
    version 1), Algorithm 1 and section 4.3.
  """
  steps_per_epoch = checked_steps_per_epoch(steps_per_epoch)
  check_epochs('hold_epochs', hold_epochs, 0, steps_per_epoch)
  if not 0 < decay_rate <= 1:
    raise ValueError(f'decay_rate must be above 0 and at most 1, but is {decay_rate}.')
  hold_steps = hold_epochs * steps_per_epoch

  def schedule(count):
    # optax.exponential_decay rounds 0.99985 to float32 before it takes the power, which is an error
    # of 1e-3 after 50,000 steps. Here the logarithm is taken before any rounding.
    decays = jnp.maximum(count - hold_steps + 1, 0)
    return init_value * jnp.exp(decays.astype(float) * math.log(decay_rate))

  return schedule
