"""Accumulates gradients with a momentum that depends on the phase."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike

from lcam_optax._checks import check_momentum, check_trace
from lcam_optax._loss_phase import PhaseTracker


class PhaseMomentumState(NamedTuple):
  """State of :func:`scale_by_phase`.

  Attributes:
    trace: The accumulated gradients; a pytree with the shapes of the parameters.
    phase: The state of the tracker.
    momentum: The momentum that the last update used; shape (), float.
  """

  trace: optax.Updates
  phase: Any
  momentum: jax.Array


def choose(phase: jax.Array, high: Any, low: Any, dtype: Any) -> jax.Array:
  """Returns the high or the low value, depending on the phase."""
  values = jnp.stack([jnp.asarray(low, dtype), jnp.asarray(high, dtype)])
  # A sum of one value is exact. XLA on CPU would fuse a `where` into the loop over each leaf and
  # choose again for every element, but it computes a sum only once (docs/speed.md).
  return jnp.sum(values, where=jnp.arange(2) == (phase != 0).astype(int))


def scale_by_phase(
  tracker: PhaseTracker,
  high_phase_momentum: ArrayLike,
  low_phase_momentum: ArrayLike,
  *,
  nesterov: bool = False,
  accumulator_dtype: Any | None = None,
) -> optax.GradientTransformationExtraArgs:
  """Accumulates gradients with a momentum that depends on the phase.

  With :func:`lcam_optax.loss_phase_tracker` it equals :func:`lcam_optax.scale_by_lcam`; with
  another tracker it is a control that differs in the phases alone.

  Args:
    tracker: Determines the phase of each update.
    high_phase_momentum: The momentum in the high phase, in [0, 1).
    low_phase_momentum: The momentum in the low phase, in [0, 1).
    nesterov: See :func:`lcam_optax.lcam`.
    accumulator_dtype: See :func:`lcam_optax.lcam`.

  Returns:
    A transformation whose ``update`` passes the keyword ``value`` to the tracker, and whose state
    is a :class:`PhaseMomentumState`.

  Raises:
    ValueError: When built, if a momentum is a Python number outside [0, 1), or an argument has the
      wrong type.

  Example:
    >>> import jax.numpy as jnp
    >>> turns = PhaseTracker(lambda: jnp.int32(0), lambda state, loss: (state % 2, state + 1))
    >>> transformation = scale_by_phase(turns, 0.75, 0.5)
    >>> state = transformation.init(jnp.zeros(()))
    >>> for _ in range(3):
    ...   updates, state = transformation.update(jnp.ones(()), state, value=0.0)
    ...   print(float(state.momentum), float(updates))
    0.5 1.0
    0.75 1.75
    0.5 1.875
  """
  if not isinstance(tracker, PhaseTracker):
    raise ValueError(
      f'tracker must be a PhaseTracker, as `loss_phase_tracker(...)` returns, but is {tracker!r}.'
    )
  check_momentum('high_phase_momentum', high_phase_momentum)
  check_momentum('low_phase_momentum', low_phase_momentum)
  check_trace(nesterov, accumulator_dtype)
  return phase_momentum(
    tracker, high_phase_momentum, low_phase_momentum, nesterov, accumulator_dtype
  )


def phase_momentum(
  tracker: PhaseTracker, high: Any, low: Any, nesterov: bool, accumulator_dtype: Any | None
) -> optax.GradientTransformationExtraArgs:
  """Returns the transformation of :func:`scale_by_phase` for arguments that were checked."""
  if accumulator_dtype is not None:
    accumulator_dtype = jnp.dtype(accumulator_dtype)

  def init_fn(params: optax.Params) -> PhaseMomentumState:
    return PhaseMomentumState(
      trace=optax.tree.zeros_like(params, dtype=accumulator_dtype),
      phase=tracker.init(),
      momentum=jnp.asarray(low, float),
    )

  def update_fn(
    updates: optax.Updates,
    state: Any,
    params: optax.Params | None = None,
    *,
    value: Any = None,
    **extra_args: Any,
  ) -> tuple[optax.Updates, PhaseMomentumState]:
    del params, extra_args
    high_phase, tracked = tracker.update(state.phase, value)
    momentum_of = functools.cache(functools.partial(choose, high_phase, high, low))

    def accumulate(g, t):
      # In the dtype of an integer trace the momentum would be 0.
      return g + momentum_of(t.dtype if jnp.issubdtype(t.dtype, jnp.inexact) else float) * t

    trace = jax.tree.map(
      lambda g, t: None if g is None else accumulate(g, t),
      updates,
      state.trace,
      is_leaf=lambda g: g is None,
    )
    updates = jax.tree.map(accumulate, updates, trace) if nesterov else trace
    return updates, PhaseMomentumState(
      trace=optax.tree.cast(trace, accumulator_dtype),
      phase=tracked,
      momentum=momentum_of(state.momentum.dtype),
    )

  return optax.GradientTransformationExtraArgs(init_fn, update_fn)
