"""Means over seeds with their uncertainty."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import special

CONFIDENCE = 0.95


class Estimate(NamedTuple):
  """A mean with the half-width of its 95 % confidence interval (infinite for a single value)."""

  mean: float
  half_width: float

  def excludes_zero(self) -> bool:
    """Returns whether a mean of zero lies outside the interval."""
    return abs(self.mean) > self.half_width


def estimate(values: np.ndarray) -> Estimate:
  """Estimates a mean from independent values, with Student's t distribution.

  Args:
    values: One value per seed, at least one.

  Returns:
    The mean and the half-width of its confidence interval. For paired differences, pass the
    differences.

  Example:
    >>> estimate(np.array([1.0, 2.0, 3.0]))
    Estimate(mean=2.0, half_width=2.48...)
  """
  count = len(values)
  if count == 1:
    return Estimate(float(values[0]), math.inf)
  standard_error = float(np.std(values, ddof=1)) / math.sqrt(count)
  return Estimate(float(np.mean(values)), t_quantile(count - 1) * standard_error)


def t_quantile(degrees_of_freedom: int) -> float:
  """Returns how many standard errors a confidence interval reaches to each side."""
  # scipy.stats has the same, but takes a second to import.
  return float(special.stdtrit(degrees_of_freedom, (1 + CONFIDENCE) / 2))


def t_p_value(t: float, degrees_of_freedom: int) -> float:
  """Returns the two-sided p-value of Student's t."""
  return float(2 * special.stdtr(degrees_of_freedom, -abs(t)))


def p_value(values: np.ndarray) -> float:
  """Returns the two-sided p-value of Student's test that a mean is zero.

  Args:
    values: Independent values; those that are NaN are left out.

  Returns:
    The p-value; NaN where the values say nothing of it, one alone or all the same.
  """
  values = values[~np.isnan(values)]
  if len(values) < 2 or not np.std(values):
    return math.nan
  error = np.std(values, ddof=1) / math.sqrt(len(values))
  return t_p_value(float(np.mean(values) / error), len(values) - 1)


def holm(p_values: Sequence[float]) -> list[float]:
  """Returns p-values adjusted for their number, by Holm's method.

  That one of them is below 0.05 by chance, where nothing differs, then has a probability of at most
  0.05, however they depend on each other.

  Args:
    p_values: NaN stands for a test that was not possible; it stays, and does not count.

  Returns:
    The adjusted p-values, in the same order.

  Example:
    >>> holm([0.01, 0.5, 0.02])
    [0.03, 0.5, 0.04]

  References:
    Holm, A simple sequentially rejective multiple test procedure, Scandinavian Journal of
    Statistics 6 (1979).
  """
  adjusted = [math.nan] * len(p_values)
  order = sorted(
    (index for index, p in enumerate(p_values) if not math.isnan(p)), key=p_values.__getitem__
  )
  largest = 0.0
  for rank, index in enumerate(order):
    largest = max(largest, min(1.0, (len(order) - rank) * p_values[index]))
    adjusted[index] = largest
  return adjusted


def format_estimate(value: Estimate | None, sign: str = '', decimals: int = 2) -> str:
  """Returns 'mean ± half-width', or the mean alone where the seeds give no interval."""
  if value is None:
    return '-'
  if math.isinf(value.half_width):
    return f'{value.mean:{sign}.{decimals}f}'
  return f'{value.mean:{sign}.{decimals}f} ± {value.half_width:.{decimals}f}'
