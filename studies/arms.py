"""Defines the arms of a study: where the phase comes from, and what it sets."""

import dataclasses
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax

from lcam_optax import PhaseTracker, lcam, loss_phase_tracker, replay_tracker, scale_by_phase

Number = jax.typing.ArrayLike

# 'weights' is the theory in its purest form: a fixed momentum and weighted gradients.
Rule = Literal['equation9', 'algorithm1', 'weights']


@dataclasses.dataclass(frozen=True)
class Arm:
  """A kind of run.

  Attributes:
    name: Its name in tables.
    signal: The number that decides the phase: the loss of the batch ('own'), the loss of an
      independent batch with the same weights ('other'), or the difference ('difference').
    partner: The arm whose phases are replayed, from the run of the next seed; None to decide by the
      signal.
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
  """Returns LCAM, or an optimizer that it is compared with.

  Args:
    rule: See :func:`lcam_optax.lcam`; with 'weights' the momentum is the mean of the two, and the
      gradient is weighted as in the theory of 'algorithm1'.
    steps_per_epoch: The number of updates after which the mean of the losses restarts.
    numbers: Learning rate and momenta.
    phases: The phase of every step, to replay; None to decide by the loss.

  Returns:
    A transformation whose ``update`` needs ``value``.
  """
  learning_rate, high, low = numbers
  if rule == 'weights':
    tracker = (
      loss_phase_tracker(steps_per_epoch=steps_per_epoch, rule='equation9')
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
    mean: The mean of the signs, +1 or -1, over about the last epoch.
  """

  phase: tuple
  mean: jax.Array


def weigh_by_phase(
  tracker: PhaseTracker, strength: Number, memory: int
) -> optax.GradientTransformationExtraArgs:
  """Multiplies gradients by ``1 + strength * (s - mean s)``, ``s`` +1 in the high phase, else -1.

  Args:
    tracker: Determines the phase of each update.
    strength: Half the difference of two momenta.
    memory: The approximate number of updates before this one over which ``s`` is averaged.

  Returns:
    A transformation whose ``update`` passes ``value`` to the tracker.
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
