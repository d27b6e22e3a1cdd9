"""The metric of a comparison, as reports name it."""

import math
from collections.abc import Iterable
from typing import NamedTuple

from train.system.statistics import Estimate

_WRONG_ANSWERS = 'test_error_percent'


class Metric(NamedTuple):
  """The metric of a comparison."""

  column: str  # in metrics.csv
  label: str  # in plots

  @property
  def name(self) -> str:
    """Its name in sentences."""
    return 'error' if self.column == _WRONG_ANSWERS else self.label.removeprefix('test ')

  @property
  def head(self) -> str:
    """Its name in the head of a table."""
    return 'error %' if self.column == _WRONG_ANSWERS else self.name

  @property
  def unit(self) -> str:
    """The unit of a difference in a sentence."""
    return ' points' if self.column == _WRONG_ANSWERS else ''

  def spec(self, estimates: Iterable[Estimate]) -> str:
    """Returns the format of numbers: two decimals for wrong answers, else as the estimates need.

    They have four digits of the largest mean, and two of the smallest half-width.
    """
    estimates = list(estimates)
    means, half_widths = (
      [abs(value) for value in values if value and math.isfinite(value)]
      for values in ([one.mean for one in estimates], [one.half_width for one in estimates])
    )
    if self.column == _WRONG_ANSWERS or not means:
      return '.2f'
    largest = math.floor(math.log10(max(means)))
    smallest = math.floor(math.log10(min(half_widths, default=max(means))))
    digits = max(3, min(largest - smallest + 1, 8))
    return f'.{max(digits - largest, 0)}f' if -4 <= largest < 7 else f'.{digits}e'
