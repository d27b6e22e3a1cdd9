"""Writes the report of the study, and the table that it is computed from."""

import csv
import math
import pathlib
from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import Float

from studies.convolutions.definition import (
  DIRECTIONS,
  RULES,
  SMALL_DIRECTIONS,
  Direction,
  comparisons,
)
from train.problem.comparison import Comparison
from train.storage.tables import progress_of, read_table, run_directory
from train.system.environment import commit_words, environment
from train.system.statistics import estimate, format_estimate, holm, p_value

ENDPOINTS = ('train_loss', 'loss_spread')
# By arm, one value per seed; NaN if the run diverged or is not finished.
Values = Mapping[str, Float[np.ndarray, ' seeds']]


def write_report(workdir: pathlib.Path, output: pathlib.Path) -> str:
  """Writes report.md and runs.csv of the finished runs.

  Args:
    workdir: The folder of the runs.
    output: The folder for the report.

  Returns:
    The report.
  """
  found = {one.name: endpoints_of(one, workdir / one.name) for one in comparisons()}
  output.mkdir(parents=True, exist_ok=True)
  _write_runs(output / 'runs.csv', found)
  small = found['figure4-small']['test_error']
  made = environment()
  lines = [
    '# Does the theory hold for a network with convolutions?',
    '',
    f'`python -m studies.convolutions`, report: commit {commit_words(made)}, '
    f'{made["machine"]} CPU. What is asked, run and predicted was committed before the runs: '
    f'`studies/convolutions/definition.py`. {_finished(found)}; 95 % intervals over seeds; every run '
    'is in [runs.csv](runs.csv).',
    '',
    '## WRN-10-1, 5,000 images of CIFAR-10, batch 8, momenta .45 and .95',
    '',
    'Half the difference between the directions (high momentum in the high-loss phase, minus high '
    'momentum in the low-loss phase) of (LCAM - yoked) / yoked, in percent, after the last step; '
    'p by Holm over the four.',
    '',
    '| rule | endpoint | predicted | measured | p | seeds | high: LCAM - yoked | low: LCAM - yoked |',
    '|---|---|---|---|---|---|---|---|',
    *_confirmation(found),
    '',
    '## Figure 4 in small: WRN-10-1, 5,000 images of CIFAR-100, batch 128, momenta .9 and .95',
    '',
    'Differences of test error, in percentage points.',
    '',
    '| difference | predicted | measured |',
    '|---|---|---|',
    *_small(small),
    '',
    'Test errors: '
    + ', '.join(
      f'{arm} {known.mean():.1f} %' for arm, values in small.items() if len(known := _known(values))
    )
    + '.',
  ]
  report = '\n'.join(lines) + '\n'
  (output / 'report.md').write_text(report)
  return report


def endpoints_of(comparison: Comparison, workdir: pathlib.Path) -> dict[str, Values]:
  """Returns the final values of a comparison's runs, by endpoint.

  Args:
    comparison: The comparison.
    workdir: The folder of its runs.
  """
  columns = ('test_loss', comparison.metric_column)

  def last(value: Callable[..., float]) -> Values:
    def of_run(arm, seed):
      directory = run_directory(workdir, arm.name, seed)
      done, diverged = progress_of(directory)
      if diverged or done < comparison.epochs:
        return math.nan
      table = read_table(directory / 'metrics.csv', columns)
      return value(*(table[column][-1] for column in columns))

    return {
      arm.name: np.array([of_run(arm, seed) for seed in comparison.seeds])
      for arm in comparison.arms
    }

  if comparison.name not in RULES:
    return {'test_error': last(lambda loss, error: error)}
  # The test split holds the training images, and the metric is the square of their losses.
  return {
    'train_loss': last(lambda loss, square: loss),
    'loss_spread': last(lambda loss, square: math.sqrt(square - loss**2)),
  }


def relative(values: Values, direction: Direction) -> Float[np.ndarray, ' seeds']:
  """Returns (LCAM - yoked) / mean of yoked in a direction, by seed; NaN if one of them diverged."""
  own, yoked = values[direction.lcam.name], values[direction.yoked.name]
  return (own - yoked) / np.nanmean(yoked)


def _confirmation(found: Mapping[str, Mapping[str, Values]]) -> list[str]:
  predicted = {
    ('algorithm1', 'train_loss'): '-0.5 to +0.5',
    ('algorithm1', 'loss_spread'): '-7 to -13, shown',
  }
  names = {'train_loss': 'training loss', 'loss_spread': 'spread of the training losses'}
  cells = [(rule, endpoint) for rule in RULES for endpoint in ENDPOINTS]
  parts = {
    cell: [100 * relative(found[cell[0]][cell[1]], DIRECTIONS[name]) for name in ('high', 'low')]
    for cell in cells
  }
  values = {cell: _known((high - low) / 2) for cell, (high, low) in parts.items()}
  p_values = holm([p_value(values[cell]) for cell in cells])
  return [
    f'| {cell[0]} | {names[cell[1]]} | {predicted.get(cell, "0")} | {_text(values[cell])} | {p:.2g} | '
    f'{len(values[cell])} | {_text(_known(parts[cell][0]))} | {_text(_known(parts[cell][1]))} |'
    for cell, p in zip(cells, p_values, strict=True)
  ]


def _small(errors: Values) -> list[str]:
  high, low = SMALL_DIRECTIONS['high'], SMALL_DIRECTIONS['low']
  rows = (
    (
      'LCAM, high momentum in the high-loss phase - in the low-loss phase',
      'not 0',
      high.lcam,
      low.lcam,
    ),
    ('the same of their yoked runs', 'as much', high.yoked, low.yoked),
    ('high momentum in the high-loss phase: LCAM - yoked', '0', high.lcam, high.yoked),
    ('high momentum in the low-loss phase: LCAM - yoked', '0', low.lcam, low.yoked),
  )
  return [
    f'| {words} | {predicted} | {_text(_known(errors[one.name] - errors[other.name]))} |'
    for words, predicted, one, other in rows
  ]


def _finished(found: Mapping[str, Mapping[str, Values]]) -> str:
  runs = [
    values for endpoints in found.values() for values in next(iter(endpoints.values())).values()
  ]
  finite = sum(int(np.isfinite(values).sum()) for values in runs)
  return f'{finite} of {sum(map(len, runs))} runs are finished and have not diverged'


def _known(values: Float[np.ndarray, ' seeds']) -> Float[np.ndarray, ' known']:
  return values[~np.isnan(values)]


def _text(values: Float[np.ndarray, ' seeds']) -> str:
  return format_estimate(estimate(values), '+') if len(values) else 'not run yet'


def _write_runs(path: pathlib.Path, found: Mapping[str, Mapping[str, Values]]) -> None:
  with path.open('w', newline='') as file:
    writer = csv.writer(file, lineterminator='\n')
    writer.writerow(('comparison', 'arm', 'seed', 'endpoint', 'value'))
    seeds = {one.name: one.seeds for one in comparisons()}
    for name, endpoints in found.items():
      for endpoint, arms in endpoints.items():
        for arm, values in arms.items():
          for seed, value in zip(seeds[name], values, strict=True):
            writer.writerow((name, arm, seed, endpoint, f'{value:.7g}'))
