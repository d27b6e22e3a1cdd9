"""Writes the report of the study, from the cells that are done.

python -m studies.dispersion.report
"""

import pathlib
from typing import Annotated

import numpy as np
import tyro

from studies.dispersion import definition
from studies.dispersion.analysis import (
  Pairs,
  complete,
  log_direction,
  pooled_contrast,
  seen_before_memory,
  shares,
  tested,
)
from studies.dispersion.contrasts import (
  Pair,
  contrast,
  correlation_of_neighbours,
  is_equivalent_to_zero,
  of_seeds,
  ratio,
  read_pairs,
  slopes,
)
from studies.dispersion.plot import plot_doses
from studies.dispersion.tables import write_cells, write_contrasts
from studies.problems import TRAIN_EXAMPLES
from train.system.environment import commit_words, environment, read_environment
from train.system.statistics import Estimate, format_estimate

_LARGEST = max(definition.DELTAS)
_PLOT = (
  'A point is a problem, a batch size and a delta, with its 95 % interval. Above, by the dose: the '
  'theory without the memory of the mean expects blue points beside the grey triangles, and orange '
  'ones at zero. Below, by what the theory with that memory predicts: the effect of weighted gradients '
  'times the share of luck that is left. On the line it is right.'
)
_WORDS = {'train_loss': 'training loss', 'loss_spread': 'spread of the training losses'}


def write_report(directory: pathlib.Path, output: pathlib.Path) -> str:
  """Writes tables, plot and report.

  Args:
    directory: The folder of the cells.
    output: The folder for the results.

  Returns:
    The report.
  """
  output.mkdir(parents=True, exist_ok=True)
  pairs = read_pairs(directory)
  write_cells(output / 'cells.csv', pairs)
  write_contrasts(output / 'contrasts.csv', pairs)
  by_rule = {rule: tested(pairs, rule, 'train_loss') for rule in definition.RULES}
  plot_doses(output)
  lines = [
    *_head(pairs, directory),
    *_verdicts(by_rule),
    *_pooled(pairs),
    *_slopes(pairs, 'train_loss'),
    *_slopes(pairs, 'loss_spread'),
    *_memory(pairs, 'train_loss'),
    *_memory(pairs, 'loss_spread'),
    *_mechanism(pairs),
    *_directions(pairs),
    *_every_cell(by_rule),
  ]
  report = '\n'.join(lines) + '\n'
  (output / 'report.md').write_text(report)
  return report


def _head(pairs: Pairs, directory: pathlib.Path) -> list[str]:
  made, runs_made = environment(), read_environment(directory)
  all_pairs = len(list(definition.cells())) // 2
  runs = sum(
    len(values['train_loss'])
    for tables in pairs.values()
    for table in tables.values()
    for values in table.values()
  )
  return [
    '# Is LCAM an implicit penalty on the dispersion of the losses?',
    '',
    f'`python -m studies.dispersion` (runs: commit {str(runs_made.get("commit"))[:7]}; report: commit '
    f'{commit_words(made)}; {made["machine"]} CPU, '
    f'one core). {len(pairs)} of {all_pairs} pairs of cells, {runs:,} runs, {len(definition.SEEDS)} '
    'seeds of every arm. What is asked, run and compared was committed before the runs: '
    '`studies/dispersion/definition.py`; the theory is docs/theory.md.',
    '',
    'All effects are of the primary endpoint, the training loss after the last step, and are half the '
    'difference between the directions (high momentum in the high-loss phase minus high momentum in '
    'the low-loss phase) of (LCAM - yoked) / yoked, in percent, with 95 % intervals; negative is what '
    'a penalty on the dispersion does. *weights* is the theory in its purest form: fixed momentum, '
    'gradients multiplied by `1 + delta * (s - mean s)`.',
    '',
    '![dose and response, training loss](dose-response-training-loss.png)',
    f'*Training loss. {_PLOT}*',
    '',
    '![dose and response, spread of the losses](dose-response.png)',
    f'*Spread of the training losses. {_PLOT}*',
  ]


def _verdicts(by_rule) -> list[str]:
  lines = ['', '## Verdicts, cell by cell (Holm over the cells of a rule)', '']
  lines += [
    '| rule | cells | shown below 0 | shown above 0 | equivalent to 0 (± 0.5 %) | no verdict |'
  ]
  lines += ['|---|---|---|---|---|---|']
  for rule, found in by_rule.items():
    below = sum(one.shown and one.estimate.mean < 0 for one in found)
    above = sum(one.shown and one.estimate.mean > 0 for one in found)
    equivalent = sum(one.equivalent for one in found)
    without = sum(not one.contrast.usable for one in found)
    lines.append(f'| {rule} | {len(found)} | {below} | {above} | {equivalent} | {without} |')
  correlations = [
    correlation_of_neighbours(one.contrast.values)
    for rule in ('algorithm1', 'equation9')
    for one in by_rule[rule]
    if one.contrast.usable
  ]
  if correlations:
    mean = float(np.mean(correlations))
    lines += [
      '',
      'A yoked run replays the phases of the next seed, so that contrasts of neighbouring seeds are '
      f'correlated, by {mean:+.2f} on average over the cells of LCAM. The intervals, as registered, '
      'take seeds as independent: the standard error of a cell is '
      f'{max(0.0, 1 + 2 * mean) ** 0.5:.2f} times theirs, so that they are too '
      f'{"wide" if mean < 0 else "narrow"}.',
    ]
  return lines


def _pooled(pairs: Pairs) -> list[str]:
  lines = [
    '',
    '## Pooled over problems',
    '',
    'Problems of which all three rules are done. In the column of equation9, = marks what is '
    'equivalent to 0. The spread is the standard deviation of the losses of the training examples.',
    '',
    '| delta | batch | problems | algorithm1 | weights | equation9 | algorithm1, spread | '
    'algorithm1, test loss | algorithm1, test error |',
    '|---|---|---|---|---|---|---|---|---|',
  ]
  for delta in definition.DELTAS:
    for batch_size in definition.EPOCHS:
      problems = complete(pairs, delta, batch_size)
      if not problems:
        continue

      def cell(rule, endpoint='train_loss', delta=delta, batch_size=batch_size, problems=problems):
        chosen = [Pair(problem, batch_size, delta, rule) for problem in problems]
        values = pooled_contrast(pairs, chosen, 'lcam', 'yoked', endpoint)
        text = _percent(of_seeds(values))
        return f'{text} =' if rule == 'equation9' and is_equivalent_to_zero(values) else text

      endpoints = [cell('algorithm1', name) for name in definition.ENDPOINTS[1:]]
      rules = [cell(rule) for rule in ('algorithm1', 'weights', 'equation9')]
      lines.append(
        f'| {delta} | {batch_size} | {len(problems)} | {" | ".join(rules + endpoints)} |'
      )
  return lines


def _slopes(pairs: Pairs, endpoint: str) -> list[str]:
  lines = [
    '',
    f'## Slope against delta / sqrt(batch), {_WORDS[endpoint]}',
    '',
    'Through the origin, cells weighed by their inverse variance; in percent per 0.1. The predicted '
    'slope of algorithm1 is that of *weights*, the predicted ratio 1; that of equation9 is 0.',
    '',
    '| problem | cells | algorithm1 | predicted (weights) | ratio | equation9 |',
    '|---|---|---|---|---|---|',
  ]
  for problem in definition.LEARNING_RATES:
    done = [
      (batch_size, delta)
      for delta in definition.DELTAS
      for batch_size in definition.EPOCHS
      if problem in complete(pairs, delta, batch_size)
    ]
    if not done:
      continue
    found = {}
    for rule in definition.RULES:
      chosen = [Pair(problem, batch_size, delta, rule) for batch_size, delta in done]
      found[rule] = slopes(
        chosen, [contrast(pair, pairs[pair], 'lcam', 'yoked', endpoint) for pair in chosen]
      )
    own, predicted, null = (
      _percent(of_seeds(0.1 * found[rule])) for rule in ('algorithm1', 'weights', 'equation9')
    )
    quotient = format_estimate(ratio(found['algorithm1'], found['weights']))
    lines.append(f'| {problem} | {len(done)} | {own} | {predicted} | {quotient} | {null} |')
  return lines


def _memory(pairs: Pairs, endpoint: str) -> list[str]:
  lines = [
    '',
    f'## The memory of the running mean, {_WORDS[endpoint]}',
    '',
    'Found in the first cells and committed before the others were run '
    '(`studies/dispersion/memory.py`): how large the effects of two kinds of runs are, one divided by '
    'the other. Pooled over problems, and over deltas but for luck. *New* cells had not been seen.',
    '',
    '| batch | steps per epoch | ratio | predicted | cells | measured | new cells | measured |',
    '|---|---|---|---|---|---|---|---|',
  ]
  for batch_size in definition.EPOCHS:
    left = shares(batch_size)
    rows = (
      ('equation9 / algorithm1', 'equation9', 'algorithm1', left.equation9 / left.algorithm1),
      ('algorithm1 / weights', 'algorithm1', 'weights', left.algorithm1 / left.weights),
      ('equation9 / weights', 'equation9', 'weights', left.equation9 / left.weights),
      ('luck / weights', 'luck', 'weights', 0.5**0.5 * left.algorithm1 / left.weights),
    )
    for name, top, bottom, predicted in rows:
      measured = [
        cell
        for only_new in (False, True)
        for cell in _measured_ratio(pairs, batch_size, top, bottom, only_new, endpoint)
      ]
      steps = TRAIN_EXAMPLES // batch_size
      lines.append(
        f'| {batch_size} | {steps} | {name} | {predicted:+.2f} | {" | ".join(measured)} |'
      )
  return lines


def _measured_ratio(
  pairs: Pairs, batch_size: int, top: str, bottom: str, only_new: bool, endpoint: str
) -> tuple[str, str]:
  """Returns the number of cells and the ratio, as text."""
  places = [
    (problem, delta)
    for delta in ((_LARGEST,) if top == 'luck' else definition.DELTAS)
    for problem in complete(pairs, delta, batch_size)
    if not (only_new and seen_before_memory(Pair(problem, batch_size, delta, 'equation9')))
  ]
  if not places:
    return '0', '-'

  def pool(name):
    rule, arm = ('algorithm1', 'luck') if name == 'luck' else (name, 'lcam')
    chosen = [Pair(problem, batch_size, delta, rule) for problem, delta in places]
    partner = 'luck-yoked' if name == 'luck' else 'yoked'
    return pooled_contrast(pairs, chosen, arm, partner, endpoint)

  return str(len(places)), format_estimate(ratio(pool(top), pool(bottom)), '+')


def _mechanism(pairs: Pairs) -> list[str]:
  lines = [
    '',
    f'## Where the phase comes from, delta {_LARGEST}, algorithm1',
    '',
    '*Independent*: the phase of the loss of an independent batch with the same weights; predicted 0. '
    '*Luck*: of the loss minus the loss of that batch; predicted 0.71 of LCAM. Each minus its own '
    'yoked run, pooled over problems; = marks what is equivalent to 0.',
    '',
    '| batch | problems | LCAM | independent | luck | luck / LCAM |',
    '|---|---|---|---|---|---|',
  ]
  for batch_size in definition.EPOCHS:
    chosen = [
      Pair(problem, batch_size, _LARGEST, 'algorithm1')
      for problem in complete(pairs, _LARGEST, batch_size)
    ]
    if not chosen:
      continue
    own, independent, luck = (
      pooled_contrast(pairs, chosen, arm, partner, 'train_loss')
      for arm, partner in (
        ('lcam', 'yoked'),
        ('independent', 'independent-yoked'),
        ('luck', 'luck-yoked'),
      )
    )
    if independent is None or luck is None:
      continue
    null = f'{_percent(of_seeds(independent))}{" =" if is_equivalent_to_zero(independent) else ""}'
    lines.append(
      f'| {batch_size} | {len(chosen)} | {_percent(of_seeds(own))} | {null} | '
      f'{_percent(of_seeds(luck))} | {format_estimate(ratio(luck, own))} |'
    )
  return lines


def _directions(pairs: Pairs) -> list[str]:
  lines = [
    '',
    f'## Direction is mostly schedule, delta {_LARGEST}',
    '',
    'Training loss with the high momentum in the high-loss phase over that with the high momentum in '
    'the low-loss phase, geometric mean over problems: of LCAM, of its yoked runs, and of fixed '
    'momenta with the mean momentum (fixed-mean) or the mean total weight (fixed-rate) of LCAM in '
    'each direction.',
    '',
    '| rule | batch | problems | LCAM | yoked | fixed-mean | fixed-rate |',
    '|---|---|---|---|---|---|---|',
  ]
  for rule in ('algorithm1', 'equation9'):
    for batch_size in definition.EPOCHS:
      chosen = [
        Pair(problem, batch_size, _LARGEST, rule)
        for problem in complete(pairs, _LARGEST, batch_size)
      ]
      if not chosen:
        continue
      arms = ('lcam', 'yoked', *definition.FIXED)
      ratios = [_ratio_of_logs(of_seeds(log_direction(pairs, chosen, arm))) for arm in arms]
      lines.append(f'| {rule} | {batch_size} | {len(chosen)} | {" | ".join(ratios)} |')
  return lines


def _every_cell(by_rule) -> list[str]:
  lines = [
    '',
    '## Every cell',
    '',
    'The p-value is that of algorithm1 after Holm; excluded seeds of algorithm1, equation9, weights.',
    '',
    '| problem | batch | delta | algorithm1 | p | equation9 | weights | excluded |',
    '|---|---|---|---|---|---|---|---|',
  ]
  places: dict[tuple, dict] = {}
  for rule, found in by_rule.items():
    for one in found:
      place = (one.pair.problem, one.pair.batch_size, one.pair.delta)
      places.setdefault(place, {})[rule] = one
  for place in sorted(places):
    rules = places[place]

    def cell(rule, rules=rules):
      return _percent(rules[rule].estimate) if rule in rules else '-'

    p = f'{rules["algorithm1"].adjusted_p:.1g}' if 'algorithm1' in rules else '-'
    excluded = ', '.join(str(rules[rule].contrast.excluded) for rule in rules)
    lines.append(
      f'| {" | ".join(map(str, place))} | {cell("algorithm1")} | {p} | {cell("equation9")} | '
      f'{cell("weights")} | {excluded} |'
    )
  return lines


def _percent(value: Estimate) -> str:
  return format_estimate(Estimate(100 * value.mean, 100 * value.half_width), '+')


def _ratio_of_logs(value: Estimate) -> str:
  low, high = np.exp([value.mean - value.half_width, value.mean + value.half_width])
  return f'{np.exp(value.mean):.2f} ({low:.2f} to {high:.2f})'


def main(
  workdir: Annotated[pathlib.Path, tyro.conf.arg(help='the folder of the runs')] = pathlib.Path(
    'runs/dispersion'
  ),
  output: Annotated[pathlib.Path, tyro.conf.arg(help='the folder for the report')] = pathlib.Path(
    'results/dispersion'
  ),
) -> None:
  """Writes the report of the cells that are done."""
  print(write_report(workdir, output))


if __name__ == '__main__':
  tyro.cli(main)
