"""SGD whose momentum is chosen by the loss: the gradient transformation."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from lcam_optax._checks import check_momentum, check_steps_per_epoch
from lcam_optax._loss_phase import add_loss, excess_over_mean

RULES = ('equation9', 'algorithm1')


class LcamState(NamedTuple):
  """State of :func:`scale_by_lcam`.

  Read a field out of a nesting of Optax states with ``optax.tree.get(state, 'momentum')``, or with
  ``optax.tree.get_all_with_path`` if there are several LCAMs in it.
  ``float`` below is JAX's default, float32 unless 64-bit types are enabled. The phase is an integer
  because transformations that do arithmetic on states (``optax.lookahead``) would turn a boolean
  into one.

  Attributes:
    trace: The accumulated gradients; a pytree with the shapes of the parameters.
    loss_sum: Sum of the losses since the last restart of the mean; shape (), float.
    loss_sum_error: What rounding has kept out of ``loss_sum``; shape (), float.
    count: How many losses ``loss_sum`` holds; shape (), int32.
    epoch_step: Updates since the last restart, those whose loss was left out included; shape (),
      int32.
    high_loss_phase: 1 if the last loss was in the high-loss phase, else 0; shape (), int32. Its
      mean over the steps is the share of high-loss steps.
    momentum: The momentum that the last update used; shape (), float.
  """

  trace: optax.Updates
  loss_sum: jax.Array
  loss_sum_error: jax.Array
  count: jax.Array
  epoch_step: jax.Array
  high_loss_phase: jax.Array
  momentum: jax.Array


def scale_by_lcam(
  high_loss_momentum: jax.typing.ArrayLike = 0.95,
  low_loss_momentum: jax.typing.ArrayLike = 0.9,
  *,
  steps_per_epoch: jax.typing.ArrayLike | None = None,
  rule: str = 'equation9',
  nesterov: bool = False,
  accumulator_dtype: Any | None = None,
) -> optax.GradientTransformationExtraArgs:
  """Accumulates gradients with a momentum that the loss chooses.

  This is :func:`lcam` without the learning rate; see there for the algorithm and what to choose.
  It stands where ``optax.trace`` would::

    mean  = mean of the losses seen so far in the current epoch, this one included
    beta  = high_loss_momentum if <high-loss phase> else low_loss_momentum
    trace = update + beta * trace

  Args:
    high_loss_momentum: See :func:`lcam`.
    low_loss_momentum: See :func:`lcam`.
    steps_per_epoch: See :func:`lcam`.
    rule: See :func:`lcam`.
    nesterov: See :func:`lcam`.
    accumulator_dtype: See :func:`lcam`.

  Returns:
    A transformation whose ``update`` needs the keyword ``value``, the loss that the updates are the
    gradient of, and whose state is a :class:`LcamState`. The updates have the dtypes that
    ``optax.trace`` gives them: those of the gradients, or wider with an ``accumulator_dtype``.

  Raises:
    ValueError: When built, if a Python number is out of range or the rule is unknown. When updating
      without ``value`` or with one that is not a scalar.

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
  check_momentum('high_loss_momentum', high_loss_momentum)
  check_momentum('low_loss_momentum', low_loss_momentum)
  if steps_per_epoch is not None:
    check_steps_per_epoch(steps_per_epoch)
  if rule not in RULES:
    raise ValueError(f'rule must be one of {", ".join(map(repr, RULES))}, but is {rule!r}.')
  previous_loss_decides = tie_is_high = rule == 'algorithm1'

  def choose(phase: jax.Array, dtype: Any) -> jax.Array:
    return jnp.where(
      phase, jnp.asarray(high_loss_momentum, dtype), jnp.asarray(low_loss_momentum, dtype)
    )

  def init_fn(params: optax.Params) -> LcamState:
    phase = jnp.asarray(tie_is_high, jnp.int32)
    return LcamState(
      trace=optax.tree.zeros_like(params, dtype=accumulator_dtype),
      loss_sum=jnp.zeros([], float),
      loss_sum_error=jnp.zeros([], float),
      count=jnp.zeros([], jnp.int32),
      epoch_step=jnp.zeros([], jnp.int32),
      high_loss_phase=phase,
      momentum=choose(phase, float),
    )

  def update_fn(
    updates: optax.Updates,
    state: LcamState,
    params: optax.Params | None = None,
    *,
    value: jax.typing.ArrayLike | None = None,
    **extra_args: Any,
  ) -> tuple[optax.Updates, LcamState]:
    del params, extra_args
    loss = _scalar_loss(value).astype(state.loss_sum.dtype)

    # A restart waits for the first update of the new epoch, so that after the last update of an
    # epoch the state still holds that epoch's mean.
    restart = False if steps_per_epoch is None else state.epoch_step >= steps_per_epoch
    old_sum, old_error, old_count, epoch_step = (
      jnp.where(restart, jnp.zeros_like(x), x)
      for x in (state.loss_sum, state.loss_sum_error, state.count, state.epoch_step)
    )

    count = optax.safe_increment(old_count)
    loss_sum, loss_sum_error = add_loss(old_sum, old_error, loss)
    excess = excess_over_mean(loss, loss_sum, loss_sum_error, count)
    usable = jnp.isfinite(excess)
    phase = (excess >= 0 if tie_is_high else excess > 0).astype(jnp.int32)
    phase = jnp.where(usable, phase, state.high_loss_phase)

    deciding_phase = state.high_loss_phase if previous_loss_decides else phase

    def accumulate(g, t):
      return g + choose(deciding_phase, t.dtype) * t

    trace = jax.tree.map(
      lambda g, t: None if g is None else accumulate(g, t),
      updates,
      state.trace,
      is_leaf=lambda g: g is None,
    )
    updates = jax.tree.map(accumulate, updates, trace) if nesterov else trace

    return updates, LcamState(
      trace=optax.tree.cast(trace, accumulator_dtype),
      loss_sum=jnp.where(usable, loss_sum, old_sum),
      loss_sum_error=jnp.where(usable, loss_sum_error, old_error),
      count=jnp.where(usable, count, old_count),
      epoch_step=optax.safe_increment(epoch_step),
      high_loss_phase=phase,
      momentum=choose(deciding_phase, state.momentum.dtype),
    )

  return optax.GradientTransformationExtraArgs(init_fn, update_fn)


def lcam(
  learning_rate: optax.ScalarOrSchedule,
  high_loss_momentum: jax.typing.ArrayLike = 0.95,
  low_loss_momentum: jax.typing.ArrayLike = 0.9,
  *,
  steps_per_epoch: jax.typing.ArrayLike | None = None,
  rule: str = 'equation9',
  nesterov: bool = False,
  accumulator_dtype: Any | None = None,
) -> optax.GradientTransformationExtraArgs:
  r"""Loss-Controlled Asymmetric Momentum: SGD with one momentum per loss phase.

  SGD with momentum that uses ``high_loss_momentum`` while the loss of the batch is above the mean
  loss of the epoch so far, and ``low_loss_momentum`` while it is not:

  .. math::

    m_t = g_t + \beta_t m_{t-1}, \qquad \theta_t = \theta_{t-1} - \eta_t m_t

  With two equal momenta it is ``optax.sgd(learning_rate, momentum)`` to the bit, and it costs the
  same. Call ``update`` with the loss: ``update(grads, state, params, value=loss)``. The loss must
  be the mean over the whole batch, across devices too.

  Put ``optax.add_decayed_weights`` in front of it for the coupled weight decay of PyTorch's SGD.

  Args:
    learning_rate: A float scalar, or a schedule from the step count to one.
    high_loss_momentum: The momentum in the high-loss phase, in [0, 1). The paper's non-sparse
      phase, "left", a of equation (9); it speeds up frequently-changing weights.
    low_loss_momentum: The momentum in the low-loss phase, in [0, 1). The paper's sparse phase,
      "right", b of equation (9); it speeds up slow-changing weights.
    steps_per_epoch: After how many updates the mean restarts, at least 1; what the authors do every
      epoch. None takes the mean over all updates so far. **That is rarely what you want**: a loss
      that falls is soon below such a mean at every step, and the high-loss phase never comes again.
    rule: When a loss takes effect, and on which side a loss is that equals the mean.
      ``'equation9'``: this loss picks this update's momentum, a tie is low. ``'algorithm1'``: this
      loss picks the next update's momentum, a tie is high, as in the scripts that made the paper's
      figures. There the first loss of an epoch is always a tie.
    nesterov: Whether to use Nesterov momentum, as ``optax.sgd`` does.
    accumulator_dtype: The dtype of the trace; None means that of the parameters.

  Returns:
    A transformation that replaces ``optax.sgd``. It keeps the dtypes of the parameters, and its
    state holds arrays only. A loss that is NaN or infinite (or too large for a sum in float32) is
    left out of the mean and leaves the phase as it was. Before the first loss the phase is that of
    a tie.

  Raises:
    ValueError: When built, if a Python number is out of range (a momentum outside [0, 1),
      ``steps_per_epoch`` below 1) or the rule is unknown; numbers given as arrays are not checked.
      When updating without ``value`` or with one that is not a scalar.

  Example:
    >>> import jax, jax.numpy as jnp, optax
    >>> objective = lambda x: jnp.sum(x**2)
    >>> params = jnp.array([1.0, 2.0, 3.0])
    >>> solver = lcam(0.05, high_loss_momentum=0.93, low_loss_momentum=0.857, steps_per_epoch=10)
    >>> state = solver.init(params)
    >>> for _ in range(30):
    ...   value, grads = jax.value_and_grad(objective)(params)
    ...   updates, state = solver.update(grads, state, params, value=value)
    ...   params = optax.apply_updates(params, updates)
    >>> bool(objective(params) < 1.0)
    True
    >>> round(float(optax.tree.get(state, 'momentum')), 3)
    0.857

  References:
    Zhang et al., "Asymmetric Momentum: A Rethinking of Gradient Descent": equation (9) of version 2
    (submission to ICLR 2024) and Algorithm 1 of version 1 (`arXiv:2309.02130
    <https://arxiv.org/abs/2309.02130>`_).
  """
  return optax.chain(
    scale_by_lcam(
      high_loss_momentum,
      low_loss_momentum,
      steps_per_epoch=steps_per_epoch,
      rule=rule,
      nesterov=nesterov,
      accumulator_dtype=accumulator_dtype,
    ),
    optax.scale_by_learning_rate(learning_rate),
  )


def _scalar_loss(value: jax.typing.ArrayLike | None) -> jax.Array:
  """Returns the loss as an array, or says how to pass it."""
  if value is None:
    raise ValueError(
      'LCAM chooses its momentum from the loss: pass it as '
      '`update(grads, state, params, value=loss)`.'
    )
  loss = jnp.asarray(value)
  if loss.ndim:
    raise ValueError(
      f'value must be a scalar loss, but has shape {loss.shape}: average per-example or '
      'per-device losses first (`jnp.mean`, `jax.lax.pmean`).'
    )
  return loss
