"""What one arm does beyond another, on the same seeds."""

from typing import Literal, NamedTuple

import numpy as np

from train.experiments import BASELINE, Arm
from train.recorded import RunsOfPart, finished_runs, last_errors
from train.statistics import Estimate, format_estimate, paired_difference


class Contrast(NamedTuple):
  """One arm against another.

  Attributes:
    kind: What the other is to the one: the fixed momentum, the coin that has its momenta in the same
      proportion, or the pair with its momenta exchanged.
    arm: The name of the one.
    other: The name of the other.
    seeds: How many seeds both finished.
    difference: The error of the one minus that of the other, in percentage points.
  """

  kind: Literal['baseline', 'coin', 'direction']
  arm: str
  other: str
  seeds: int
  difference: Estimate


def contrasts(found: RunsOfPart) -> list[Contrast]:
  """Returns every arm against the baseline, then what LCAMs do beyond their controls.

  A coin asks whether the loss does anything, the other direction whether it matters in which phase
  the momentum is high. Arms that share no finished seed are left out.
  """
  errors = {arm: last_errors(runs) for arm, runs in finished_runs(found).items()}
  declared = (*found.part.arms, *found.part.extra_arms) if found.part else ()
  lcams = [arm for arm in declared if arm.method == 'lcam' and arm.name in errors]
  pairs = [('baseline', arm, BASELINE.name) for arm in errors if arm != BASELINE.name]
  for arm in lcams:
    low, high = _momenta(arm)
    for other in declared:
      if other.method == 'coin' and _momenta(other) == (low, high):
        pairs.append(('coin', arm.name, other.name))
      if other.method == 'lcam' and high > low and _momenta(other) == (high, low):
        pairs.append(('direction', arm.name, other.name))
  found_contrasts = []
  for kind, arm, other in pairs:
    shared = errors[arm].keys() & errors.get(other, {}).keys()
    if shared:
      difference = paired_difference(errors[arm], errors[other])
      found_contrasts.append(Contrast(kind, arm, other, len(shared), difference))
  return found_contrasts


def _momenta(arm: Arm) -> tuple[float, float]:
  return arm.low_loss_momentum, arm.high_loss_momentum


def compare(contrast: Contrast) -> str:
  """Returns a sentence that says whether a difference was shown."""
  _, arm, other, _, difference = contrast
  if np.isinf(difference.half_width):
    return f'{arm}: one seed cannot tell a difference to {other} from noise; run more.'
  if difference.excludes_zero():
    side = 'lower' if difference.mean < 0 else 'higher'
    return (
      f'{arm}: a {side} error than {other} was shown, by {abs(difference.mean):.2f} ± '
      f'{difference.half_width:.2f} points.'
    )
  return (
    f'{arm}: no difference to {other} was shown; the interval holds zero '
    f'({format_estimate(difference, sign="+")} points).'
  )
