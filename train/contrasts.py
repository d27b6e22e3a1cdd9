"""What one arm does beyond another, on the same seeds."""

from typing import Literal, NamedTuple

import numpy as np

from train.experiments import BASELINE, Arm
from train.read_runs import RunsOfPart, finished_runs, last_errors
from train.statistics import Estimate, format_estimate, paired_difference


class Contrast(NamedTuple):
  """One arm against another.

  Attributes:
    kind: What the other is to the one: ``'baseline'`` is fixed momentum 0.9, ``'coin'`` the coin that
      has its momenta in the same proportion, ``'direction'`` the pair with its momenta exchanged, of
      which the one has the higher momentum in the high-loss phase.
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

  Args:
    found: The runs of a part. Only the baseline is known for a part that is not an experiment's.

  Returns:
    The contrasts by arm: first all with the baseline, then coins and directions.
  """
  errors = {arm: last_errors(runs) for arm, runs in finished_runs(found).items()}
  declared = (*found.part.arms, *found.part.extra_arms) if found.part else ()
  # By their momenta, because a pair can have a name of its own and be the swapped one of another.
  lcams: dict[tuple[float, float], Arm] = {}
  for arm in declared:
    if arm.method == 'lcam' and arm.name in errors:
      lcams.setdefault(_momenta(arm), arm)
  pairs = [('baseline', arm, BASELINE.name) for arm in errors if arm != BASELINE.name]
  for (low, high), arm in lcams.items():
    pairs += [
      ('coin', arm.name, other.name)
      for other in declared
      if other.method == 'coin' and _momenta(other) == (low, high)
    ]
    if high > low and (high, low) in lcams:
      pairs.append(('direction', arm.name, lcams[high, low].name))
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
  _, arm, other, seeds, difference = contrast
  if np.isinf(difference.half_width):
    return f'{arm}: one seed cannot tell a difference to {other} from noise; run more.'
  if difference.excludes_zero():
    side = 'lower' if difference.mean < 0 else 'higher'
    return (
      f'{arm}: a {side} error than {other} was shown, by {abs(difference.mean):.2f} ± '
      f'{difference.half_width:.2f} points ({seeds} seeds).'
    )
  return (
    f'{arm}: no difference to {other} was shown; the interval holds zero '
    f'({format_estimate(difference, sign="+")} points, {seeds} seeds).'
  )
