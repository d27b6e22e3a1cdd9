"""The optimizer of an experiment, and the momenta of an arm in its state."""

from typing import Any

import jax.numpy as jnp
import optax

from lcam_optax import lcam, step_drops
from train.experiments import Arm, Drops, Experiment


def make_schedule(schedule: Drops, epochs: int, steps_per_epoch: int) -> optax.Schedule:
  """Returns the learning-rate schedule for a number of epochs."""
  drop_epochs = sorted({max(1, round(fraction * epochs)) for fraction in schedule.fractions})
  return step_drops(schedule.init_value, steps_per_epoch, drop_epochs, schedule.factor)


def make_optimizer(
  experiment: Experiment, steps_per_epoch: int
) -> optax.GradientTransformationExtraArgs:
  """Returns the optimizer that all arms share: coupled weight decay, then LCAM.

  Its momenta are arrays in its state; :func:`set_momenta` makes them those of an arm.
  """
  return optax.chain(
    optax.add_decayed_weights(experiment.weight_decay),
    optax.inject_hyperparams(lcam)(
      make_schedule(experiment.schedule, experiment.epochs, steps_per_epoch),
      steps_per_epoch=steps_per_epoch,
      rule=experiment.rule,
    ),
  )


def set_momenta(opt_state: Any, arm: Arm) -> Any:
  """Returns the state of the optimizer with the momenta of an arm."""
  return optax.tree.set(
    opt_state,
    high_loss_momentum=jnp.asarray(arm.high_loss_momentum),
    low_loss_momentum=jnp.asarray(arm.low_loss_momentum),
  )
