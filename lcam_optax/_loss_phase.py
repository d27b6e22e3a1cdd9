"""Tracks in which phase a loss is."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike

from lcam_optax._checks import check_mean_decay, check_rule, checked_steps_per_epoch
from lcam_optax._running_mean import exponential_mean, mean_of_all

Rule = Literal['equation9', 'algorithm1']


class _Rule(NamedTuple):
  """Where the two versions of the paper differ.

  Attributes:
    previous_loss_decides: Whether an update uses the phase of the loss before its own.
    tie_is_high: Whether a loss that equals the mean is high.
  """

  previous_loss_decides: bool
  tie_is_high: bool


RULES: dict[str, _Rule] = {
  'equation9': _Rule(previous_loss_decides=False, tie_is_high=False),
  'algorithm1': _Rule(previous_loss_decides=True, tie_is_high=True),
}


class LossPhaseState(NamedTuple):
  """State of :func:`loss_phase_tracker`.

  ``float`` below is JAX's default, float32 unless 64-bit types are enabled. The phase is an integer
  because transformations that do arithmetic on states (``optax.lookahead``) would turn a boolean
  into an integer.

  Attributes:
    loss_sum: Weighted sum of the losses since the last restart of the mean. The weights are 1, or,
      with ``mean_decay``, add up to 1, so that the sum is the mean; shape (), float.
    loss_sum_error: The rounding error of ``loss_sum``, to be added to it; shape (), float.
    count: The number of losses in ``loss_sum``; shape (), int32.
    epoch_step: Updates since the last restart, including those whose loss was left out; shape (),
      int32.
    high_loss_phase: 1 if the last loss was in the high-loss phase, else 0; shape (), int32. Its
      mean over the steps is the share of high-loss steps.
    exponential: 1 if ``loss_sum`` is the mean of ``mean_decay``, 0 if it is a plain sum, below 0 if
      it is of the kind with which the state goes on; shape (), int32. So a state goes on with either
      kind of mean.
  """

  loss_sum: jax.Array
  loss_sum_error: jax.Array
  count: Any
  epoch_step: jax.Array
  high_loss_phase: jax.Array
  exponential: Any = -1


class PhaseTracker(NamedTuple):
  """Two functions that determine the phase of each update.

  :func:`loss_phase_tracker` makes the tracker of LCAM, :func:`replay_tracker` and
  :func:`coin_tracker` make controls for it. :func:`scale_by_phase` accepts any tracker.

  Attributes:
    init: ``init() -> state``.
    update: ``update(state, loss) -> (phase, state)``: the phase of this update, 1 for high and 0
      for low, shape (), int32; and the new state.

  Example:
    >>> import jax
    >>> def toss(key, loss):
    ...   key, now = jax.random.split(key)
    ...   return jax.random.bernoulli(now, 0.25).astype(int), key
    >>> coin = PhaseTracker(init=lambda: jax.random.key(0), update=toss)
    >>> phase, state = coin.update(coin.init(), 2.0)
    >>> int(phase) in (0, 1)
    True
  """

  init: Callable[[], Any]
  update: Callable[[Any, Any], tuple[jax.Array, Any]]


def loss_phase_tracker(
  *,
  steps_per_epoch: ArrayLike | None = None,
  mean_decay: ArrayLike | None = None,
  rule: Rule = 'algorithm1',
) -> PhaseTracker:
  """Tracks whether the loss is above its running mean.

  Args:
    steps_per_epoch: See :func:`lcam_optax.lcam`.
    mean_decay: See :func:`lcam_optax.lcam`.
    rule: See :func:`lcam_optax.lcam`.

  Returns:
    A tracker whose state is a :class:`LossPhaseState` and whose ``update`` needs a scalar loss.

  Raises:
    ValueError: When built, if a number has the wrong type or is out of range, ``steps_per_epoch``
      and ``mean_decay`` are both given, or the rule is unknown. When updating, if the loss is
      missing or is not a real scalar.

  Warns:
    UserWarning: When built with neither ``steps_per_epoch`` nor ``mean_decay``.

  Example:
    >>> tracker = loss_phase_tracker(steps_per_epoch=3)
    >>> state = tracker.init()
    >>> for loss in (2.0, 3.0, 1.0, 7.0):  # 2, and 7 in the next epoch, are ties, which are high
    ...   phase, state = tracker.update(state, loss)
    ...   print(f'of the update: {phase}, of the loss {loss}: {state.high_loss_phase}')
    of the update: 1, of the loss 2.0: 1
    of the update: 1, of the loss 3.0: 1
    of the update: 1, of the loss 1.0: 0
    of the update: 0, of the loss 7.0: 1

  References:
    See :func:`lcam_optax.lcam`.
  """
  return make_tracker(steps_per_epoch, mean_decay, rule)


def make_tracker(steps_per_epoch: Any, mean_decay: Any, rule: str) -> PhaseTracker:
  """Returns a tracker; its warning points to the line that called the caller of this function."""
  check_rule(rule, RULES)
  if steps_per_epoch is not None and mean_decay is not None:
    raise ValueError(
      'steps_per_epoch and mean_decay are two kinds of mean: pass either steps_per_epoch, to '
      'restart the mean every epoch, or mean_decay, for an exponential mean without epochs.'
    )
  if steps_per_epoch is not None:
    steps_per_epoch = checked_steps_per_epoch(steps_per_epoch)
  if mean_decay is not None:
    check_mean_decay(mean_decay)
  if steps_per_epoch is None and mean_decay is None:
    warnings.warn(
      'Without steps_per_epoch or mean_decay, each loss is compared with the mean of all losses so '
      'far, and a falling loss soon never enters the high-loss phase again: pass '
      'steps_per_epoch=math.ceil(examples / batch_size), or mean_decay=1 - 1/N for a mean over '
      'about the last N updates.',
      UserWarning,
      stacklevel=3,
    )
  previous_loss_decides, tie_is_high = RULES[rule]
  exponential = mean_decay is not None
  add_to_mean = exponential_mean(mean_decay) if exponential else mean_of_all

  def init() -> LossPhaseState:
    return LossPhaseState(
      loss_sum=jnp.zeros([], float),
      loss_sum_error=jnp.zeros([], float),
      count=jnp.zeros([], jnp.int32),
      epoch_step=jnp.zeros([], jnp.int32),
      high_loss_phase=jnp.asarray(tie_is_high, jnp.int32),
      exponential=jnp.asarray(exponential, jnp.int32),
    )

  def update(state: LossPhaseState, loss: ArrayLike | None) -> tuple[jax.Array, LossPhaseState]:
    loss = _scalar_loss(loss).astype(state.loss_sum.dtype)
    state = _with_kind_of_mean(state, exponential)

    # The mean restarts at the first update of the new epoch, so that after the last update of an
    # epoch the state still contains that epoch's mean.
    if steps_per_epoch is not None:
      restart = state.epoch_step >= steps_per_epoch
      kept = {'high_loss_phase': state.high_loss_phase, 'exponential': state.exponential}
      state = jax.tree.map(lambda x: jnp.where(restart, jnp.zeros_like(x), x), state)
      state = state._replace(**kept)

    count = jnp.asarray(optax.safe_increment(state.count))
    loss_sum, loss_sum_error, excess = add_to_mean(
      state.loss_sum, state.loss_sum_error, count, loss
    )
    usable = jnp.isfinite(excess)
    phase = (excess >= 0 if tie_is_high else excess > 0).astype(jnp.int32)
    phase = jnp.where(usable, phase, state.high_loss_phase)
    return state.high_loss_phase if previous_loss_decides else phase, LossPhaseState(
      loss_sum=jnp.where(usable, loss_sum, state.loss_sum),
      loss_sum_error=jnp.where(usable, loss_sum_error, state.loss_sum_error),
      count=jnp.where(usable, count, state.count),
      epoch_step=jnp.asarray(optax.safe_increment(state.epoch_step)),
      high_loss_phase=phase,
      exponential=state.exponential,
    )

  return PhaseTracker(init, update)


def _with_kind_of_mean(state: LossPhaseState, exponential: bool) -> LossPhaseState:
  """Returns a state whose ``loss_sum`` is of a kind, the same mean if it was of the other kind."""
  losses = jnp.maximum(state.count, 1).astype(state.loss_sum.dtype)
  factor = jnp.where(
    (state.exponential == int(exponential)) | (state.exponential < 0),
    jnp.ones_like(losses),
    1 / losses if exponential else losses,
  )
  return state._replace(
    loss_sum=state.loss_sum * factor,
    loss_sum_error=state.loss_sum_error * factor,
    exponential=jnp.asarray(exponential, jnp.int32),
  )


def _scalar_loss(value: Any) -> jax.Array:
  """Returns the loss as an array, or raises an error that says how to pass it."""
  if value is None:
    raise ValueError(
      'The loss is missing: pass it as `update(grads, state, params, value=loss)` '
      '(`TrainState.apply_gradients` of Flax Linen, `optax.lookahead`, `optax.contrib.sam` and '
      '`optax.contrib.split_real_and_imaginary` do not pass `value` on: see '
      '`help(lcam_optax.lcam)`).'
    )
  if isinstance(value, tuple):
    raise ValueError(
      f'value must be a scalar loss, but is a tuple of {len(value)}: with `has_aux=True`, unpack '
      '`(loss, aux), grads = value_and_grad(...)(...)` and pass `value=loss`.'
    )
  try:
    loss = jnp.asarray(value)
  except TypeError:
    raise ValueError(f'value must be a scalar loss, but is a {type(value).__name__}.') from None
  if loss.ndim:
    raise ValueError(
      f'value must be a scalar loss, but has shape {loss.shape}: average per-example or '
      'per-device losses first (`jnp.mean`, `jax.lax.pmean`).'
    )
  if jnp.issubdtype(loss.dtype, jnp.complexfloating):
    raise ValueError(f'value must be a real loss, but is {loss.dtype}: pass its real part.')
  if loss.dtype == bool:
    raise ValueError('value must be a loss, but is a boolean: pass the loss that grads belong to.')
  return loss
