"""Computes the effect of LCAM on a noisy quadratic: half the difference between the directions."""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from studies.quadratic.simulation import PhaseOf, simulate
from studies.quadratic.theory import Moments, Quadratic, predict
from train.system.statistics import Estimate, estimate

SIMULATED: tuple[PhaseOf, ...] = ('luck', 'running-mean')
PathLoss = Callable[[Moments, np.ndarray], np.ndarray]


def contrasts(
  problem: Quadratic, path_loss: PathLoss, blocks: int, kinds: Sequence[PhaseOf] = SIMULATED
) -> dict[str, list[Estimate]]:
  """Returns half the difference between the directions of (LCAM - yoked) / yoked.

  Args:
    problem: The quadratic, in the direction with the high momentum in the high-loss phase.
    path_loss: Computes the loss to contrast, with modes as the last axis.
    blocks: The number of simulated blocks of runs.
    kinds: The kinds of phases to simulate.

  Returns:
    An estimate per mode: predicted (without an interval), and simulated with each kind of phase.
  """
  stiffness = np.array(problem.stiffness)
  both = [dataclasses.replace(problem, delta=sign * problem.delta) for sign in (1, -1)]

  def half_difference(pairs):
    high, low = (
      path_loss(own, stiffness) / path_loss(yoked, stiffness) - 1 for own, yoked in pairs
    )
    return (high - low) / 2

  predicted = half_difference([(predict(one), predict(one, yoked=True)) for one in both])
  found = {'predicted': [Estimate(float(value), 0.0) for value in predicted]}
  for phase_of in kinds:
    by_block = half_difference([simulate(one, phase_of, blocks) for one in both])
    found[phase_of] = [estimate(values) for values in by_block.T]
  return found


def losses_of_modes(moments: Moments, stiffness: np.ndarray) -> np.ndarray:
  """Returns twice the loss of each mode, summed over the path."""
  return moments.square.sum(-2) * stiffness


def loss_of_all(moments: Moments, stiffness: np.ndarray) -> np.ndarray:
  """Returns twice the loss of all modes together, summed over the path."""
  return losses_of_modes(moments, stiffness).sum(-1, keepdims=True)
