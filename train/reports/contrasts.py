"""Compares arms with their controls and the baseline."""

import math
from collections.abc import Iterator
from typing import Literal, NamedTuple

from train.reports.pooling import Residual, Values, pooled_arms, two_way_residual
from train.reports.read_runs import FoundRuns, last_values
from train.system.statistics import Estimate, holm, t_p_value, t_quantile

SHOWN = 0.05
_NO_SCATTER = 1e-9  # times the largest value: the scatter that rounding leaves

Kind = Literal['yoked', 'coin', 'direction', 'baseline']


class Contrast(NamedTuple):
  """One arm against another, on the seeds that both finished.

  Attributes:
    kind: The role of the other arm: ``'yoked'`` is the control with another run's momenta in their
      order, ``'coin'`` the control with the same proportion of momenta, ``'direction'`` the pair with
      its momenta exchanged (``arm`` has the higher one in the high-loss phase), ``'baseline'`` the
      comparison's baseline.
    arm: The name of the arm.
    other: The name of the other arm.
    seeds: The number of seeds that both finished.
    difference: The mean of the arm minus that of the other.
    p: The p-value of no difference, of this contrast alone; NaN if it cannot be computed.
    holm_p: The p-value adjusted for all contrasts of the comparison.
    method: How the scatter is estimated: ``'pooled'`` or ``'paired'``, see
      :mod:`train.reports.pooling`.
    degrees_of_freedom: The degrees of freedom of Student's t.
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
    """Whether the adjusted p-value shows a difference."""
    return self.holm_p < SHOWN


class Contrasts(NamedTuple):
  """The contrasts of a comparison.

  Attributes:
    rows: The contrasts, in the order of a report.
    pooled: The arms whose scatter is pooled, empty or at least two.
    taken_out: The arms that are not pooled because they scatter more.
    residual: The scatter of the pooled arms.
  """

  rows: list[Contrast]
  pooled: list[str]
  taken_out: list[str]
  residual: Residual


def contrasts(found: FoundRuns) -> Contrasts:
  """Returns the contrasts of LCAMs with their controls, and of every arm with the baseline.

  An LCAM is first compared with its yoked control, which has the same momenta in the same order,
  independent of its own losses; then with its coin, the other direction and the baseline. Arms that
  share no finished seed are left out.
  """
  values = last_values(found)
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
  # By momenta, because an arm can have another name.
  known: dict[tuple, list[str]] = {}
  for arm, config in found.arms.items():
    if config['kind'] in ('lcam', 'yoked', 'coin'):
      known.setdefault((config['kind'], *_momenta(config)), []).append(arm)
  for arm in sorted(found.arms, key=lambda arm: found.arms[arm]['kind'] != 'lcam'):
    if found.arms[arm]['kind'] == 'lcam':
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
  """Compares two arms on their shared seeds.

  Where seeds are missing, the pooled scatter comes from all runs and the difference from the shared
  seeds only. The interval is then a little wider than necessary, never narrower.
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
