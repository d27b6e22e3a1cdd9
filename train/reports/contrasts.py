"""Compares arms with their controls and the baseline."""

import math
from collections.abc import Iterator
from typing import Literal, NamedTuple

from train.problem.tuning import as_often_name
from train.reports.pooling import Residual, Values, pooled_arms, two_way_residual
from train.reports.read_runs import FoundRuns
from train.system.statistics import Estimate, holm, t_p_value, t_quantile

SHOWN = 0.05
_NO_SCATTER = 1e-6  # of the largest value: what rounding to float32 leaves of equal differences

Kind = Literal['yoked', 'coin', 'direction', 'tries', 'baseline']


class Contrast(NamedTuple):
  """One arm against another, on the seeds that both finished; a row of contrasts.csv."""

  kind: Kind  # the role of the other; in a direction, arm has the higher momentum when it is high
  arm: str
  other: str
  seeds: int  # the number of seeds that both finished
  difference: float  # the mean of the arm minus that of the other
  half_width: float  # of its 95 % confidence interval
  p: float  # of no difference, of this contrast alone; NaN if it cannot be computed
  holm_p: float  # adjusted for all contrasts of the comparison
  method: Literal['pooled', 'paired']  # how the scatter is estimated, see train.reports.pooling
  degrees_of_freedom: int

  @property
  def estimate(self) -> Estimate:
    """The difference with its half-width."""
    return Estimate(self.difference, self.half_width)

  @property
  def shown(self) -> bool:
    """Whether the adjusted p-value shows a difference."""
    return self.holm_p < SHOWN


class Contrasts(NamedTuple):
  """The contrasts of a comparison, in the order of a report."""

  rows: list[Contrast]
  pooled: list[str]  # the arms whose scatter is pooled, none or at least two
  taken_out: list[str]  # the arms that are not pooled because they scatter more
  residual: Residual  # the scatter of the pooled arms


def contrasts(found: FoundRuns) -> Contrasts:
  """Returns the contrasts of LCAMs with their controls, and of every arm with the baseline.

  An LCAM is first compared with its yoked control, which has the same momenta in the same order,
  independent of its own losses; then with its coin, the other direction and the baseline. Arms that
  share no finished seed are left out.
  """
  values = {
    arm: {seed: found.judged(arm, seed) for seed in found.seeds(arm, 'finished')}
    for arm in found.runs
  }
  kinds = {arm: config['kind'] for arm, config in found.arms.items()}
  pooled, taken_out = pooled_arms(values, kinds)
  residual = two_way_residual({arm: values[arm] for arm in pooled})
  rows = [
    _contrast(kind, arm, other, values, residual if {arm, other} <= set(pooled) else None)
    for kind, arm, other in _pairs(found)
    if values[arm].keys() & values[other].keys()
  ]
  adjusted = holm([row.p for row in rows])
  rows = [row._replace(holm_p=holm_p) for row, holm_p in zip(rows, adjusted, strict=True)]
  return Contrasts(rows, pooled if len(pooled) > 1 else [], taken_out, residual)


def _pairs(found: FoundRuns) -> Iterator[tuple[Kind, str, str]]:
  """Yields kind, arm and other of the contrasts, whether or not they share seeds."""
  # By kind and momenta, because an arm can have another name.
  known = {
    arm: (config['kind'], config.get('low_loss_momentum'), config.get('high_loss_momentum'))
    for arm, config in found.arms.items()
  }
  for arm in sorted(known, key=lambda arm: known[arm][0] != 'lcam'):
    kind, low, high = known[arm]
    if kind == 'lcam':
      others: dict[Kind, tuple] = {'yoked': ('yoked', low, high), 'coin': ('coin', low, high)}
      if high > low:  # once, not from both sides
        others['direction'] = ('lcam', high, low)
      for role, wanted in others.items():
        yield from ((role, arm, other) for other in known if known[other] == wanted)
    tries = found.arms[arm].get('tuned', {}).get('tries', 1)
    as_often = as_often_name(found.baseline, tries)
    if tries > 1 and arm != as_often and as_often in known:
      yield 'tries', arm, as_often
    if arm != found.baseline and found.baseline in known:
      yield 'baseline', arm, found.baseline


def _contrast(
  kind: Kind, arm: str, other: str, values: Values, pooled: Residual | None
) -> Contrast:
  """Compares two arms on their shared seeds.

  Where seeds are missing, the pooled scatter comes from all runs and the difference from the shared
  seeds only. The interval is then a little wider than necessary, never narrower.
  """
  shared = sorted(values[arm].keys() & values[other].keys())
  pair = {name: {seed: values[name][seed] for seed in shared} for name in (arm, other)}
  mean = sum(pair[arm][seed] - pair[other][seed] for seed in shared) / len(shared)
  residual = two_way_residual(pair) if pooled is None else pooled
  freedom = residual.degrees_of_freedom
  size = max(abs(value) for by_seed in pair.values() for value in by_seed.values())
  half_width, p = math.inf, math.nan
  if freedom and residual.standard_deviation > _NO_SCATTER * size:
    standard_error = residual.standard_deviation * math.sqrt(2 / len(shared))
    half_width = t_quantile(freedom) * standard_error
    p = t_p_value(mean / standard_error, freedom)
  method = 'paired' if pooled is None else 'pooled'
  return Contrast(kind, arm, other, len(shared), mean, half_width, p, math.nan, method, freedom)
