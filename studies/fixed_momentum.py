"""Computes the fixed momentum that is as strong as momenta that change."""

import numpy as np
from jaxtyping import Float, Int8
from scipy import optimize

Momenta = Float[np.ndarray, 'runs steps']


def momenta_used(
  phases: Int8[np.ndarray, 'runs steps'], rule: str, high: float, low: float
) -> Momenta:
  """Returns the momentum of every update.

  Args:
    phases: For every step, 1 if its loss was high.
    rule: See :func:`lcam_optax.lcam`.
    high: The momentum in the high-loss phase.
    low: The momentum in the low-loss phase.
  """
  if rule == 'algorithm1':  # the phase of the step before; the first step has that of a tie, high
    phases = np.concatenate([np.ones_like(phases[:, :1]), phases[:, :-1]], axis=1)
  return np.where(phases == 1, high, low)


def mean_total_weight(momenta: Momenta) -> float:
  """Returns the total weight of a gradient until the end, averaged over steps and runs.

  The gradient of step t has weight 1 in the trace of this step, beta[t+1] in the next, and so on.

  Example:
    >>> float(mean_total_weight(np.array([[0.9, 0.5]])))  # 1 + 0.5 and 1
    1.25
  """
  weight = np.ones(len(momenta))
  total = weight.copy()
  for momentum in momenta.T[:0:-1]:
    weight = 1 + momentum * weight
    total += weight
  return float(total.mean() / momenta.shape[1])


def momentum_of_mean_weight(weight: float, steps: int) -> float:
  """Returns the fixed momentum with this mean total weight of a gradient."""

  def excess(momentum):
    return mean_total_weight(np.full((1, steps), momentum)) - weight

  return float(optimize.brentq(excess, 0, 0.999))
