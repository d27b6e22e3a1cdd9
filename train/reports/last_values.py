"""How the last values of many seeds are distributed, and their differences to the baseline."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from train.reports.contrasts import Contrast
from train.reports.read_runs import FoundRuns
from train.reports.tables import Row, format_p
from train.system.statistics import Estimate, format_estimate

FEWEST = 11  # seeds of an arm; fewer are seen better in the table
_BINS = 40
_FINE = 400  # smallest steps in the range of values that are multiples of a number, at most
_FAR = 3.0  # interquartile ranges beyond the quartiles
_ROUNDING = 1e-6  # of the largest value: what rounding leaves of equal values


class Histogram(NamedTuple):
  """The values of one arm."""

  arm: str
  counts: np.ndarray  # of the seeds in each bin
  heights: np.ndarray  # the same, with 1 for the largest of the arm
  estimate: Estimate
  words: str  # the estimate as in the tables


class Histograms(NamedTuple):
  """The values of all arms, one below the other."""

  label: str  # of the horizontal axis
  edges: np.ndarray  # of the bins
  arms: list[Histogram]
  is_difference: bool


def last_values(
  found: FoundRuns, rows: Sequence[Row], compared: Sequence[Contrast], spec: str
) -> list[Histograms]:
  """Returns the histograms of last values, and of paired differences to the baseline, if any.

  There are none if all arms have few seeds.
  """
  if not any(row.seeds >= FEWEST for row in rows):
    return []
  estimates = {row.arm: row.last for row in rows if row.last}
  values = {
    arm: {seed: found.judged(arm, seed) for seed in found.seeds(arm, 'finished')}
    for arm in estimates
  }
  words = {
    arm: f'{arm}\n{format_estimate(last, spec=spec)} (n={len(values[arm])})'
    for arm, last in estimates.items()
  }
  label, epochs = found.metric.label, sorted({found.judged_epoch(arm) for arm in found.runs})
  after = ' or '.join(map(str, epochs))
  drawn = [_histograms(f'{found.metric.axis} after epoch {after}', values, estimates, words, False)]
  pairs = {row.arm: row for row in compared if row.kind == 'baseline'}
  if pairs:
    base = values[found.baseline]
    differences = {
      arm: {seed: values[arm][seed] - base[seed] for seed in values[arm].keys() & base.keys()}
      for arm in pairs
    }
    words = {
      arm: f'{arm}\n{format_estimate(row.estimate, "+", spec)} (n={row.seeds})\n'
      f'Holm p {format_p(row.holm_p)}'
      for arm, row in pairs.items()
    }
    label = f'difference of {label} to {found.baseline}, same seed'
    estimates = {arm: row.estimate for arm, row in pairs.items()}
    drawn.append(_histograms(label, differences, estimates, words, True))
  return drawn


def _histograms(
  label: str,
  values: Mapping[str, Mapping[int, float]],
  estimates: Mapping[str, Estimate],
  words: Mapping[str, str],
  is_difference: bool,
) -> Histograms:
  """Returns histograms with the same bins; the outermost bins also count what is far beyond."""
  numbers = {arm: np.array(list(by_seed.values())) for arm, by_seed in values.items()}
  pooled = np.concatenate(list(numbers.values()))
  edges = _edges(pooled)
  beyond = int(np.count_nonzero((pooled < edges[0]) | (pooled > edges[-1])))
  if beyond:
    label += f'\n(the outermost bars also count {beyond} beyond)'
  counts = {
    arm: np.histogram(np.clip(of_arm, edges[0], edges[-1]), edges)[0]
    for arm, of_arm in numbers.items()
  }
  arms = [
    Histogram(arm, count, count / count.max(), estimates[arm], words[arm])
    for arm, count in counts.items()
  ]
  return Histograms(label, edges, arms, is_difference)


def _edges(values: np.ndarray) -> np.ndarray:
  """Returns bins without values far beyond the quartiles, such as those of runs that got stuck.

  Values that are multiples of a number, as shares of few examples are, have as many multiples in each
  bin.
  """
  quartiles = np.quantile(values, [0.25, 0.75])
  far = _FAR * (quartiles[1] - quartiles[0]) or math.inf  # most values are equal
  near = np.sort(values[(values >= quartiles[0] - far) & (values <= quartiles[1] + far)])
  low, high = near[0], near[-1]
  steps = np.diff(near)
  steps = steps[steps > _ROUNDING * max(abs(low), abs(high))]
  if not len(steps):  # all are equal
    half = 0.05 * abs(low) or 0.05
    return np.array([low - half, low + half])
  step = float(steps.min())
  if high - low > _FINE * step:
    return np.linspace(low, high, _BINS + 1)
  width = step * math.ceil((high - low + step) / (_BINS * step))
  return low - step / 2 + width * np.arange(math.ceil((high - low + step) / width - 1e-3) + 1)
