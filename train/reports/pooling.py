"""The scatter that the arms of a comparison share.

Three seeds of two arms may agree by luck, and then give an interval that is far too narrow; they may
as well disagree by luck. Several arms on the same seeds estimate the scatter better. Each value is
modelled as an effect of its arm, plus an effect of its seed, plus a residual; the residuals of all
arms together give the standard deviation of every difference between them.

That is right only if the residuals have equal variance. So not every arm is pooled:

* Only SGD with one or two momenta is: fixed momentum, LCAM and its controls, which are one method with
  slightly different numbers. Another optimizer has a scatter of its own. It never widens or narrows
  the others' intervals, and is compared by the paired t test, which uses the two arms alone.
* An arm of these whose residuals are larger than the others', by an F test, is left out, too: one run
  that got stuck would otherwise hide all differences of the comparison. Two arms that scatter alike
  can hide each other; the standard deviation in the report shows it.
"""

import math
from collections.abc import Collection, Mapping
from typing import NamedTuple

import numpy as np
from scipy import special

Values = Mapping[str, Mapping[int, float]]  # by arm and seed

_POOLED_KINDS = ('fixed', 'lcam', 'coin', 'yoked')
_SCATTERS_MORE = 0.01  # a Bonferroni-adjusted p-value
_ENOUGH = 4  # degrees of freedom of the other arms; with fewer they may agree by luck


class Residual(NamedTuple):
  """The residual of a fit of arm and seed effects."""

  sum_of_squares: float
  degrees_of_freedom: int  # the number of values minus that of independent effects

  @property
  def standard_deviation(self) -> float:
    """The standard deviation of a residual; NaN without degrees of freedom."""
    if not self.degrees_of_freedom:
      return math.nan
    return math.sqrt(self.sum_of_squares / self.degrees_of_freedom)


def two_way_residual(values: Values) -> Residual:
  """Fits an effect of each arm and one of each seed by least squares; seeds may be missing.

  For two arms, the standard deviation times ``sqrt(2 / seeds)`` is the standard error of the paired t
  test.

  Example:
    >>> two_way_residual({'a': {0: 1.0, 1: 2.0}, 'b': {0: 1.0, 1: 4.0}})
    Residual(sum_of_squares=1.0..., degrees_of_freedom=1)
  """
  cells = [(arm, seed) for arm, by_seed in values.items() for seed in by_seed]
  if not cells:
    return Residual(0.0, 0)
  observed = np.array([values[arm][seed] for arm, seed in cells])
  arms = np.equal.outer([arm for arm, _ in cells], list(values)).astype(float)
  seeds, of_cell, sizes = np.unique(
    [seed for _, seed in cells], return_inverse=True, return_counts=True
  )

  def within_seeds(table: np.ndarray) -> np.ndarray:
    """Takes the mean of each seed away, which is to fit its effect."""
    sums = np.zeros((len(seeds), *table.shape[1:]))
    np.add.at(sums, of_cell, table)
    return table - (sums.T / sizes).T[of_cell]

  # The effects of the arms are fitted to what the seeds leave, so that hundreds of seeds are fast.
  design, rest = within_seeds(arms), within_seeds(observed - observed.mean())
  fitted, _, rank, _ = np.linalg.lstsq(design, rest, rcond=None)
  residuals = rest - design @ fitted
  return Residual(float(residuals @ residuals), len(cells) - len(seeds) - int(rank))


def pooled_arms(values: Values, kinds: Mapping[str, str]) -> tuple[list[str], list[str]]:
  """Returns the arms whose scatter is pooled, and those left out because they scatter more."""
  arms = [arm for arm in values if kinds[arm] in _POOLED_KINDS and values[arm]]
  taken_out = []
  while len(arms) > 2:
    p_values = {arm: _p_of_scatter(values, arms, arm) for arm in arms}
    worst = min(arms, key=p_values.__getitem__)
    if not p_values[worst] * len(arms) < _SCATTERS_MORE:
      break
    arms.remove(worst)
    taken_out.append(worst)
  return arms, taken_out


def _p_of_scatter(values: Values, arms: Collection[str], arm: str) -> float:
  """Returns the p-value of the F test of one arm's residuals against those of the others alone."""
  whole = two_way_residual({name: values[name] for name in arms})
  others = two_way_residual({name: values[name] for name in arms if name != arm})
  more = whole.degrees_of_freedom - others.degrees_of_freedom
  if others.degrees_of_freedom < _ENOUGH or not more:
    return 1.0
  of_arm = (whole.sum_of_squares - others.sum_of_squares) / more
  if not others.sum_of_squares:
    return 0.0 if of_arm > 0 else 1.0
  f = of_arm * others.degrees_of_freedom / others.sum_of_squares
  return float(special.fdtrc(more, others.degrees_of_freedom, max(f, 0.0)))
