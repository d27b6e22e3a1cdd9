"""Which arm is set against which, and what that says."""

import math
from collections.abc import Iterator
from typing import Literal, NamedTuple

from train.reports.pooling import Residual, Values, pooled_arms, two_way_residual
from train.reports.read_runs import FoundRuns, last_values
from train.system.statistics import Estimate, holm, t_p_value, t_quantile

SHOWN = 0.05
_NO_SCATTER = 1e-9  # of the largest value: what rounding leaves of equal differences

Kind = Literal['yoked', 'coin', 'direction', 'baseline']


class Contrast(NamedTuple):
  """One arm against another, on the seeds that both finished.

  Attributes:
    kind: What the other is to the one: ``'yoked'`` its control with another run's momenta in their
      order, ``'coin'`` its control with the momenta in their proportion only, ``'direction'`` the pair
      with its momenta exchanged (the one has the higher in the high-loss phase), ``'baseline'`` the
      comparison's own.
    arm: The name of the one.
    other: The name of the other.
    seeds: How many seeds both finished.
    difference: The mean of the one minus that of the other.
    p: The p-value of no difference, of this contrast alone; NaN if the seeds cannot tell.
    holm_p: The same, adjusted for all contrasts of the comparison.
    method: Where the scatter comes from: ``'pooled'`` or ``'paired'``, see
      :mod:`train.reports.pooling`.
    degrees_of_freedom: Of Student's t.
  """

  kind: Kind
  arm: str
  other: str
  seeds: int
  difference: Estimate
  p: float
  holm_p: float
  method: Literal['pooled', 'paired']
  degrees_of_freedom: int

  @property
  def shown(self) -> bool:
    """Whether a difference was shown, after the adjustment for all contrasts."""
    return self.holm_p < SHOWN


class Contrasts(NamedTuple):
  """The contrasts of a comparison.

  Attributes:
    rows: In the order in which they should be read.
    pooled: The arms whose scatter is taken as one; fewer than two are none.
    taken_out: The arms that scatter more, and so are not among them.
    residual: The scatter of the pooled arms.
  """

  rows: list[Contrast]
  pooled: list[str]
  taken_out: list[str]
  residual: Residual


def contrasts(found: FoundRuns) -> Contrasts:
  """Returns what LCAMs do beyond their controls, and every arm against the baseline.

  An LCAM is set against its yoked control first, which has the same momenta in the same order, but not
  by its own losses; then its coin, the other direction and the baseline. Arms that share no finished
  seed are left out.
  """
  values = last_values(found)
  kinds = {arm: str(config.get('kind')) for arm, config in found.arms.items()}
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
  # By momenta, because a pair can have a name of its own, and be the other direction of another.
  known: dict[tuple, list[str]] = {}
  for arm, config in found.arms.items():
    if config.get('kind') in ('lcam', 'yoked', 'coin'):
      known.setdefault((config['kind'], *_momenta(config)), []).append(arm)
  for arm in sorted(found.arms, key=lambda arm: found.arms[arm].get('kind') != 'lcam'):
    if found.arms[arm].get('kind') == 'lcam':
      low, high = _momenta(found.arms[arm])
      for other in known.get(('yoked', low, high), ()):
        yield 'yoked', arm, other
      for other in known.get(('coin', low, high), ()):
        yield 'coin', arm, other
      if high > low:  # once, not from both sides
        for other in known.get(('lcam', high, low), ()):
          yield 'direction', arm, other
    if arm != found.baseline and found.baseline in found.arms:
      yield 'baseline', arm, found.baseline


def _momenta(config: dict) -> tuple[float, float]:
  """Returns the two momenta of an arm, low before high."""
  return config['low_loss_momentum'], config['high_loss_momentum']


def _contrast(
  kind: Kind, arm: str, other: str, values: Values, pooled: Residual | None
) -> Contrast:
  """Compares on the shared seeds.

  Where seeds are missing, the scatter comes from all runs and the difference from the shared seeds
  only. The interval is then a little wider than it needs to be, never narrower.
  """
  shared = sorted(values[arm].keys() & values[other].keys())
  pair = {name: {seed: values[name][seed] for seed in shared} for name in (arm, other)}
  mean = sum(pair[arm][seed] - pair[other][seed] for seed in shared) / len(shared)
  residual = two_way_residual(pair) if pooled is None else pooled
  degrees_of_freedom = residual.degrees_of_freedom
  size = max(abs(value) for by_seed in pair.values() for value in by_seed.values())
  half_width, p = math.inf, math.nan
  if degrees_of_freedom and residual.standard_deviation > _NO_SCATTER * size:
    standard_error = residual.standard_deviation * math.sqrt(2 / len(shared))
    half_width = t_quantile(degrees_of_freedom) * standard_error
    p = t_p_value(mean / standard_error, degrees_of_freedom)
  method = 'paired' if pooled is None else 'pooled'
  difference = Estimate(mean, half_width)
  return Contrast(
    kind, arm, other, len(shared), difference, p, math.nan, method, degrees_of_freedom
  )
