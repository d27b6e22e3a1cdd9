"""What the runs of a study differ in: where the phase comes from, and what it sets."""

import dataclasses
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax

from lcam_optax import PhaseTracker, lcam, loss_phase_tracker, scale_by_phase
from train.problem.controls import replay_tracker

Number = jax.typing.ArrayLike

# 'weights' is the theory in its purest form: no momentum changes, gradients are weighed.
Rule = Literal['equation9', 'algorithm1', 'weights']


@dataclasses.dataclass(frozen=True)
class Arm:
  """A kind of run.

  Attributes:
    name: What tables call it.
    signal: The number whose phase decides: the loss of the batch ('own'), that of an independent
      batch with the same weights ('other'), or the first minus the second ('difference').
    partner: The arm whose run of the next seed had the phases; None decides by the signal.
  """

  name: str
  signal: Literal['own', 'other', 'difference'] = 'own'
  partner: str | None = None


class Numbers(NamedTuple):
  """The numbers of an optimizer; all may be traced, so that cells share compiled programs.

  Attributes:
    learning_rate: The learning rate.
    high_loss_momentum: The momentum in the high-loss phase.
    low_loss_momentum: The momentum in the low-loss phase.
  """

  learning_rate: Number
  high_loss_momentum: Number
  low_loss_momentum: Number


def make_optimizer(
  rule: Rule, steps_per_epoch: int, numbers: Numbers, phases: jax.Array | None = None
) -> optax.GradientTransformationExtraArgs:
  """Returns LCAM, or what it is compared with.

  Args:
    rule: See :func:`lcam_optax.lcam`; with 'weights' the momentum is the mean of the two, and the
      gradient is weighed as the theory says that 'algorithm1' weighs it.
    steps_per_epoch: After how many updates the mean of the losses restarts.
    numbers: Learning rate and momenta.
    phases: Those to replay, of every step; None decides by the loss.

  Returns:
    A transformation whose ``update`` needs ``value``.
  """
  learning_rate, high, low = numbers
  if rule == 'weights':
    tracker = (
      loss_phase_tracker(steps_per_epoch=steps_per_epoch)
      if phases is None
      else replay_tracker(phases, rule='equation9')
    )
    return optax.chain(
      weigh_by_phase(tracker, (high - low) / 2, steps_per_epoch),
      optax.sgd(learning_rate, (high + low) / 2),
    )
  if phases is None:
    return lcam(learning_rate, high, low, steps_per_epoch=steps_per_epoch, rule=rule)
  return optax.chain(
    scale_by_phase(replay_tracker(phases, rule=rule), high, low),
    optax.scale_by_learning_rate(learning_rate),
  )


class WeighState(NamedTuple):
  """State of :func:`weigh_by_phase`.

  Attributes:
    phase: The state of the tracker.
    mean: The mean of the signs, +1 or -1, of the epoch or so before.
  """

  phase: tuple
  mean: jax.Array


def weigh_by_phase(
  tracker: PhaseTracker, strength: Number, memory: int
) -> optax.GradientTransformationExtraArgs:
  """Multiplies gradients by ``1 + strength * (s - mean s)``, ``s`` +1 in the high phase, else -1.

  Args:
    tracker: Says in which phase an update is.
    strength: How much; half the difference of two momenta.
    memory: Over about how many updates before this one ``s`` is averaged.

  Returns:
    A transformation whose ``update`` gives ``value`` to the tracker.
  """

  def init_fn(params):
    del params
    return WeighState(tracker.init(), jnp.zeros([]))

  def update_fn(updates, state, params=None, *, value, **extra_args):
    del params, extra_args
    phase, tracked = tracker.update(state.phase, value)
    deviation = 2.0 * phase - 1 - state.mean
    weighed = optax.tree.scale(1 + strength * deviation, updates)
    return weighed, WeighState(tracked, state.mean + deviation / memory)

  return optax.GradientTransformationExtraArgs(init_fn, update_fn)
