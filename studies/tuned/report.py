"""Writes the report of the study, from the repeats that are done.

python -m studies.tuned.report
"""

import csv
import pathlib
from collections.abc import Mapping
from typing import Annotated

import numpy as np
import tyro

from studies.tuned import definition
from studies.tuned.analysis import (
  COMPARED,
  CONTROLS,
  Results,
  Tested,
  averaged,
  by_setting,
  listed,
  marked,
  near_ends,
  p_value,
  read_results,
)
from studies.tuned.definition import FIXED, FIXED_12_FOLD, FIXED_AGAIN, LCAM, LCAM_BEST
from studies.tuned.followup_report import (
  followup_answer,
  followup_lines,
  read_followup,
  write_followup,
)
from studies.tuned.plot import plot_differences, plot_summary
from train.system.environment import commit_words, environment, read_environment
from train.system.statistics import Estimate, estimate, format_estimate

_LCAM_NAMES = tuple(method.name for method in LCAM)


def write_report(directory: pathlib.Path, output: pathlib.Path) -> str:
  """Writes tables, plot and report.

  Args:
    directory: The folder of the cells.
    output: The folder for the results.

  Returns:
    The report.
  """
  output.mkdir(parents=True, exist_ok=True)
  results = read_results(directory)
  _write_repeats(output / 'repeats.csv', results)
  _write_differences(output / 'differences.csv', results)
  plot_summary(output / 'summary.png', results)
  plot_differences(output / 'differences.png', results)
  followup = read_followup(results, directory)
  if followup:
    write_followup(output / 'followup.csv', followup)
  lines = [
    *_head(results, directory),
    *_answers(results),
    *([followup_answer(followup)] if followup else []),
    *_averages(results),
    *_luck(results),
    *_half(results),
    *(followup_lines(followup) if followup else ()),
    *_settings(results),
    *_choices(results),
  ]
  report = '\n'.join(lines) + '\n'
  (output / 'report.md').write_text(report)
  return report


def _head(results: Results, directory: pathlib.Path) -> list[str]:
  made, runs_made = environment(), read_environment(directory)
  methods = len(definition.METHODS)
  tuning_runs = definition.POINTS * definition.TUNING_SEEDS
  tested = 2 * (methods + 2) * definition.FINAL_SEEDS
  runs = (
    results.repeats
    * len(definition.settings())
    * ((methods + definition.FURTHER_TUNINGS) * tuning_runs + tested)
  )
  return [
    '# Does LCAM help, when everything is tuned?',
    '',
    f'`python -m studies.tuned` (runs: commit {str(runs_made.get("commit"))[:7]}; report: commit '
    f'{commit_words(made)}; {made["machine"]} CPU, '
    f'one core). {results.repeats} of {definition.REPEATS} repeats are done, {runs:,} runs. What is '
    'asked, run and compared was committed before the runs: `studies/tuned/definition.py`.',
    '',
    f'SGD with a fixed momentum, {len(LCAM)} variants of LCAM (rule, direction of the higher '
    'momentum, delta), direct reweighting of the gradients and MoMo; three problems, batches of 8, 32 '
    f'and 128. Learning rate and momentum of each are tuned on validation examples: {tuning_runs} '
    'runs, the same points and seeds for all. Then each trains with '
    f'{definition.FINAL_SEEDS} fresh seeds, and the test examples are looked at for the first time. '
    f'All of that, tuning included, is repeated {results.repeats} times '
    f'({results.repeats * definition.FINAL_SEEDS} fresh seeds in all).',
    '',
    '**How to read it**: numbers are the difference to tuned fixed momentum, in percent of its test '
    'error (-1 means: 4.95 % of the answers are wrong instead of 5 %); below 0 is better. After ± is '
    'half the 95 % interval over the repeats: an effect beyond it is unlikely. * marks a difference '
    'that is *shown*: p < 0.05 after Holm for the number of comparisons.',
    '',
    '![summary](summary.png)',
    '*Test error, all epochs, averaged over the nine settings: difference to tuned fixed momentum with its '
    '95 % interval. The first twelve rows are LCAM (rule, phase with the higher momentum, delta); reweigh is '
    'the theory; the last three are controls.*',
  ]


def _answers(results: Results) -> list[str]:
  lines = ['', '## The answers', '']
  full = averaged(results, 'test_error', 'full')
  better, worse = _shown({name: full[name] for name in _LCAM_NAMES})
  best = min(_LCAM_NAMES, key=lambda name: full[name].estimate.mean)
  lines.append(
    f'- **Does LCAM help?** Averaged over the nine settings, {len(better)} of {len(LCAM)} variants '
    f'are shown better than tuned fixed momentum{listed(better)}, and {len(worse)} worse'
    f'{listed(worse)}: by the rule that was registered, it {"does" if better else "does not"}. The '
    f'best mean is that of {best}: {_percent(full[best].estimate)} %. '
    f'{_least(full)}'
  )
  cells = by_setting(results, 'test_error', 'full')
  of_lcam = {key: one for key, one in cells.items() if key[0] in _LCAM_NAMES}
  better, worse = _shown(of_lcam)
  lines.append(
    f'- **In any one setting?** Of {len(of_lcam)} comparisons of LCAM (12 variants, 9 settings), '
    f'{len(better)} are shown better and {len(worse)} worse.'
  )
  both = results.pooled(LCAM_BEST, against=FIXED_12_FOLD)
  lines.append(
    '- **Is tuning rule, direction and delta as well worth it?** The variant with the lowest '
    f'validation loss, against fixed momentum with as much tuning (twelve tunings): '
    f'{_percent(estimate(both))} % (p = {p_value(both):.2g}); against fixed momentum with a twelfth '
    f'of it: {_percent(estimate(results.pooled(LCAM_BEST)))} %.'
  )
  rivals = {method.name: full[method.name] for method in definition.RIVALS}
  better, worse = _shown(rivals)
  lines.append(
    f'- **The rivals**: of {len(rivals)}, {len(better)} are shown better than fixed momentum'
    f'{listed(better)}, and {len(worse)} worse{listed(worse)}.'
  )
  fixed = estimate(results.pooled(FIXED.name, part='half', against_part='full'))
  halves = {name: results.pooled(name, part='half', against_part='full') for name in _LCAM_NAMES}
  best = min(_LCAM_NAMES, key=lambda name: halves[name].mean())
  lines.append(
    f'- **Half the epochs?** With half of them, tuned for it, the best variant ({best}) is at '
    f'{_percent(estimate(halves[best]))} % of tuned fixed momentum with all of them; fixed momentum '
    f'with half of them is at {_percent(fixed)} %.'
  )
  return lines


def _least(tested: Mapping[str, Tested]) -> str:
  intervals = [tested[name].estimate for name in _LCAM_NAMES]
  least = min(one.mean - one.half_width for one in intervals)
  return f'No interval of a variant reaches below {least:+.2f} %.'


def _averages(results: Results) -> list[str]:
  lines = [
    '',
    '## Averaged over the nine settings',
    '',
    'The last column: in how many settings a method is shown better, and worse, than fixed momentum '
    f'(test error, all epochs; Holm over {len(COMPARED)} methods by 9 settings). The controls are no '
    'part of the families.',
    '',
    '| method | test error | test loss | test error, half the epochs | test loss, half | '
    'settings better, worse |',
    '|---|---|---|---|---|---|',
  ]
  families = [
    averaged(results, endpoint, part)
    for part in reversed(definition.PARTS)
    for endpoint in definition.ENDPOINTS
  ]
  cells = by_setting(results, 'test_error', 'full')
  for name in COMPARED:
    of_method = {setting: one for (method, setting), one in cells.items() if method == name}
    better, worse = _shown(of_method)
    numbers = ' | '.join(marked(family[name]) for family in families)
    lines.append(f'| {name} | {numbers} | {len(better)}, {len(worse)} |')
  for name in CONTROLS:
    numbers = ' | '.join(
      _percent(estimate(results.pooled(name, endpoint, part)))
      for part in reversed(definition.PARTS)
      for endpoint in definition.ENDPOINTS
    )
    lines.append(f'| *{name}* | {numbers} | - |')
  return lines


def _luck(results: Results) -> list[str]:
  names = [FIXED_AGAIN, *_LCAM_NAMES]
  lines = [
    '',
    '## How much is the luck of tuning?',
    '',
    f'`{FIXED_AGAIN}` is fixed momentum, tuned with other points and seeds. One tuning differs from '
    'another by as much as this (standard deviation of the difference over repeats, test error, all '
    'epochs, in percent), beside the median of the variants of LCAM, which have the points and seeds '
    'of `fixed`:',
    '',
    '| problem | batch | tuned again | LCAM |',
    '|---|---|---|---|',
  ]
  for setting in definition.settings():
    spread = {name: np.std(results.difference(setting, name), ddof=1) for name in names}
    median = np.median([spread[name] for name in _LCAM_NAMES])
    place = f'| {setting.problem_name} | {setting.batch_size} |'
    lines.append(f'{place} {spread[FIXED_AGAIN]:.1f} | {median:.1f} |')
  lines += [
    '',
    'So a single tuning of each method cannot tell differences below about twice these numbers, '
    'however many seeds are trained afterwards.',
  ]
  return lines


def _half(results: Results) -> list[str]:
  lines = [
    '',
    '## Half the epochs',
    '',
    'Test error with half the epochs, against tuned fixed momentum with **all** of them; each tuned '
    f'for its number of epochs. *Enough*: in how many settings the interval ends below '
    f'+{definition.ENOUGH:.0f} %; *not enough*: in how many it begins above 0 (both, where what is lost '
    'is small and certain). *Gap closed*: how much of what fixed momentum loses with half the '
    'epochs the method wins back, on average.',
    '',
    '| method, half the epochs | against fixed, all epochs | gap closed (%) | enough | not enough |',
    '|---|---|---|---|---|',
  ]
  options = {'part': 'half', 'against_part': 'full'}
  gap = results.pooled(FIXED.name, **options)
  for name in (FIXED.name, *COMPARED, *CONTROLS):
    pooled = results.pooled(name, **options)
    found = [
      estimate(results.difference(setting, name, **options)) for setting in definition.settings()
    ]
    enough = sum(one.mean + one.half_width < definition.ENOUGH for one in found)
    not_enough = sum(one.mean - one.half_width > 0 for one in found)
    closed = 100 * (gap - pooled) / gap.mean()
    shown = '-' if name == FIXED.name else format_estimate(estimate(closed), '+', 1)
    lines.append(
      f'| {name} | {_percent(estimate(pooled))} | {shown} | {enough} of 9 | {not_enough} of 9 |'
    )
  return lines


def _settings(results: Results) -> list[str]:
  cells = by_setting(results, 'test_error', 'full')
  lines = [
    '',
    '## Every setting',
    '',
    'Test error of tuned fixed momentum in percent of the answers, with all and half the epochs; then '
    'the lowest and the highest mean difference of a variant of LCAM (all epochs). The best of twelve '
    'is below 0 by luck alone: look for the *. All differences are in differences.csv.',
    '',
    '![differences](differences.png)',
    '*The same as in the first figure, in each setting.*',
    '',
    '| problem | batch | fixed | fixed, half | best LCAM | worst LCAM | momo |',
    '|---|---|---|---|---|---|---|',
  ]
  for setting in definition.settings():
    levels = [
      f'{100 * results.tuned[setting, FIXED.name, part].test_error.mean():.2f}'
      for part in reversed(definition.PARTS)
    ]
    ordered = sorted(_LCAM_NAMES, key=lambda name: cells[name, setting].estimate.mean)
    best, worst = (f'{name}: {marked(cells[name, setting])}' for name in (ordered[0], ordered[-1]))
    place = f'| {setting.problem_name} | {setting.batch_size} |'
    momo = marked(cells['momo', setting])
    lines.append(f'{place} {" | ".join(levels)} | {best} | {worst} | {momo} |')
  return lines


def _choices(results: Results) -> list[str]:
  lines = [
    '',
    '## What was chosen',
    '',
    'How often the best point lay in the lowest or highest 14th of a range (7 % each if nothing '
    'mattered), in percent of the tunings: where that is often, a wider search might find better. '
    'Then the median of the chosen mean momentum, all epochs, and how many of the fresh runs ended '
    'with the loss of a guess or more: a method with such runs was tuned to the edge of what is '
    'stable, where four seeds do not see the runs that fail.',
    '',
    '| method | rate, low end | rate, high end | momentum, low end | high end | median momentum | '
    'a guess (%) |',
    '|---|---|---|---|---|---|---|',
  ]
  for name in (FIXED.name, *COMPARED):
    ends = ' | '.join(f'{100 * share:.0f}' for share in near_ends(results, [name]).flat)
    chosen = [results.tuned[setting, name, 'full'] for setting in definition.settings()]
    momentum = np.median([tuned.momentum for tuned in chosen])
    guesses = 100 * np.mean([tuned.guesses for tuned in chosen])
    lines.append(f'| {name} | {ends} | {momentum:.2f} | {guesses:.2f} |')
  return lines


def _write_repeats(path: pathlib.Path, results: Results) -> None:
  """Writes the choice and the results of every repeat: means over its fresh seeds."""
  columns = ('effective_rate', 'momentum', 'validation_loss', *definition.ENDPOINTS)
  with path.open('w', newline='') as file:
    writer = csv.writer(file, lineterminator='\n')
    writer.writerow(('problem', 'batch', 'method', 'part', 'repeat', *columns))
    for (setting, name, part), tuned in results.tuned.items():
      for repeat in range(results.repeats):
        numbers = (f'{getattr(tuned, column)[repeat]:.5g}' for column in columns)
        writer.writerow((setting.problem_name, setting.batch_size, name, part, repeat, *numbers))


def _write_differences(path: pathlib.Path, results: Results) -> None:
  """Writes the differences to fixed momentum in percent, by setting and averaged."""
  head = ('problem', 'batch', 'method', 'part', 'endpoint', 'difference', 'half_width', 'holm_p')
  with path.open('w', newline='') as file:
    writer = csv.writer(file, lineterminator='\n')
    writer.writerow(head)
    for part in definition.PARTS:
      for endpoint in definition.ENDPOINTS:
        rows = {
          ('all', 'all', name): one for name, one in averaged(results, endpoint, part).items()
        }
        for (name, setting), one in by_setting(results, endpoint, part).items():
          rows[setting.problem_name, setting.batch_size, name] = one
        for place, one in rows.items():
          numbers = (f'{number:.4g}' for number in (*one.estimate, one.adjusted_p))
          writer.writerow((*place, part, endpoint, *numbers))


def _shown(tested: Mapping) -> tuple[list, list]:
  """Returns the keys of the differences that are shown below 0, and of those shown above."""
  better = [key for key, one in tested.items() if one.shown and one.estimate.mean < 0]
  worse = [key for key, one in tested.items() if one.shown and one.estimate.mean > 0]
  return better, worse


def _percent(value: Estimate) -> str:
  return format_estimate(value, '+')


def main(
  workdir: Annotated[pathlib.Path, tyro.conf.arg(help='the folder of the runs')] = pathlib.Path(
    'runs/tuned'
  ),
  output: Annotated[pathlib.Path, tyro.conf.arg(help='the folder for the report')] = pathlib.Path(
    'results/tuned'
  ),
) -> None:
  """Writes the report of the repeats that are done."""
  print(write_report(workdir, output))


if __name__ == '__main__':
  tyro.cli(main)
