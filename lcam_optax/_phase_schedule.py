"""Lets the loss choose any hyperparameter of any optimizer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, NoReturn

import jax
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike

from lcam_optax._checks import check_value
from lcam_optax._loss_phase import PhaseTracker, Rule, make_tracker

_Value = Callable[[jax.Array], Any]  # of the step count


class LossPhaseScheduleState(NamedTuple):
  """State of :func:`loss_phase_schedule`.

  Attributes:
    step: The number of updates so far, for values that are schedules; shape (), int32.
    loss_phase: The state of the tracker, a :class:`LossPhaseState`.
  """

  step: jax.Array
  loss_phase: Any


class _LossPhaseSchedule(optax.schedules.StatefulSchedule):
  def __init__(self, tracker: PhaseTracker, high: _Value, low: _Value):
    self._tracker = tracker
    self._high, self._low = high, low

  def init(self) -> LossPhaseScheduleState:
    return LossPhaseScheduleState(jnp.zeros([], jnp.int32), self._tracker.init())

  def update(
    self, state: LossPhaseScheduleState, *, value: Any = None, **extra_args: Any
  ) -> LossPhaseScheduleState:
    del extra_args
    _, loss_phase = self._tracker.update(state.loss_phase, value)
    step = jnp.asarray(optax.safe_increment(state.step))
    return LossPhaseScheduleState(step, loss_phase)

  def __call__(
    self, state: LossPhaseScheduleState, *, value: Any = None, **extra_args: Any
  ) -> jax.Array:
    del extra_args
    # An optimizer that is not wrapped passes the step count.
    if not isinstance(state, LossPhaseScheduleState):
      self._refuse_use_as_number()
    if value is None:  # at init; in an update without the loss, `update` raises the error
      phase = state.loss_phase.high_loss_phase
    else:
      phase, _ = self._tracker.update(state.loss_phase, value)
    # Two Python floats give a weakly typed result, as a constant would be.
    return jnp.where(phase, self._high(state.step), self._low(state.step))

  def _refuse_use_as_number(self, *_: Any) -> NoReturn:
    raise TypeError(
      'A loss_phase_schedule chooses a new number in each update and is not a number itself: wrap '
      'the optimizer, as in '
      '`optax.inject_hyperparams(optax.adam)(1e-3, b1=loss_phase_schedule(...))`.'
    )

  # The operations that an optimizer that is not wrapped may use.
  __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = _refuse_use_as_number
  __truediv__ = __rtruediv__ = __pow__ = __rpow__ = __neg__ = _refuse_use_as_number
  __lt__ = __le__ = __gt__ = __ge__ = __float__ = _refuse_use_as_number


def loss_phase_schedule(
  high_loss_value: ArrayLike | optax.Schedule,
  low_loss_value: ArrayLike | optax.Schedule,
  *,
  steps_per_epoch: ArrayLike | None = None,
  mean_decay: ArrayLike | None = None,
  rule: Rule = 'algorithm1',
) -> optax.schedules.StatefulSchedule:
  """Lets the loss phase choose a hyperparameter of any Optax optimizer.

  Pass it to ``optax.inject_hyperparams``, for the ``b1`` of Adam or Lion, a learning rate, a weight
  decay. Call ``update`` of the optimizer with the loss, ``value=loss``. For the ``momentum`` of
  ``optax.sgd`` the steps are those of :func:`lcam_optax.lcam`.

  Args:
    high_loss_value: The value in the high-loss phase: a number, an array of shape (), or a schedule
      of the step count.
    low_loss_value: The value in the low-loss phase, of the same types.
    steps_per_epoch: See :func:`lcam_optax.lcam`.
    mean_decay: See :func:`lcam_optax.lcam`.
    rule: See :func:`lcam_optax.lcam`.

  Returns:
    A stateful schedule whose state is a :class:`LossPhaseScheduleState`. Note:

    * At ``init``, ``inject_hyperparams`` asks for a value without a loss, and gets the value in the
      phase of a tie.
    * ``inject_hyperparams`` rounds all numbers, also those of this schedule, to the widest dtype of
      the parameters. In bfloat16, 0.999 is 1, and so is Adam's ``b2``: keep the parameters in
      float32, or pass ``hyperparam_dtype=jnp.float32``, with which the states of most optimizers
      become float32.
    * Optax's Adam corrects the bias of its first moment by ``1 - b1**t`` with the ``b1`` of step t.
    * For several hyperparameters, make a schedule for each: with the same mean and rule, they are
      always in the same phase.

  Raises:
    ValueError: When built, as :func:`lcam_optax.lcam` for the mean and the rule, and if a value is
      of the wrong type; its range is not checked here. When updating, if ``value`` is missing or is
      not a real scalar.
    TypeError: When an optimizer uses it as a number, because ``inject_hyperparams`` does not wrap
      the optimizer.

  Warns:
    UserWarning: When built with neither ``steps_per_epoch`` nor ``mean_decay``.

  Example:
    >>> import jax, jax.numpy as jnp, optax
    >>> b1 = loss_phase_schedule(0.95, 0.85, steps_per_epoch=10)
    >>> solver = optax.inject_hyperparams(optax.adam)(0.1, b1=b1)
    >>> params = jnp.array([1.0, 2.0])
    >>> state = solver.init(params)
    >>> for loss in (1.0, 3.0):
    ...   updates, state = solver.update(params, state, params, value=loss)
    >>> round(float(state.hyperparams['b1']), 2), int(optax.tree.get(state, 'high_loss_phase'))
    (0.95, 1)

  References:
    See :func:`lcam_optax.lcam`.
  """
  check_value('high_loss_value', high_loss_value)
  check_value('low_loss_value', low_loss_value)
  tracker = make_tracker(steps_per_epoch, mean_decay, rule)
  return _LossPhaseSchedule(tracker, _as_schedule(high_loss_value), _as_schedule(low_loss_value))


def _as_schedule(value: Any) -> _Value:
  if callable(value):
    return value
  constant = value if hasattr(value, 'dtype') else float(value)
  return lambda step: constant
