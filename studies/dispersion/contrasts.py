"""Computes the contrasts of the study, seed by seed, and pools them."""

import csv
import dataclasses
import math
import pathlib
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from jaxtyping import Float
from scipy import special

from studies.dispersion import definition
from studies.dispersion.run import path_of
from studies.problems import PROBLEMS
from train.system.statistics import Estimate, estimate

_CLASSES = {problem.name: problem.classes for problem in PROBLEMS}

# By arm, endpoint or 'mean_momentum', one value per seed, in the order of the seeds.
Table = Mapping[str, Mapping[str, Float[np.ndarray, ' seeds']]]


@dataclasses.dataclass(frozen=True, order=True)
class Pair:
  """The two cells of a contrast, one per direction.

  Attributes:
    problem: See :class:`Cell`.
    batch_size: See :class:`Cell`.
    delta: See :class:`Cell`.
    rule: See :class:`Cell`.
  """

  problem: str
  batch_size: int
  delta: float
  rule: str

  @property
  def dose(self) -> float:
    """The number that the effect should be proportional to."""
    return self.delta / math.sqrt(self.batch_size)


@dataclasses.dataclass(frozen=True, eq=False)
class Contrast:
  """Half the difference between the directions, of the relative difference to the yoked runs.

  Attributes:
    values: One per seed; NaN if a run diverged.
    high: The relative difference with the high momentum in the high-loss phase, one per seed.
    low: The relative difference with the high momentum in the low-loss phase, one per seed.
  """

  values: Float[np.ndarray, ' seeds']
  high: Float[np.ndarray, ' seeds']
  low: Float[np.ndarray, ' seeds']

  @property
  def excluded(self) -> int:
    """The number of seeds that were left out."""
    return int(np.isnan(self.values).sum())

  @property
  def usable(self) -> bool:
    """Whether few enough seeds were left out for a verdict."""
    return self.excluded <= definition.LARGEST_EXCLUDED_SHARE * len(self.values)


def read_pairs(directory: pathlib.Path) -> dict[Pair, dict[str, Table]]:
  """Reads the pairs whose cells are both done.

  Args:
    directory: The folder of the tables of the cells.

  Returns:
    The table of each cell, by pair and direction.
  """
  found: dict[Pair, dict[str, Table]] = {}
  for cell in definition.cells():
    path = path_of(cell, directory)
    if path.exists():
      pair = Pair(cell.problem, cell.batch_size, cell.delta, cell.rule)
      found.setdefault(pair, {})[cell.direction] = _read(path)
  return {pair: tables for pair, tables in found.items() if len(tables) == 2}


def _read(path: pathlib.Path) -> Table:
  with path.open() as file:
    rows = list(csv.DictReader(file))
  columns = (*definition.ENDPOINTS, 'mean_momentum')
  arms = dict.fromkeys(row['arm'] for row in rows)
  return {
    arm: {
      column: np.array([float(row[column]) for row in rows if row['arm'] == arm])
      for column in columns
    }
    for arm in arms
  }


def contrast(
  pair: Pair, tables: Mapping[str, Table], arm: str, partner: str, endpoint: str
) -> Contrast:
  """Returns the contrast of an arm with its yoked runs.

  Args:
    pair: The pair.
    tables: The table of each cell, by direction.
    arm: The arm.
    partner: The arm that it is compared with.
    endpoint: One of :data:`definition.ENDPOINTS`.
  """
  bound = 2 * math.log(_CLASSES[pair.problem])
  diverged = np.any(
    [
      ~(tables[direction][name]['train_loss'] < bound)
      for direction in definition.DIRECTIONS
      for name in (arm, partner)
    ],
    axis=0,
  )

  def relative(direction):
    own, yoked = (
      np.where(diverged, np.nan, tables[direction][name][endpoint]) for name in (arm, partner)
    )
    if diverged.all():
      return own
    return (own - yoked) / np.nanmean(yoked)

  high, low = relative('high'), relative('low')
  return Contrast((high - low) / 2, high, low)


def of_seeds(values: Float[np.ndarray, ' seeds']) -> Estimate:
  """Returns the mean over the seeds that were not left out, with its interval."""
  return estimate(values[~np.isnan(values)])


def correlation_of_neighbours(values: Float[np.ndarray, ' seeds']) -> float:
  """Returns the correlation of a seed's value with that of the next seed, cyclically.

  A yoked run replays the phases of the run of the next seed, whose contrast contains them with the
  opposite sign. The intervals assume independent seeds, so that they are too wide if this
  correlation is negative: the variance of the mean is ``1 + 2 * correlation`` times that of
  independent seeds.
  """
  deviations = values - np.nanmean(values)
  products = deviations * np.roll(deviations, -1)
  return float(np.nanmean(products) / np.nanmean(deviations**2))


def is_equivalent_to_zero(values: Float[np.ndarray, ' seeds']) -> bool:
  """Returns whether two one-sided tests at 5 % put the mean within the equivalence bound."""
  values = values[~np.isnan(values)]
  error = np.std(values, ddof=1) / math.sqrt(len(values))
  half_width = special.stdtrit(len(values) - 1, 0.95) * error
  return bool(abs(np.mean(values)) + half_width < definition.EQUIVALENCE_BOUND)


def pooled(contrasts: Iterable[Contrast]) -> Float[np.ndarray, ' seeds']:
  """Averages usable contrasts by seed, each over the contrasts that do not leave the seed out."""
  values = [one.values for one in contrasts if one.usable]
  return np.nanmean(values, axis=0)


def slopes(
  pairs: Sequence[Pair], contrasts: Sequence[Contrast]
) -> Float[np.ndarray, ' seeds'] | None:
  """Returns the slope of the contrast against the dose, through the origin, for each seed.

  Args:
    pairs: The pairs of one problem and rule.
    contrasts: Their contrasts; cells are weighted by their inverse variance.

  Returns:
    The slopes; None if no contrast is usable.
  """
  usable = [i for i, one in enumerate(contrasts) if one.usable]
  if not usable:
    return None
  doses = np.array([pairs[i].dose for i in usable])
  values = np.array([contrasts[i].values for i in usable])
  weights = doses / np.nanvar(values, axis=1, ddof=1)
  missing = np.isnan(values)
  norm = np.where(missing, 0, (weights * doses)[:, None]).sum(0)
  return np.nansum(weights[:, None] * values, axis=0) / norm


def ratio(
  numerators: Float[np.ndarray, ' seeds'], denominators: Float[np.ndarray, ' seeds']
) -> Estimate:
  """Returns the ratio of two means over the same seeds, with the interval of the delta method."""
  both = ~(np.isnan(numerators) | np.isnan(denominators))
  top, bottom = numerators[both], denominators[both]
  quotient = top.mean() / bottom.mean()
  residuals = estimate((top - quotient * bottom) / bottom.mean())
  return Estimate(float(quotient), residuals.half_width)
