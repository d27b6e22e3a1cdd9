"""Computes every number of the study's report."""

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

from studies.dispersion import definition
from studies.dispersion.contrasts import (
  Contrast,
  Pair,
  Table,
  contrast,
  is_equivalent_to_zero,
  of_seeds,
  pooled,
)
from studies.dispersion.memory import Shares, shares_of_luck
from studies.problems import TRAIN_EXAMPLES
from train.system.statistics import Estimate, holm, p_value

Pairs = Mapping[Pair, Mapping[str, Table]]


@dataclasses.dataclass(frozen=True)
class Tested:
  """A contrast with its verdict.

  Attributes:
    pair: The cells.
    contrast: The contrast.
    estimate: Its mean.
    adjusted_p: Its p-value after Holm's adjustment over the cells of its rule; NaN for no verdict.
    equivalent: Whether it is equivalent to zero.
  """

  pair: Pair
  contrast: Contrast
  estimate: Estimate
  adjusted_p: float
  equivalent: bool

  @property
  def shown(self) -> bool:
    """Whether an effect is shown."""
    return self.adjusted_p < 0.05


def tested(pairs: Pairs, rule: str, endpoint: str) -> list[Tested]:
  """Returns the contrasts of LCAM in all cells of a rule."""
  chosen = sorted(pair for pair in pairs if pair.rule == rule)
  found = [contrast(pair, pairs[pair], 'lcam', 'yoked', endpoint) for pair in chosen]
  p_values = [p_value(one.values) if one.usable else math.nan for one in found]
  return [
    Tested(
      pair, one, of_seeds(one.values), adjusted, one.usable and is_equivalent_to_zero(one.values)
    )
    for pair, one, adjusted in zip(chosen, found, holm(p_values), strict=True)
    if one.excluded < len(one.values)
  ]


def pooled_contrast(
  pairs: Pairs, chosen: Sequence[Pair], arm: str, partner: str, endpoint: str
) -> Float[np.ndarray, ' seeds'] | None:
  """Returns a contrast averaged over cells, by seed; None if no cell is usable."""
  found = [contrast(pair, pairs[pair], arm, partner, endpoint) for pair in chosen]
  return pooled(found) if any(one.usable for one in found) else None


def complete(pairs: Pairs, delta: float, batch_size: int) -> list[str]:
  """Returns the problems whose cells at a delta and batch size are done and usable for all rules."""
  problems = []
  for problem in definition.LEARNING_RATES:
    chosen = [Pair(problem, batch_size, delta, rule) for rule in definition.RULES]
    if all(
      pair in pairs and contrast(pair, pairs[pair], 'lcam', 'yoked', 'train_loss').usable
      for pair in chosen
    ):
      problems.append(problem)
  return problems


def shares(batch_size: int) -> Shares:
  """Returns the shares of luck that are left by the memory of the mean in this study."""
  return shares_of_luck(TRAIN_EXAMPLES // batch_size, definition.MEAN_MOMENTUM)


def seen_before_memory(pair: Pair) -> bool:
  """Returns whether a pair had been seen when the memory of the mean was added to the theory."""
  softmax_or_mlp = pair.problem in ('digits', 'digits-softmax')
  one_hot = pair.problem == 'one-hot' and pair.batch_size == 8
  return pair.delta == 0.25 and (softmax_or_mlp or one_hot)


def log_direction(pairs: Pairs, chosen: Sequence[Pair], arm: str) -> Float[np.ndarray, ' seeds']:
  """Returns the log of the training loss in direction 'high' over that in 'low', by seed."""
  logs = []
  for pair in chosen:
    high, low = (pairs[pair][direction][arm]['train_loss'] for direction in ('high', 'low'))
    logs.append(np.log(high / low))
  return np.mean(logs, axis=0)
