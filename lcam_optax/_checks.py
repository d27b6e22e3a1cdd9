"""Checks the arguments that a transformation is built from.

A number may also be a JAX array, as under ``optax.inject_hyperparams``, ``jax.jit`` and
``jax.vmap``. Its value may be unknown while it is traced, so only shape and dtype of arrays are
checked.
"""

from collections.abc import Collection
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax


def check_momentum(name: str, momentum: Any) -> None:
  """Raises ``ValueError`` unless the momentum is in [0, 1) or an array."""
  _refuse_schedule(name, momentum)
  if not _is_array(name, momentum) and not (_is_number(momentum) and 0 <= momentum < 1):
    raise ValueError(f'{name} must be at least 0 and below 1, but is {momentum!r}.')


def checked_steps_per_epoch(steps_per_epoch: Any) -> Any:
  """Returns the steps as an integer.

  Raises:
    ValueError: If the steps are not a whole number in [1, 2**31), nor an array of integers or of
      floats that hold them.
  """
  if _is_array('steps_per_epoch', steps_per_epoch):
    if jnp.issubdtype(steps_per_epoch.dtype, jnp.integer):
      return steps_per_epoch
    if jnp.finfo(steps_per_epoch.dtype).bits < 32:  # in bfloat16, 5005 is 4992
      raise ValueError(
        f'steps_per_epoch must be an integer, but is {steps_per_epoch.dtype}, which rounds it: pass '
        'an int (`optax.inject_hyperparams` casts floats to the dtype of the parameters).'
      )
    return jnp.ceil(steps_per_epoch).astype(jnp.int32)
  if not (_is_number(steps_per_epoch) and steps_per_epoch >= 1 and steps_per_epoch % 1 == 0):
    raise ValueError(
      f'steps_per_epoch must be a whole number of at least 1, but is {steps_per_epoch!r}: pass the '
      'number of updates in an epoch, math.ceil(examples / batch_size).'
    )
  if steps_per_epoch >= 2**31:
    raise ValueError(
      f'steps_per_epoch must be below 2**31, but is {steps_per_epoch!r}: for data without epochs, '
      'pass mean_decay instead.'
    )
  return int(steps_per_epoch)


def check_epochs(name: str, epochs: Any, least: int, steps_per_epoch: Any) -> None:
  """Raises ``ValueError`` unless there are ``least`` epochs or more, of fewer than 2**31 updates."""
  if not (_is_number(epochs) and epochs >= least):
    raise ValueError(f'{name} must be at least {least}, but is {epochs!r}.')
  if not _is_array('steps_per_epoch', steps_per_epoch) and epochs * steps_per_epoch >= 2**31:
    raise ValueError(
      f'{name} must have fewer than 2**31 updates, which are counted in int32, but is {epochs!r}.'
    )


def check_mean_decay(mean_decay: Any) -> None:
  """Raises ``ValueError`` unless the decay is in (0, 1) or an array."""
  _refuse_schedule('mean_decay', mean_decay)
  if not _is_array('mean_decay', mean_decay) and not (
    _is_number(mean_decay) and 0 < mean_decay < 1
  ):
    raise ValueError(
      f'mean_decay must be above 0 and below 1, but is {mean_decay!r}: pass 1 - 1/N for a mean over '
      'about the last N losses.'
    )


def check_strength(strength: Any) -> None:
  """Raises ``ValueError`` unless the strength is in [-0.5, 0.5] or an array."""
  if not _is_array('strength', strength) and not (_is_number(strength) and -0.5 <= strength <= 0.5):
    raise ValueError(
      f'strength must be at least -0.5 and at most 0.5, so that no weight is below 0, but is '
      f'{strength!r}.'
    )


def check_real(name: str, value: Any) -> None:
  """Raises ``ValueError`` unless the value is a number or an array of shape ()."""
  if not (_is_array(name, value) or _is_number(value)):
    raise ValueError(f'{name} must be a number, but is {value!r}.')


def check_losses(losses: jax.Array) -> None:
  """Raises ``ValueError`` unless these are floats, one for each example."""
  if losses.ndim == 0:
    raise ValueError(
      'losses must be those of single examples, but is one number: do not average them.'
    )
  if not jnp.issubdtype(losses.dtype, jnp.floating):
    raise ValueError(f'losses must be floating-point numbers, but are {losses.dtype}.')


def check_phases(phases: jax.Array) -> None:
  """Raises ``ValueError`` unless these are the phases of one or more steps."""
  if phases.ndim != 1 or not phases.size:
    raise ValueError(
      f'phases must have shape (steps,), one for each step, but have {phases.shape}.'
    )
  if phases.dtype != bool and not jnp.issubdtype(phases.dtype, jnp.integer):
    raise ValueError(
      f'phases must be 1 for high and 0 for low, as integers or booleans, but are {phases.dtype}.'
    )


def check_rule(rule: Any, rules: Collection[str]) -> None:
  """Raises ``ValueError`` unless the rule is one of the rules' names."""
  if not isinstance(rule, str) or rule not in rules:
    raise ValueError(f'rule must be one of {", ".join(map(repr, rules))}, but is {rule!r}.')


def check_value(name: str, value: Any) -> None:
  """Raises ``ValueError`` unless the value is a number, an array or a schedule."""
  stateful = isinstance(value, optax.schedules.StatefulSchedule)
  if stateful or not (callable(value) or _is_array(name, value) or _is_number(value)):
    raise ValueError(
      f'{name} must be a number or a function of the step count, but is {value!r} (pass schedules '
      'with a state, such as loss_phase_schedule, to `optax.inject_hyperparams`).'
    )


def check_trace(nesterov: Any, accumulator_dtype: Any) -> None:
  """Raises ``ValueError`` unless ``nesterov`` is a bool and the dtype is inexact or None."""
  if not isinstance(nesterov, bool | np.bool_):
    raise ValueError(f'nesterov must be True or False, but is {nesterov!r}.')
  if accumulator_dtype is None:
    return
  try:
    is_array = isinstance(accumulator_dtype, jax.Array | np.ndarray)
    is_inexact = not is_array and jnp.issubdtype(jnp.dtype(accumulator_dtype), jnp.inexact)
  except TypeError:
    is_inexact = False
  if not is_inexact:
    raise ValueError(
      f'accumulator_dtype must be a floating-point or complex dtype, but is {accumulator_dtype!r} '
      "(`optax.inject_hyperparams` calls types: pass its name, as in 'float32')."
    )


def _refuse_schedule(name: str, value: Any) -> None:
  if callable(value):
    raise ValueError(
      f'{name} must be a number, but is a function: for a schedule, wrap the optimizer, as in '
      f'`optax.inject_hyperparams(lcam)(..., {name}=schedule)`.'
    )


def _is_array(name: str, value: Any) -> bool:
  # NumPy scalars have a shape, too, but their values can be checked.
  if not hasattr(value, 'shape') or isinstance(value, np.generic):
    return False
  if value.shape != ():  # known even if the value is traced
    raise ValueError(f'{name} must be one number, but has shape {value.shape}.')
  if value.dtype == bool:
    raise ValueError(f'{name} must be a number, but is a boolean array.')
  if jnp.issubdtype(value.dtype, jnp.complexfloating):
    raise ValueError(
      f'{name} must be a real number, but is {value.dtype} (with complex parameters, pass '
      '`hyperparam_dtype=jnp.float32` to `optax.inject_hyperparams`).'
    )
  return True


def _is_number(value: Any) -> bool:
  # Not ``numbers.Real``: it includes fractions, which JAX does not accept.
  if isinstance(value, np.generic):  # of ml_dtypes, too, which are no np.floating
    return jnp.issubdtype(value.dtype, jnp.integer) or jnp.issubdtype(value.dtype, jnp.floating)
  return isinstance(value, int | float) and not isinstance(value, bool)
