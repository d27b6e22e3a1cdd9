"""Means over seeds with their uncertainty."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import special  # scipy.stats has the same, but takes a second to import


class Estimate(NamedTuple):
  """A mean with the half-width of its 95 % confidence interval (infinite for a single value)."""

  mean: float
  half_width: float


def estimate(values: np.ndarray) -> Estimate:
  """Estimates a mean from independent values, one per seed, with Student's t distribution.

  For paired differences, pass the differences.

  Example:
    >>> estimate(np.array([1.0, 2.0, 3.0]))
    Estimate(mean=2.0, half_width=2.48...)
  """
  count = len(values)
  if count == 1:
    return Estimate(float(values[0]), math.inf)
  standard_error = float(np.std(values, ddof=1)) / math.sqrt(count)
  return Estimate(float(np.mean(values)), t_quantile(count - 1) * standard_error)


def t_quantile(degrees_of_freedom: int, probability: float = 0.975) -> float:
  """Returns a quantile of Student's t: how many standard errors a 95 % interval reaches to a side."""
  return float(special.stdtrit(degrees_of_freedom, probability))


def t_p_value(t: float, degrees_of_freedom: int) -> float:
  """Returns the two-sided p-value of Student's t."""
  return float(2 * special.stdtr(degrees_of_freedom, -abs(t)))


def p_value(values: np.ndarray) -> float:
  """Returns the two-sided p-value of Student's test that the mean of independent values is zero.

  Values that are NaN are left out. The p-value is NaN if only one value is left, or all are equal.
  """
  values = values[~np.isnan(values)]
  if len(values) < 2 or not np.std(values):
    return math.nan
  error = np.std(values, ddof=1) / math.sqrt(len(values))
  return t_p_value(float(np.mean(values) / error), len(values) - 1)


def holm(p_values: Sequence[float]) -> list[float]:
  """Returns p-values adjusted for their number by Holm's method, in the same order.

  If nothing differs, the probability that one of them is below 0.05 by chance is then at most 0.05,
  however they depend on each other. NaN stands for a test that was not possible; it stays NaN and
  does not count.

  Example:
    >>> holm([0.01, 0.5, 0.02])
    [0.03, 0.5, 0.04]

  References:
    Holm, A simple sequentially rejective multiple test procedure, Scandinavian Journal of
    Statistics 6 (1979).
  """
  unadjusted = np.asarray(p_values, float)
  order = np.argsort(unadjusted)  # NaN last
  factors = np.count_nonzero(~np.isnan(unadjusted)) - np.arange(len(unadjusted))
  adjusted = np.empty_like(unadjusted)
  adjusted[order] = np.minimum(np.maximum.accumulate(factors * unadjusted[order]), 1)
  return adjusted.tolist()


def format_estimate(value: Estimate | None, sign: str = '', spec: str = '.2f') -> str:
  """Returns 'mean ± half-width', the mean alone of a single seed, or '-' for None."""
  if value is None:
    return '-'
  mean = f'{value.mean:{sign}z{spec}}'
  return mean if math.isinf(value.half_width) else f'{mean} ± {value.half_width:{spec}}'
