"""Defines the methods to tune; all turn the same two searched numbers into optimizer numbers."""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from studies.arms import Numbers, Optimizer, Rule
from train.training.trainer import Start

LARGEST_MOMENTUM = 0.99


class Point(NamedTuple):
  """The two numbers that are tuned.

  Attributes:
    effective_rate: The learning rate divided by one minus the mean momentum: how far a gradient
      moves the weights in total.
    momentum: The mean momentum.
  """

  effective_rate: float
  momentum: float


@dataclasses.dataclass(frozen=True)
class Method:
  """A method of training with two numbers to tune.

  Attributes:
    name: Its name in tables.
    rule: The optimizer.
    delta: Half the difference of LCAM's momenta, or the strength of a reweighting; negative if the
      low-loss phase has the higher momentum or weight.
  """

  name: str
  rule: Rule
  delta: float = 0.0

  def numbers(self, point: Point) -> Numbers:
    """Returns the numbers of its optimizer at a point of the search."""
    high, low = point.momentum + self.delta, point.momentum - self.delta
    if self.rule in ('equation9', 'algorithm1'):
      high, low = (min(max(momentum, 0.0), LARGEST_MOMENTUM) for momentum in (high, low))
    if self.rule == 'momo':  # its trace is a mean of gradients, so this is the learning rate
      return Numbers(point.effective_rate, high, low)
    return Numbers(point.effective_rate * (1 - (high + low) / 2), high, low)

  def starts(
    self, points: Sequence[Point], seeds: Iterable[int], decays: bool = False
  ) -> list[Start]:
    """Returns the runs of all seeds at the first point, at the next one, and so on."""
    seeds = tuple(seeds)
    arms = [Optimizer(self.rule, self.numbers(point), decays=decays) for point in points]
    return [Start(arm, seed) for arm in arms for seed in seeds]
