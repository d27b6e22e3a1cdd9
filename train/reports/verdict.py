"""The verdict of a report: what was shown, in a few sentences."""

import math
from collections.abc import Mapping, Sequence

from train.reports.contrasts import SHOWN, Contrast, Contrasts
from train.reports.read_runs import FoundRuns, Metric
from train.reports.words import outcomes
from train.system.statistics import t_quantile


def verdict(found: FoundRuns, compared: Contrasts, spec: str) -> list[str]:
  """Returns sentences: one for each LCAM, one for each other outcome, and what seeds can show."""
  rows, metric = compared.rows, found.metric
  tested = [row for row in rows if not math.isnan(row.holm_p)]
  if not tested:
    return outcomes(rows, metric, spec)
  of_lcams = [row for row in tested if found.arms[row.arm]['kind'] == 'lcam']
  smallest = _smallest(of_lcams or tested, len(tested), metric, spec)
  if len(tested) == len(rows) and not any(row.shown for row in rows):
    alone = outcomes([row for row in rows if row.p < SHOWN], metric, spec)
    return [f'No difference was shown between these {len(found.runs)} arms.', *alone, smallest]
  # An arm that was tuned more often is told with the baseline that was tuned as often.
  against = {row.arm: row for kind in ('baseline', 'tries') for row in tested if row.kind == kind}
  told = [arm for arm in against if found.arms[arm]['kind'] == 'lcam']
  told.sort(key=lambda arm: against[arm].difference, reverse=metric.higher_is_better)
  yoked = {row.arm: row for row in tested if row.kind == 'yoked'}
  sentences = [_of_lcam(found, against, arm, yoked.get(arm), spec) for arm in told]
  in_them = {*told, *(yoked[arm].other for arm in told if arm in yoked)}
  rest = [row for row in rows if row.arm not in in_them]
  return [*sentences, *outcomes(rest, metric, spec), smallest]


def _of_lcam(
  found: FoundRuns,
  against: Mapping[str, Contrast],
  arm: str,
  control: Contrast | None,
  spec: str,
) -> str:
  """Returns a sentence about an LCAM, the baseline and its yoked run."""
  row, config, metric = against[arm], found.arms[arm], found.metric
  low, high = config['low_loss_momentum'], config['high_loss_momentum']
  unit = ' %' if metric.unit else ''
  mean, of_other = _means(found, row)
  words = (
    f'LCAM with the high momentum in the {"low" if low > high else "high"}-loss phase ({arm}): '
    f'{metric.name} {mean:{spec}}{unit} instead of {of_other:{spec}}{unit} ({row.other}): '
    f'{_shown(row)}'
  )
  if control is None:
    return f'{words}.'
  if own := against.get(control.other):
    words += f'; its yoked run {_means(found, own)[0]:{spec}}{unit}: {_shown(own)}'
  difference = f'{control.difference:+{spec}} ± {control.half_width:{spec}}{metric.unit}'
  return f'{words}. Against its yoked run {difference}: {_shown(control)}.'


def _means(found: FoundRuns, row: Contrast) -> tuple[float, float]:
  """Returns the means of both arms over the seeds that both finished."""
  arms = row.arm, row.other
  seeds = set.intersection(*(set(found.seeds(arm, 'finished')) for arm in arms))
  first, second = (sum(found.judged(arm, seed) for seed in seeds) / len(seeds) for arm in arms)
  return first, second


def _shown(row: Contrast) -> str:
  if not row.shown:
    return 'no difference shown'
  return 'lower, shown' if row.difference < 0 else 'higher, shown'


def _smallest(rows: Sequence[Contrast], tests: int, metric: Metric, spec: str) -> str:
  """Returns the sentence about the smallest difference that these seeds can show."""
  # By the first step of Holm's method, the strictest.
  least = max(
    row.half_width
    * t_quantile(row.degrees_of_freedom, 1 - SHOWN / tests / 2)
    / t_quantile(row.degrees_of_freedom)
    for row in rows
  )
  seeds = min(row.seeds for row in rows)
  return f'The smallest difference that {seeds} seeds show here: {least:{spec}}{metric.unit}.'
