"""The sentences of a report."""

import collections
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from train.reports.contrasts import Contrast, Contrasts
from train.reports.curves import (
  FEWEST_FOR_A_MEAN,
  MOST_DIVERGED,
  MOST_WITH_BANDS,
  finite_runs,
  shows_means,
)
from train.reports.last_values import Histograms
from train.reports.read_runs import FoundRuns, Metric, all_equal
from train.reports.tables import Row

_CONTRASTS = (
  'Differences. n: seeds that both arms finished; only these are compared. difference: mean of the arm minus that '
  'of the other ± half-width of its 95 % confidence interval; {better} the arm is better. Holm p: '
  'the p-value of no difference, adjusted for the number of differences in its table (Holm); one '
  'counts as shown if it is below 0.05.'
)
_MOMENTA = ('momentum', 'low_loss_momentum', 'high_loss_momentum')
_NOT_COMPARED = {'commit', 'changed', 'versions', 'settings', 'together', 'lanes', 'earlier'}
_NOT_SHOWN = 'No difference was shown for'
_ALONE = (
  'No difference was shown after the adjustment for all differences, though the interval alone '
  'excludes zero, for'
)
_KINDS = {
  'yoked': 'A yoked run has the momenta that the LCAM run of another seed had, in the same order: '
  'the control that matches the schedule of momenta, warm-up included.',
  'coin': "A coin has the pair's momenta in about the proportion that LCAM would have, in an order "
  'of its own: a control of how often, not of when.',
  'tries': 'The best of several arms had as many tries as the baseline that it is compared with here, so '
  'that the luck of tuning is the same.',
  'direction': 'The other direction has another mean momentum, too, because most losses are low '
  'while they fall: the difference is not one of phases alone.',
}


def outcomes(rows: Iterable[Contrast], metric: Metric, spec: str) -> list[str]:
  """Returns a sentence for each outcome: which arms had it, against which."""
  lower, higher = (f'A {side} {metric.name} was shown for' for side in ('lower', 'higher'))
  # Arm, the arm that it was compared with, and the difference, by outcome.
  better_first = (higher, lower) if metric.higher_is_better else (lower, higher)
  outcomes = *better_first, _NOT_SHOWN, _ALONE
  found: dict[str, list[tuple[str, str, str]]] = {outcome: [] for outcome in outcomes}
  for row in rows:
    difference, half_width = row.estimate
    by = ''
    if math.isnan(row.holm_p):
      seeds = 'One seed' if row.seeds == 1 else f'{row.seeds} seeds'
      outcome = f'{seeds} cannot tell a difference from noise (run more) for'
    elif row.shown:
      outcome = lower if difference < 0 else higher
      by = f' (by {abs(difference):{spec}} ± {half_width:{spec}}{metric.unit})'
    else:
      outcome = _ALONE if abs(difference) > half_width else _NOT_SHOWN
    found.setdefault(outcome, []).append((row.arm, row.other, by))
  return [f'{outcome}: {_pairs(pairs)}.' for outcome, pairs in found.items() if pairs]


def _pairs(pairs: Iterable[tuple[str, str, str]]) -> str:
  """Returns 'a, b against c' or 'a against b, c', whichever is shorter."""
  by_arm, by_other = {}, {}
  for arm, other, by in pairs:
    by_arm.setdefault(arm, []).append(other + by)
    by_other.setdefault(other, []).append(arm + by)
  return min(
    '; '.join(f'{arm} against {", ".join(others)}' for arm, others in by_arm.items()),
    '; '.join(f'{", ".join(arms)} against {other}' for other, arms in by_other.items()),
    key=len,
  )


def describe_method(found: Contrasts, metric: Metric, spec: str) -> list[str]:
  """Returns sentences about how the intervals were computed."""
  sentences = [
    f'{arm}: its results scatter more than those of the other arms (F test); it is left out of their '
    'pooled scatter.'
    for arm in found.taken_out
  ]
  methods = {row.method for row in found.rows if row.degrees_of_freedom}
  if 'pooled' in methods:
    sentences.append(
      f'Intervals between {", ".join(found.pooled)}: pooled residual of arms and seeds, standard '
      f'deviation {found.residual.standard_deviation:{spec}}{metric.unit}, '
      f'{found.residual.degrees_of_freedom} degrees of freedom.'
    )
  if 'paired' in methods:
    others = 'Other intervals' if 'pooled' in methods else 'Intervals of differences'
    sentences.append(f'{others}: paired t test of the two arms alone.')
  return sentences


def describe_omissions(rows: Sequence[Row], found: FoundRuns, compared: Contrasts) -> list[str]:
  """Returns sentences about what the tables leave out."""
  sentences = list(found.remarks)
  if differing := _differing(found.environments):
    sentences.append(
      f'The runs were trained in different environments ({"; ".join(differing)}): their numbers may '
      'differ by rounding.'
    )
  if alone := _without_yoked(found.arms):
    sentences.append(
      f'Without yoked runs of {", ".join(alone)}, no difference here tells what their losses do: it may '
      'be one of schedules of momenta.'
    )
  with_baseline = {row.arm for row in compared.rows if row.kind == 'baseline'}
  for row in rows:
    if row.seeds > 1 and all_equal(
      [found.runs[row.arm][seed] for seed in found.seeds(row.arm, 'finished')]
    ):
      sentences.append(
        f'{row.arm}: its {row.seeds} runs are equal, number by number, and tell no interval: let the '
        'network draw its weights with `rngs`, or make batches smaller than the data.'
      )
    not_finite = f'its test loss or {found.metric.label} is NaN or infinite'
    done = sorted(set(row.unfinished.values()))
    unfinished = f'unfinished ({" or ".join(map(str, done))} of {found.config["epochs"]} epochs)'
    for words, lost in (
      (unfinished, row.unfinished),
      ('diverged', row.diverged),
      (not_finite, row.not_finite),
    ):
      if lost:
        sentences.append(f'{row.arm}: {words} with seed {seed_ranges(lost)}; not in the mean.')
    if row.last and row.arm != found.baseline and row.arm not in with_baseline:
      sentences.append(f'{row.arm}: no run of {found.baseline} on the same seeds to compare with.')
  return sentences


def _without_yoked(arms: Mapping[str, Mapping[str, Any]]) -> list[str]:
  """Returns the arms of LCAM that no yoked arm has the momenta of."""
  momenta = {name: [arm.get(field) for field in _MOMENTA] for name, arm in arms.items()}
  kinds = {name: arm['kind'] for name, arm in arms.items()}
  yoked = [momenta[name] for name in arms if kinds[name] == 'yoked']
  return [name for name in arms if kinds[name] == 'lcam' and momenta[name] not in yoked]


def seed_ranges(seeds: Iterable[int]) -> str:
  """Returns seeds in order, those that follow each other as a range.

  Example:
    >>> seed_ranges([0, 1, 2, 7])
    '0-2, 7'
  """
  ranges: list[list[int]] = []
  for seed in seeds:
    if ranges and seed == ranges[-1][-1] + 1:
      ranges[-1][1:] = [seed]
    else:
      ranges.append([seed])
  return ', '.join('-'.join(map(str, ends)) for ends in ranges)


def explain_arms(found: Sequence[FoundRuns]) -> str:
  """Returns what the heads of a table of arms mean."""
  heads = ' or '.join(dict.fromkeys(of.metric.head for of in found))
  chosen = any(of.judged_epoch(arm) != of.config['epochs'] for of in found for arm in of.runs)
  after = 'the epoch chosen on validation data' if chosen else 'the last epoch'
  return (
    f'Arms. n: finished runs, one per seed. {heads}: the value after {after}, mean over the n runs ± '
    "half-width of its 95 % confidence interval (Student t). best: the mean of each run's best epoch, "
    'which is chosen on the test set and so flatters. high %: share of steps in the high-loss phase, of '
    'yoked runs the one that they replay. s/epoch: median seconds of training, without evaluation and '
    "without each run's first epoch, which compiles, where there are others."
  )


def explain_contrasts(rows: Iterable[Contrast], metrics: Iterable[Metric]) -> list[str]:
  """Returns what the heads and the roles in a table of contrasts mean; empty without contrasts."""
  kinds = {row.kind for row in rows}
  if not kinds:
    return []
  metrics = dict.fromkeys(metrics)
  higher = [metric.name for metric in metrics if metric.higher_is_better]
  better = 'above zero' if higher and len(higher) == len(metrics) else 'below zero'
  better += f' (of {" and ".join(higher)} above zero)' if 0 < len(higher) < len(metrics) else ''
  explained = _CONTRASTS.format(better=better)
  return [explained, *(words for kind, words in _KINDS.items() if kind in kinds)]


def setting_and_momenta(found: FoundRuns) -> str:
  """Returns what was trained as sentences, the momenta of the arms among it."""
  momenta = [
    f'{name} {"/".join(numbers)}'
    for name, arm in found.arms.items()
    if (numbers := [f'{arm[field]:g}' for field in _MOMENTA if field in arm])
  ]
  line = setting_line(setting(found.config))
  return f'{line} Momenta (in low-/high-loss phases): {", ".join(momenta)}.' if momenta else line


def caption(found: FoundRuns, last: Sequence[Histograms]) -> str:
  """Returns what the curves, and the histograms below them, are of and how they are drawn."""
  counts = sorted({len(finite_runs(found, arm)) for arm in found.runs})
  sentences = [setting_and_momenta(found)]
  number = ' to '.join(dict.fromkeys(map(str, (counts[0], counts[-1]))))
  sentences.append(f'n = {number} seed{"" if number == "1" else "s"} per arm.')
  if shows_means(found):
    fewer = (
      f', with fewer than {FEWEST_FOR_A_MEAN} a line per run'
      if counts[0] < FEWEST_FOR_A_MEAN
      else ''
    )
    bars = '' if len(found.runs) <= MOST_WITH_BANDS else ' or bars to the right of the lines'
    sentences.append(
      f'Lines: mean over seeds{fewer}; bands{bars} of metric and loss: 95 % confidence interval of the '
      'mean (Student t).'
    )
  else:
    sentences.append('A line per run.')
  if any(len(finite_runs(found, arm)) < len(runs) for arm, runs in found.runs.items()):
    sentences.append(
      f'Thin and dotted: runs that diverged, at most {MOST_DIVERGED} of an arm; their metric and loss may leave the axes.'
    )
  if last:
    difference = f', and by its difference to {found.baseline} on the same seed' if last[1:] else ''
    sentences.append(
      f'Histograms, each to its own scale: seeds by the value after the last epoch{difference}; below them mean and 95 % '
      'confidence interval, as in the tables.'
    )
  return ' '.join(sentences)


def setting(config: Mapping[str, Any]) -> dict[str, str]:
  """Returns what all runs of a comparison have in common, by its name in a report."""
  about, data = config['about'], config['dataset']
  if config['train_examples']:
    data += f', first {config["train_examples"]:,} examples'
  decayed = ' of some parameters' if config.get('weight_decay_of') else ''
  return {
    'network': about['network'],
    'data': data,
    'epochs': f'{config["epochs"]}',
    'batch size': f'{config["batch_size"]}',
    'schedule': about['schedule'],
    'weight decay': f'{config["weight_decay"]}{decayed}',
    'rule': config['rule'],
    'computed in': config['dtype'],
    'metric': about['metric_label'] + (', higher is better' if config['higher_is_better'] else ''),
  }


def setting_line(words: Mapping[str, str]) -> str:
  """Returns the setting, see :func:`setting`, as one sentence."""
  epochs = words['epochs']
  return (
    f'{words["network"]} on {words["data"]}; {epochs} epoch{"" if epochs == "1" else "s"}; batch '
    f'{words["batch size"]}; {words["computed in"]}; {words["schedule"]}.'
  )


def environment_lines(environments: Sequence[Mapping[str, Any]]) -> list[str]:
  """Returns a line for each distinct environment; none if no run has a record of its own."""
  if not any(environments):
    return []
  counts = collections.Counter(map(_environment_words, environments))
  if len(counts) == 1:
    return list(counts)
  return [f'{words} ({count} of {counts.total()} runs)' for words, count in counts.items()]


def _differing(environments: Sequence[Mapping[str, Any]]) -> list[str]:
  """Returns what differs between environments, besides commit and group of runs."""
  found: dict[str, dict[str, None]] = {}  # the values by name, in order
  earlier = [one for environment in environments for one in environment.get('earlier', ())]
  for environment in filter(None, [*environments, *earlier]):
    flat = {**environment, 'trained': _lanes(environment) or 'alone'}
    for group in ('versions', 'settings'):
      if isinstance(environment.get(group), dict):
        flat |= environment[group]
    for name in flat.keys() - _NOT_COMPARED:
      found.setdefault(name, {})[str(flat[name])] = None
  return [f'{name} {" or ".join(found[name])}' for name in sorted(found) if len(found[name]) > 1]


def _lanes(environment: Mapping[str, Any]) -> str:
  """Returns how many runs were trained as one program with this one; empty if it was alone."""
  return f'in {environment.get("lanes")} lanes of one program' if 'together' in environment else ''


def _environment_words(environment: Mapping[str, Any]) -> str:
  if not environment:
    return 'not recorded'
  versions = environment.get('versions')
  versions = versions if isinstance(versions, dict) else {}
  words = [f'{name} {version}' for name, version in versions.items()]
  words.append(f'{environment.get("device_count")} x {environment.get("device_kind")}')
  if lanes := _lanes(environment):
    words.append(lanes)
  if environment.get('commit'):
    changed = ' with changes' if environment.get('changed') else ''
    words.append(f'commit {str(environment["commit"])[:12]}{changed}')
  return ', '.join(words)
