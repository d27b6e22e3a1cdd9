"""Means over seeds with their uncertainty."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from scipy import stats

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
    return Estimate(float(values[0]), float('inf'))
  quantile = stats.t.ppf((1 + CONFIDENCE) / 2, count - 1)
  return Estimate(float(np.mean(values)), float(quantile * stats.sem(values)))


def paired_difference(values: Mapping[int, float], others: Mapping[int, float]) -> Estimate | None:
  """Estimates the mean of ``values`` minus ``others`` over the seeds that both have.

  Args:
    values: From seed to value.
    others: From seed to what is subtracted.

  Returns:
    The estimate; None if they share no seed.

  Example:
    >>> paired_difference({0: 2.0, 1: 4.0, 2: 7.0}, {0: 1.0, 1: 3.0, 5: 0.0})
    Estimate(mean=1.0, half_width=0.0)
  """
  shared = sorted(values.keys() & others.keys())
  if not shared:
    return None
  return estimate(np.array([values[seed] - others[seed] for seed in shared]))


def format_estimate(value: Estimate | None, sign: str = '') -> str:
  """Returns 'mean ± half-width', or the mean alone where one seed gives no interval."""
  if value is None:
    return '-'
  if np.isinf(value.half_width):
    return f'{value.mean:{sign}.2f}'
  return f'{value.mean:{sign}.2f} ± {value.half_width:.2f}'
