"""What the runs in a directory say: a table, the same as Markdown and CSV, and words."""

import csv
import pathlib
from typing import NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table

from train.errors import UserError
from train.experiments import BASELINE
from train.plots import plot_curves
from train.records import read_table
from train.statistics import Estimate, estimate

Runs = dict[str, dict[int, dict[str, np.ndarray]]]


class Row(NamedTuple):
  """One arm of a report.

  Attributes:
    arm: Its name.
    seeds: How many complete runs it has.
    error: The test error after the last epoch, in percent.
    difference: The error minus the baseline's on the same seeds, in percentage points; None for the
      baseline itself and where there are no such seeds.
    high_loss_share: The mean share of high-loss steps.
    seconds: The mean duration of a run.
  """

  arm: str
  seeds: int
  error: Estimate
  difference: Estimate | None
  high_loss_share: float
  seconds: float


def report(workdir: pathlib.Path, console: Console) -> None:
  """Prints what the runs in a directory say, and writes report.md, report.csv and curves.png there.

  Args:
    workdir: A working directory of ``python -m train run``.
    console: Where to print.

  Raises:
    UserError: If there is no run with at least one epoch.
  """
  runs = read_runs(workdir)
  rows = summarise(runs)
  words = verdicts(rows)
  table = [COLUMNS, *(format_row(row) for row in rows)]
  (workdir / 'report.md').write_text(markdown(table, words))
  with (workdir / 'report.csv').open('w', newline='') as file:
    csv.writer(file).writerows(csv_rows(rows))
  plot_curves(runs, workdir / 'curves.png')

  shown = Table()
  for index, column in enumerate(COLUMNS):
    shown.add_column(column, justify='right' if index else 'left', no_wrap=True)
  for cells in table[1:]:
    shown.add_row(*cells)
  console.print(shown)
  console.print(NOTE, highlight=False)
  for sentence in words:
    console.print(f'* {sentence}', highlight=False)
  console.print(f'Curves: {workdir / "curves.png"}', highlight=False, soft_wrap=True)


def read_runs(workdir: pathlib.Path) -> Runs:
  """Returns the tables of all runs in a directory that have recorded an epoch, the baseline first.

  Returns:
    From arm and seed to the columns of metrics.csv, and the column ``seconds`` of timing.csv.

  Raises:
    UserError: If there is none.
  """
  runs: Runs = {}
  for path in sorted(workdir.glob('*/seed-*/metrics.csv')):
    columns = read_table(path)
    if columns:
      columns['seconds'] = read_table(path.with_name('timing.csv'))['seconds']
      runs.setdefault(path.parts[-3], {})[int(path.parts[-2].removeprefix('seed-'))] = columns
  if not runs:
    raise UserError(f'{workdir} holds no runs: make some with `python -m train run NAME`.')
  return dict(sorted(runs.items(), key=lambda item: item[0] != BASELINE.name))


def summarise(runs: Runs) -> list[Row]:
  """Returns a row per arm, over the runs that got as far as the longest."""
  epochs = max(len(columns['epoch']) for seeds in runs.values() for columns in seeds.values())
  complete = {
    arm: {seed: run for seed, run in seeds.items() if len(run['epoch']) == epochs}
    for arm, seeds in runs.items()
  }
  baseline = complete.get(BASELINE.name, {})
  rows = []
  for arm, seeds in complete.items():
    if not seeds:
      continue
    errors = {seed: run['test_error_percent'][-1] for seed, run in seeds.items()}
    shared = sorted(errors.keys() & baseline.keys()) if arm != BASELINE.name else []
    differences = [errors[seed] - baseline[seed]['test_error_percent'][-1] for seed in shared]
    rows.append(
      Row(
        arm,
        len(seeds),
        estimate(np.array(list(errors.values()))),
        estimate(np.array(differences)) if differences else None,
        float(np.mean([run['high_loss_share'].mean() for run in seeds.values()])),
        float(np.mean([run['seconds'].sum() for run in seeds.values()])),
      )
    )
  return rows


COLUMNS = ('arm', 'n', 'test error %', f'minus {BASELINE.name}', 'high loss', 's a run')
CSV_COLUMNS = [
  'arm',
  'seeds',
  'test_error_percent',
  'test_error_half_width',
  'difference',
  'difference_half_width',
  'high_loss_share',
  'seconds',
]
NOTE = (
  'Test error after the last epoch and its paired difference to the baseline: mean over n seeds '
  'and 95 % confidence interval (Student t). High loss: share of steps in the high-loss phase.'
)


def format_row(row: Row) -> tuple[str, ...]:
  """Returns the cells of a row as text."""
  return (
    row.arm,
    str(row.seeds),
    format_estimate(row.error),
    '-' if row.difference is None else format_estimate(row.difference, sign='+'),
    f'{100 * row.high_loss_share:.1f} %',
    f'{row.seconds:.1f}',
  )


def format_estimate(value: Estimate, sign: str = '') -> str:
  """Returns 'mean ± half-width', or the mean alone where one seed gives no interval."""
  if np.isinf(value.half_width):
    return f'{value.mean:{sign}.2f}'
  return f'{value.mean:{sign}.2f} ± {value.half_width:.2f}'


def verdicts(rows: list[Row]) -> list[str]:
  """Returns a sentence per arm that says whether a difference to the baseline was shown."""
  sentences = []
  for row in rows:
    if row.arm == BASELINE.name:
      continue
    if row.difference is None:
      sentences.append(f'{row.arm}: no run of {BASELINE.name} on the same seeds to compare with.')
    elif np.isinf(row.difference.half_width):
      sentences.append(f'{row.arm}: one seed cannot tell a difference from noise; run more.')
    elif row.difference.excludes_zero():
      side = 'lower' if row.difference.mean < 0 else 'higher'
      sentences.append(
        f'{row.arm}: a {side} error than {BASELINE.name} was shown, by '
        f'{abs(row.difference.mean):.2f} ± {row.difference.half_width:.2f} points.'
      )
    else:
      sentences.append(
        f'{row.arm}: no difference to {BASELINE.name} was shown; the interval holds zero.'
      )
  return sentences


def markdown(table: list[tuple[str, ...]], words: list[str]) -> str:
  """Returns a report as Markdown."""
  lines = [' | '.join(cells) for cells in table]
  lines.insert(1, ' | '.join(['---'] + ['---:'] * (len(COLUMNS) - 1)))
  bullets = '\n'.join(f'* {sentence}' for sentence in words)
  body = '\n'.join(f'| {line} |' for line in lines)
  return f'{body}\n\n{NOTE}\n\n{bullets}\n\n![curves](curves.png)\n'


def csv_rows(rows: list[Row]) -> list[list]:
  """Returns the rows of a report with full precision, a header first."""
  table: list[list] = [CSV_COLUMNS]
  for row in rows:
    difference = row.difference or ('', '')
    table.append(
      [row.arm, row.seeds, *row.error, *difference, row.high_loss_share, round(row.seconds, 3)]
    )
  return table
