"""The optimizer of an arm in a comparison."""

from typing import Any

import optax

from train.problem.arms import Arm, Setting
from train.problem.comparison import Comparison


def make_optimizer(
  comparison: Comparison,
  arm: Arm,
  steps_per_epoch: int,
  seed: int,
  partner_phases: Any = None,
) -> optax.GradientTransformationExtraArgs:
  """Returns the optimizer of an arm.

  Args:
    comparison: Says schedule, epochs, weight decay and rule.
    arm: The arm.
    steps_per_epoch: Steps of an epoch, a short last one included.
    seed: The seed of the run.
    partner_phases: The phases that a yoked arm replays, one per step.
  """
  return arm.build(
    Setting(
      comparison.schedule,
      comparison.epochs,
      steps_per_epoch,
      comparison.weight_decay,
      comparison.rule,
      seed,
      partner_phases,
    )
  )
