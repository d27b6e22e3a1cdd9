"""SGD whose momentum depends on the loss."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import optax
from jax.typing import ArrayLike

from lcam_optax._checks import check_momentum, check_trace, check_value
from lcam_optax._loss_phase import LossPhaseState, PhaseTracker, Rule, make_tracker
from lcam_optax._phase_momentum import PhaseMomentumState, choose, phase_momentum


class LcamState(NamedTuple):
  """State of :func:`scale_by_lcam`.

  To read a field from nested Optax states, use ``optax.tree.get(state, 'momentum')``, or
  ``optax.tree.get_all_with_path`` if they contain several LCAMs.

  Attributes:
    trace: The accumulated gradients; a pytree with the shapes of the parameters.
    loss_sum: See :class:`LossPhaseState`.
    loss_sum_error: See :class:`LossPhaseState`.
    count: See :class:`LossPhaseState`.
    epoch_step: See :class:`LossPhaseState`.
    high_loss_phase: 1 if the last loss was in the high-loss phase, else 0; shape (), int32.
    exponential: See :class:`LossPhaseState`.
    momentum: The momentum that the last update used; shape (), float.
  """

  # ``count`` is a method of tuples, which leaves it no narrower type.
  trace: optax.Updates
  loss_sum: jax.Array
  loss_sum_error: jax.Array
  count: Any
  epoch_step: jax.Array
  high_loss_phase: jax.Array
  exponential: jax.Array
  momentum: jax.Array


def scale_by_lcam(
  high_loss_momentum: ArrayLike = 0.95,
  low_loss_momentum: ArrayLike = 0.9,
  *,
  steps_per_epoch: ArrayLike | None = None,
  mean_decay: ArrayLike | None = None,
  rule: Rule = 'algorithm1',
  nesterov: bool = False,
  accumulator_dtype: Any | None = None,
) -> optax.GradientTransformationExtraArgs:
  """Accumulates gradients with a momentum that depends on the loss.

  This is :func:`lcam` without the learning rate; see there for the algorithm and the arguments.
  It is a drop-in replacement for ``optax.trace``::

    mean  = mean of the losses seen so far in the current epoch, this one included
    beta  = high_loss_momentum if <high-loss phase> else low_loss_momentum
    trace = update + beta * trace

  Args:
    high_loss_momentum: See :func:`lcam`.
    low_loss_momentum: See :func:`lcam`.
    steps_per_epoch: See :func:`lcam`.
    mean_decay: See :func:`lcam`.
    rule: See :func:`lcam`.
    nesterov: See :func:`lcam`.
    accumulator_dtype: See :func:`lcam`.

  Returns:
    A transformation whose ``update`` needs the keyword ``value``, the loss whose gradient the
    updates are, and whose state is a :class:`LcamState`. The updates have the same dtypes as with
    ``optax.trace``: those of the gradients, or wider with an ``accumulator_dtype``.

  Raises:
    ValueError: As :func:`lcam`.

  Warns:
    UserWarning: As :func:`lcam`.

  Example:
    >>> import jax.numpy as jnp
    >>> transformation = scale_by_lcam(0.95, 0.5, steps_per_epoch=100)
    >>> state = transformation.init(jnp.zeros(2))
    >>> for loss in (1.0, 3.0):
    ...   updates, state = transformation.update(jnp.ones(2), state, value=loss)
    >>> updates.tolist(), round(float(state.momentum), 2)
    ([1.9500000476837158, 1.9500000476837158], 0.95)

  References:
    See :func:`lcam`.
  """
  tracker = make_tracker(steps_per_epoch, mean_decay, rule)
  return _scale(tracker, high_loss_momentum, low_loss_momentum, nesterov, accumulator_dtype)


def _scale(
  tracker: PhaseTracker, high: Any, low: Any, nesterov: bool, accumulator_dtype: Any | None
) -> optax.GradientTransformationExtraArgs:
  check_momentum('high_loss_momentum', high)
  check_momentum('low_loss_momentum', low)
  check_trace(nesterov, accumulator_dtype)
  scale = phase_momentum(tracker, high, low, nesterov, accumulator_dtype)

  def flat(nested: Any) -> LcamState:
    return LcamState(trace=nested.trace, **nested.phase._asdict(), momentum=nested.momentum)

  def init_fn(params: optax.Params) -> LcamState:
    state = flat(scale.init(params))
    momentum = choose(state.high_loss_phase, high, low, state.momentum.dtype)
    return state._replace(momentum=momentum)

  def update_fn(
    updates: optax.Updates,
    state: Any,
    params: optax.Params | None = None,
    *,
    value: ArrayLike | None = None,
    **extra_args: Any,
  ) -> tuple[optax.Updates, LcamState]:
    del extra_args
    nested = PhaseMomentumState(state.trace, LossPhaseState(*state[1:-1]), state.momentum)
    updates, nested = scale.update(updates, nested, params, value=value)
    return updates, flat(nested)

  return optax.GradientTransformationExtraArgs(init_fn, update_fn)


def lcam(
  learning_rate: optax.ScalarOrSchedule,
  high_loss_momentum: ArrayLike = 0.95,
  low_loss_momentum: ArrayLike = 0.9,
  *,
  steps_per_epoch: ArrayLike | None = None,
  mean_decay: ArrayLike | None = None,
  rule: Rule = 'algorithm1',
  nesterov: bool = False,
  accumulator_dtype: Any | None = None,
) -> optax.GradientTransformationExtraArgs:
  r"""Loss-Controlled Asymmetric Momentum (LCAM): SGD whose momentum depends on the loss.

  The momentum is ``high_loss_momentum`` while the loss of the batch is above the mean loss of the
  epoch so far, and ``low_loss_momentum`` while it is not:

  .. math::

    m_t = g_t + \beta_t m_{t-1}, \qquad \theta_t = \theta_{t-1} - \eta_t m_t

  It replaces ``optax.sgd``, and equals it to the bit if the momenta are equal. ``update`` needs the
  mean loss over the whole batch: ``update(grads, state, params, value=loss)``. For the weight decay
  of PyTorch's SGD, put ``optax.add_decayed_weights`` in front of it.

  ``docs/choosing.md`` says which phase gets the larger momentum: where labels are wrong, the low-loss one.

  Args:
    learning_rate: A float scalar, or a schedule that maps the step count to one.
    high_loss_momentum: The momentum in the high-loss phase, in [0, 1).
    low_loss_momentum: The momentum in the low-loss phase, in [0, 1).
    steps_per_epoch: The number of updates after which the mean restarts, at least 1.
    mean_decay: The decay of an exponential mean, in (0, 1), for data without epochs: ``1 - 1/N``
      looks back over about N updates. With neither, the mean is over all updates so far, and a
      falling loss is soon always below it.
    rule: ``'algorithm1'``, the authors' scripts: a loss chooses the next update's momentum, and so
      how much its own gradient counts; a loss that equals the mean is high. ``'equation9'``: it
      chooses this update's momentum, which multiplies earlier gradients; such a loss is low.
    nesterov: Whether to use Nesterov momentum, as ``optax.sgd`` does.
    accumulator_dtype: The dtype of the trace; None means that of the parameters.

  Returns:
    A transformation whose state holds only arrays. A loss that is NaN or infinite is left out of the
    mean and leaves the phase unchanged.

  Raises:
    ValueError: If an argument has the wrong type or is out of range (of an array, only shape and
      dtype are checked), both means are given, or ``value`` is missing or not a real scalar.

  Warns:
    UserWarning: If neither ``steps_per_epoch`` nor ``mean_decay`` is given.

  Example:
    >>> import jax, jax.numpy as jnp, optax
    >>> params = jnp.array([1.0, 2.0, 3.0])
    >>> solver = lcam(0.05, high_loss_momentum=0.93, low_loss_momentum=0.857, steps_per_epoch=10)
    >>> state = solver.init(params)
    >>> for _ in range(30):
    ...   value, grads = jax.value_and_grad(lambda x: jnp.sum(x**2))(params)
    ...   updates, state = solver.update(grads, state, params, value=value)
    ...   params = optax.apply_updates(params, updates)
    >>> round(float(optax.tree.get(state, 'momentum')), 3)
    0.857

  References:
    Zhang et al., "Asymmetric Momentum: A Rethinking of Gradient Descent" (`arXiv:2309.02130
    <https://arxiv.org/abs/2309.02130>`_), Algorithm 1 of version 1 and equation (9) of version 2.
  """
  check_value('learning_rate', learning_rate)
  tracker = make_tracker(steps_per_epoch, mean_decay, rule)
  return optax.chain(
    _scale(tracker, high_loss_momentum, low_loss_momentum, nesterov, accumulator_dtype),
    optax.scale_by_learning_rate(learning_rate),
  )
