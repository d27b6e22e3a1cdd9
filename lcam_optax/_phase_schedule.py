"""Any hyperparameter of any optimizer, chosen by the loss."""

from collections.abc import Callable
from typing import Any, NamedTuple, NoReturn

import jax
import jax.numpy as jnp
import optax

from lcam_optax._checks import check_value
from lcam_optax._loss_phase import PhaseTracker, Rule, make_tracker

_Value = Callable[[jax.Array], Any]  # of the step count


class LossPhaseScheduleState(NamedTuple):
  """State of :func:`loss_phase_schedule`.

  Attributes:
    step: Updates so far, for values that are schedules; shape (), int32.
    loss_phase: The state of the tracker, a :class:`LossPhaseState`.
  """

  step: jax.Array
  loss_phase: Any


class _LossPhaseSchedule(optax.schedules.StatefulSchedule):
  """See :func:`loss_phase_schedule`."""

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
    # An optimizer that is not wrapped calls it with the step count.
    if not isinstance(state, LossPhaseScheduleState):
      self._refuse_use_as_number()
    if value is None:  # at init; in an update without the loss, `update` raises
      phase = state.loss_phase.high_loss_phase
    else:
      phase, _ = self._tracker.update(state.loss_phase, value)
    # Of two Python floats, the result takes the dtype of what it meets, as a constant would.
    return jnp.where(phase, self._high(state.step), self._low(state.step))

  def _refuse_use_as_number(self, *_: Any) -> NoReturn:
    raise TypeError(
      'A loss_phase_schedule chooses a number anew in each update, and is none itself: wrap the '
      'optimizer, as in `optax.inject_hyperparams(optax.adam)(1e-3, b1=loss_phase_schedule(...))`.'
    )

  # With these an optimizer that is not wrapped computes.
  __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = _refuse_use_as_number
  __truediv__ = __rtruediv__ = __pow__ = __rpow__ = __neg__ = _refuse_use_as_number
  __lt__ = __le__ = __gt__ = __ge__ = __float__ = _refuse_use_as_number


def loss_phase_schedule(
  high_loss_value: jax.typing.ArrayLike | optax.Schedule,
  low_loss_value: jax.typing.ArrayLike | optax.Schedule,
  *,
  steps_per_epoch: jax.typing.ArrayLike | None = None,
  mean_decay: jax.typing.ArrayLike | None = None,
  rule: Rule = 'equation9',
) -> optax.schedules.StatefulSchedule:
  """Lets the loss phase choose a hyperparameter of any Optax optimizer.

  For ``optax.inject_hyperparams``: Adam's ``b1``, Lion's, a learning rate, a weight decay. Call
  ``update`` of the optimizer with the loss, ``value=loss``. With ``optax.sgd`` and its
  ``momentum`` it takes the steps of :func:`lcam_optax.lcam`.

  Args:
    high_loss_value: The value in the high-loss phase: a number, an array of shape (), or a schedule
      from the step count.
    low_loss_value: The value in the low-loss phase, likewise.
    steps_per_epoch: See :func:`lcam_optax.lcam`.
    mean_decay: See :func:`lcam_optax.lcam`.
    rule: See :func:`lcam_optax.lcam`.

  Returns:
    A stateful schedule whose state is a :class:`LossPhaseScheduleState`. What to know:

    * ``inject_hyperparams`` asks for the value once at ``init``, without a loss: that is the value
      in the phase of a tie.
    * It gives numbers the widest dtype of the parameters, its own and those of this schedule. In
      bfloat16, 0.999 is 1, and so is Adam's ``b2``: keep the parameters in float32, or pass
      ``hyperparam_dtype=jnp.float32``, which makes float32 of the states of most optimizers.
    * Optax's Adam corrects the bias of its first moment by ``1 - b1**t`` with the ``b1`` of step t.
    * Give each hyperparameter a schedule of its own: with the same mean and rule, they are always
      in the same phase.

  Raises:
    ValueError: When built, as :func:`lcam_optax.lcam` for the mean and the rule, and if a value is
      of the wrong type; its range is the optimizer's to check. When updating without ``value`` or
      with one that is not a real scalar.
    TypeError: When an optimizer that ``inject_hyperparams`` does not wrap computes with it.

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
