"""The sentences of a report."""

import collections
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from train.reports.contrasts import Contrast, Contrasts
from train.reports.read_runs import FoundRuns, Metric, all_equal
from train.reports.tables import Row, format_p

_ARMS = (
  'Arms: the value after the last epoch, mean over n seeds ± half-width of its 95 % confidence '
  "interval (Student t). Best: the mean of each run's best epoch, which is chosen on the test set "
  'and so flatters. High: share of steps in the high-loss phase, of yoked runs the one that they '
  "replay. s/epoch: median seconds of training, without evaluation and without each run's first "
  'epoch, which compiles, where there are others.'
)
_CONTRASTS = (
  'Differences: on the same seeds, ± half-width of the 95 % confidence interval; below zero the arm '
  'is better. Holm p: the p-value of no difference, adjusted for the number of differences in its '
  'table; one counts as shown if it is below 0.05.'
)
_NOT_COMPARED = {'commit', 'changed', 'versions', 'settings', 'together', 'lanes'}
_KINDS = {
  'yoked': 'A yoked run has the momenta that the LCAM run of another seed had, in the same order: '
  'the control that matches the schedule of momenta, warm-up included.',
  'coin': "A coin has the pair's momenta in about the proportion that LCAM would have, in an order "
  'of its own: a control of how often, not of when.',
  'direction': 'The other direction has another mean momentum, too, because most losses are low '
  'while they fall: the difference is not one of phases alone.',
}


def describe_contrast(contrast: Contrast, metric: Metric, spec: str) -> str:
  """Returns a sentence that says whether a difference was shown."""
  arm, other = contrast.arm, contrast.other
  difference, half_width = contrast.estimate
  seeds = 'one seed' if contrast.seeds == 1 else f'{contrast.seeds} seeds'
  if math.isnan(contrast.holm_p):
    return f'{arm}: {seeds} cannot tell a difference to {other} from noise; run more.'
  if contrast.shown:
    side = 'lower' if difference < 0 else 'higher'
    return (
      f'{arm}: a {side} {metric.name} than {other} was shown, by {abs(difference):{spec}} '
      f'± {half_width:{spec}}{metric.unit} ({seeds}, Holm p {format_p(contrast.holm_p)}).'
    )
  alone = ''
  if abs(difference) > half_width:
    alone = '; alone its interval excludes zero, but not after the adjustment for all differences'
  return f'{arm}: no difference to {other} was shown{alone} (Holm p {format_p(contrast.holm_p)}).'


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
  with_baseline = {row.arm for row in compared.rows if row.kind == 'baseline'}
  for row in rows:
    for seed, done in row.unfinished.items():
      of = f'{done} of {found.config["epochs"]} epochs'
      sentences.append(f'{row.arm}: seed {seed} is unfinished ({of}) and not in the mean.')
    if row.seeds > 1 and all_equal(
      [found.runs[row.arm][seed] for seed in found.seeds(row.arm, 'finished')]
    ):
      sentences.append(
        f'{row.arm}: its {row.seeds} runs are equal, number by number, and tell no interval: let the '
        'network draw its weights with `rngs`, or make batches smaller than the data.'
      )
    not_finite = f'its test loss or {found.metric.label} is NaN or infinite'
    for words, lost in (('diverged', row.diverged), (not_finite, row.not_finite)):
      if lost:
        seeds = ', '.join(map(str, lost))
        sentences.append(f'{row.arm}: {words} with seed {seeds}; not in the mean.')
    if row.last and row.arm != found.baseline and row.arm not in with_baseline:
      sentences.append(f'{row.arm}: no run of {found.baseline} on the same seeds to compare with.')
  return sentences


def notes(several: Iterable[Contrasts]) -> list[str]:
  """Returns sentences that explain the tables of a report."""
  kinds = {row.kind for compared in several for row in compared.rows}
  used = [words for kind, words in _KINDS.items() if kind in kinds]
  return [_ARMS, *([_CONTRASTS] if kinds else []), *used]


def setting(config: Mapping[str, Any]) -> dict[str, str]:
  """Returns what all runs of a comparison have in common, by its name in a report."""
  about, data = config['about'], config['dataset']
  if config['train_examples']:
    data += f', first {config["train_examples"]:,} examples'
  return {
    'network': about['network'],
    'data': data,
    'epochs': f'{config["epochs"]}',
    'batch size': f'{config["batch_size"]}',
    'schedule': about['schedule'],
    'weight decay': f'{config["weight_decay"]}',
    'rule': config['rule'],
    'computed in': config['dtype'],
    'metric': about['metric_label'],
  }


def setting_line(words: Mapping[str, str]) -> str:
  """Returns the setting, see :func:`setting`, as one sentence."""
  epochs = words['epochs']
  return (
    f'{words["network"]} on {words["data"]}; {epochs} epoch{"" if epochs == "1" else "s"}; batch '
    f'{words["batch size"]}; {words["computed in"]}; {words["schedule"]}.'
  )


def environment_lines(environments: Sequence[Mapping[str, Any]]) -> list[str]:
  """Returns a line for each distinct environment; an empty one was not recorded."""
  counts = collections.Counter(map(_environment_words, environments))
  if len(counts) == 1:
    return list(counts)
  return [f'{words} ({count} of {counts.total()} runs)' for words, count in counts.items()]


def _differing(environments: Sequence[Mapping[str, Any]]) -> list[str]:
  """Returns what differs between environments, besides commit and group of runs."""
  found: dict[str, dict[str, None]] = {}  # the values by name, in order
  for environment in filter(None, environments):
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
