"""Writes the report of the study: the rise, beside the trainer's own report."""

import pathlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from jaxtyping import Float
from rich.console import Console

from studies.figure3.definition import EARLY, LATE, STAGES, Size, factor, rise, window
from train.problem.experiments import FIGURE_3
from train.reports import report, words
from train.reports.contrasts import Contrasts, contrasts
from train.reports.curves import PAPER_EPOCHS, Line, Panel, panels, published_curves
from train.reports.files import write_csv
from train.reports.plots import draw_curves, write_png
from train.reports.read_runs import FoundRuns, Metric, Run, find_runs
from train.reports.tables import Column, Table, contrast_columns, markdown_table
from train.system.files import write_whole
from train.system.statistics import estimate, format_estimate

_RISE = Metric('rise', 'rise of the test error')
_SPEC = '.2f'
_PUBLISHED = published_curves('figure3', 'cifar10')


def write_report(output: pathlib.Path, size: Size, console: Console) -> None:
  """Writes rise.md, rise.csv and rise.png of the finished runs, after the trainer's report on them.

  Args:
    output: The folder with the tables of the runs.
    size: What was to be run.
    console: Where the trainer's report, and what was shown of the rise, are printed.
  """
  report(output, console)
  found = find_runs(output)[output]
  finished = {
    arm: {seed: runs[seed] for seed in found.seeds(arm, 'finished')}
    for arm, runs in found.runs.items()
  }
  compared = contrasts(with_rises(found))
  verdict = words.outcomes(compared.rows, _RISE, _SPEC)
  for sentence in verdict:
    console.print(f'* {sentence}', highlight=False, markup=False)
  write_whole(output / 'rise.md', _text(finished, compared, verdict, size))
  rows = [
    (arm, seed, rise(run['metric']), factor(run['train_loss']))
    for arm, runs in finished.items()
    for seed, run in runs.items()
  ]
  write_csv(output / 'rise.csv', ('arm', 'seed', 'rise', 'loss_factor'), rows)
  late = [_late(panel) for panel in panels(found, _PUBLISHED)[:4]]
  write_png(draw_curves(found, late, [], words.caption(found, [])), output / 'rise.png')


def with_rises(found: FoundRuns) -> FoundRuns:
  """Returns the runs with the rise as the last value of the metric, which contrasts compare."""

  def changed(run: Run) -> Run:
    return run | {'metric': np.append(run['metric'][:-1], rise(run['metric']))}

  runs = {arm: {seed: changed(run) for seed, run in of.items()} for arm, of in found.runs.items()}
  return found._replace(runs=runs)


def _text(
  finished: Mapping[str, Mapping[int, Run]], compared: Contrasts, verdict: Sequence[str], size: Size
) -> str:
  number = sum(map(len, finished.values()))
  remarks = {
    ' **This is an interim report.**': number < size.runs,
    ' **This is a rehearsal: its numbers mean nothing.**': size.epochs < PAPER_EPOCHS,
  }
  early, late = (f'{first} to {last}' for first, last in (EARLY, LATE))
  of_150 = '' if size.epochs == PAPER_EPOCHS else f', scaled to {size.epochs}'
  blocks = [
    '# Figure 3 at its length: does the error rise before the third drop?',
    '`python -m studies.figure3`. What is asked, run and predicted was committed before the runs: '
    f'`studies/figure3/definition.py`. {number} of {size.runs} runs are finished.'
    + ''.join(remark for remark, is_true in remarks.items() if is_true),
    _listed(verdict),
    f'rise: the mean test error of epochs {late}{of_150}, the last before the third drop of the '
    f'learning rate, minus that of epochs {early}, in percentage points. factor: the training loss of '
    f'the former divided by that of the latter. The paper has one run of each arm, of '
    f'{FIGURE_3.about.published_network}. Means over n seeds with 95 % intervals (Student t).',
    markdown_table(Table(_rises(finished), (), 'Arms')),
    'Differences of the rise:',
    markdown_table(Table(contrast_columns(compared.rows, _SPEC), (), 'Differences')),
    *words.explain_contrasts(compared.rows, [_RISE]),
    _listed([*words.describe_method(compared, _RISE, _SPEC), *_resolution(compared)]),
    'Share of steps in the high-loss phase, in percent, by the epochs of each learning rate:',
    markdown_table(Table(_shares(finished), (), 'Shares')),
    '![rise](rise.png)',
    'Whole curves, the shares by epoch, the last and best errors and the differences of the last '
    'error: [report.md](report.md).',
  ]
  return '\n\n'.join(filter(None, blocks)) + '\n'


def _listed(sentences: Sequence[str]) -> str:
  return '\n'.join(f'* {sentence}' for sentence in sentences)


def _rises(finished: Mapping[str, Mapping[int, Run]]) -> list[Column]:
  def ours(column: str, value: Callable[[np.ndarray], float]) -> list[str]:
    return [
      format_estimate(
        estimate(np.array([value(run[column]) for run in runs.values()])) if runs else None,
        spec=_SPEC,
      )
      for runs in finished.values()
    ]

  def theirs(column: str, value: Callable[[np.ndarray], float]) -> list[str]:
    curves = _PUBLISHED[column]
    return [f'{value(_by_epoch(curves[arm])):.2f}' if arm in curves else '-' for arm in finished]

  return [
    Column('arm', list(finished), is_text=True),
    Column('n', [str(len(runs)) for runs in finished.values()]),
    Column('rise', ours('metric', rise)),
    Column('in the paper', theirs('test_error_percent', rise)),
    Column('factor', ours('train_loss', factor)),
    Column('in the paper', theirs('train_loss', factor)),
  ]


def _by_epoch(curve: Float[np.ndarray, 'points 2']) -> Float[np.ndarray, ' epochs']:
  """Returns a published curve as a value for each epoch, NaN before the first one published."""
  values = np.full(PAPER_EPOCHS, np.nan)
  values[curve[:, 0].astype(int) - 1] = curve[:, 1]
  return values


def _shares(finished: Mapping[str, Mapping[int, Run]]) -> list[Column]:
  shares = {
    arm: np.mean([run['high_loss_share'] for run in runs.values()], axis=0)
    for arm, runs in finished.items()
    if runs
  }
  stages = [
    Column(
      f'{first} to {last}',
      [f'{100 * share[window((first, last), len(share))].mean():.1f}' for share in shares.values()],
    )
    for first, last in STAGES
  ]
  return [Column('arm', list(shares), is_text=True), *stages]


def _resolution(compared: Contrasts) -> list[str]:
  """Returns a sentence on the smallest difference that so many seeds can tell from none."""
  widths = [row.half_width for row in compared.rows if np.isfinite(row.half_width)]
  if not widths:
    return ['One seed has no interval: nothing can be told from noise.']
  return [
    f'Differences below {max(widths):{_SPEC}} points are inside the interval of no difference with '
    'these seeds; after the adjustment, larger ones may be, too.'
  ]


def _late(panel: Panel) -> Panel:
  """Returns a panel with only the share of the training that the paper's curves show."""
  first = window(STAGES[2], panel.epochs).start

  def cut(line: Line) -> Line:
    kept = line.epochs > first
    band = line.band and (line.band[0][kept], line.band[1][kept])
    return line._replace(epochs=line.epochs[kept], values=line.values[kept], band=band)

  return panel._replace(lines=[cut(line) for line in panel.lines])
