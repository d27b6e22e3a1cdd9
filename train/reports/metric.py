"""The metric of a comparison, as reports name it."""

import math
from collections.abc import Iterable
from typing import NamedTuple

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

  def decimals(self, values: Iterable[float]) -> int:
    """Returns the number of decimals: four digits of the largest value; two for wrong answers."""
    largest = max((abs(value) for value in values if math.isfinite(value)), default=0.0)
    if self.column == _WRONG_ANSWERS or not largest:
      return 2
    return min(max(3 - math.floor(math.log10(largest)), 0), 9)
