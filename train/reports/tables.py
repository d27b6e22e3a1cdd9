"""The tables of a report, as text."""

import math
import textwrap
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table as RichTable
from rich.text import Text

from train.reports.contrasts import Contrast
from train.reports.read_runs import FoundRuns, Metric, Run, all_equal
from train.system.statistics import Estimate, estimate, format_estimate

KINDS = {
  'yoked': 'its yoked run',
  'coin': 'its coin',
  'direction': 'other direction',
  'tries': 'tuned as often',
  'baseline': 'baseline',
}
_HEAD_WIDTH = 15
_LONGEST_NAMES = len('low0.857-high0.93'), len('fixed-0.9')  # longer ones are broken, if need be


class Row(NamedTuple):
  """One arm of a report."""

  arm: str
  seeds: int  # the number of its finished runs, from which the estimates are
  diverged: list[int]  # the seeds of its runs that diverged
  unfinished: dict[int, int]  # the number of epochs of its unfinished runs, by seed
  not_finite: list[int]  # the seeds of its runs whose last test loss or metric is not finite
  last: Estimate | None = None  # the metric after the last epoch; None without a finished run
  best: Estimate | None = None  # the metric of each run after its best epoch
  high_loss_share: float = math.nan
  seconds: float = math.nan  # the median of training per epoch


class Column(NamedTuple):
  """A column of a table."""

  head: str
  cells: list[str]
  is_text: bool = False  # words, not numbers
  optional: bool = False  # may be left out if the table is too wide


class Table(NamedTuple):
  """A table, and sentences that explain it."""

  columns: Sequence[Column]
  notes: Sequence[str]
  caption: str


def arm_rows(found: FoundRuns) -> list[Row]:
  """Returns a row per arm, over its finished runs."""
  rows = []
  for arm, seeds in found.runs.items():
    finished = [seeds[seed] for seed in found.seeds(arm, 'finished')]
    unfinished = {seed: len(seeds[seed]['epoch']) for seed in found.seeds(arm, 'unfinished')}
    diverged, not_finite = found.seeds(arm, 'diverged'), found.seeds(arm, 'not finite')
    row = Row(arm, len(finished), diverged, unfinished, not_finite)
    if finished:
      last = estimate(np.array([found.judged(arm, seed) for seed in found.seeds(arm, 'finished')]))
      row = row._replace(
        last=last._replace(half_width=math.inf) if all_equal(finished) else last,
        best=estimate(np.array([found.metric.best(run['metric']) for run in finished])),
        high_loss_share=float(np.mean([run['high_loss_share'].mean() for run in finished])),
        seconds=_seconds(finished),
      )
    rows.append(row)
  return rows


def _seconds(runs: Sequence[Run]) -> float:
  """Returns the median over epochs, without each run's first, which compiles, if there are others."""
  seconds = np.concatenate([run['seconds'][1:] for run in runs])
  return float(np.median(seconds if len(seconds) else [run['seconds'][0] for run in runs]))


def arm_columns(rows: Sequence[Row], metric: Metric, spec: str) -> list[Column]:
  """Returns the table of the arms."""

  def result(row: Row) -> str:
    if row.last:
      return format_estimate(row.last, spec=spec)
    return 'diverged' if row.diverged else 'not finite' if row.not_finite else 'unfinished'

  def share(value: float) -> str:
    return '-' if math.isnan(value) else f'{100 * value:.1f}'

  return [
    Column('arm', [row.arm for row in rows], is_text=True),
    Column('n', [str(row.seeds) for row in rows]),
    Column(metric.head, [result(row) for row in rows]),
    Column('best', [f'{row.best.mean:{spec}}' if row.best else '-' for row in rows], optional=True),
    Column('high %', [share(row.high_loss_share) for row in rows]),
    Column('s/epoch', [_duration(row.seconds) if row.last else '-' for row in rows]),
  ]


def _duration(seconds: float) -> str:
  return f'{seconds:.2f}' if seconds >= 0.1 else f'{seconds:.1g}'


def contrast_columns(rows: Sequence[Contrast], spec: str) -> list[Column]:
  """Returns the table of the contrasts."""
  return [
    Column('arm', [row.arm for row in rows], is_text=True),
    Column('against', [row.other for row in rows], is_text=True),
    Column('which is', [KINDS[row.kind] for row in rows], is_text=True, optional=True),
    Column('n', [str(row.seeds) for row in rows]),
    Column('difference', [format_estimate(row.estimate, '+', spec) for row in rows]),
    Column('Holm p', [format_p(row.holm_p) for row in rows]),
  ]


def format_p(p: float) -> str:
  """Returns a p-value with three decimals."""
  if math.isnan(p):
    return '-'
  return '<0.001' if p < 0.001 else f'{p:.3f}'


def fitted(table: Table, console: Console) -> RichTable:
  """Returns a table that fits a console: without optional columns, then with names broken."""
  kept = [column for column in table.columns if not column.optional]
  drawn = RichTable()
  for columns in (table.columns, kept, *(_broken(kept, longest) for longest in _LONGEST_NAMES)):
    drawn = _drawn(columns)
    if Measurement.get(console, console.options, drawn).maximum < console.width:
      break
  return drawn


def _broken(columns: Sequence[Column], longest: int) -> list[Column]:
  """Returns columns whose names are broken before their last part if they are longer than that."""

  def broken(name: str) -> str:
    head, hyphen, tail = name.rpartition('-')
    return f'{head}{hyphen}\n{tail}' if head and len(name) > longest else name

  return [
    column._replace(cells=[broken(cell) for cell in column.cells]) if column.is_text else column
    for column in columns
  ]


def _drawn(columns: Sequence[Column]) -> RichTable:
  table = RichTable(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
  for column in columns:
    # Numbers are never cut, names may be; a long head is broken between its words.
    table.add_column(
      Text('\n'.join(textwrap.wrap(column.head, _HEAD_WIDTH, break_long_words=False))),
      justify='left' if column.is_text else 'right',
      no_wrap=not column.is_text,
      overflow='fold',
      vertical='bottom',
    )
  for cells in zip(*(column.cells for column in columns), strict=True):
    table.add_row(*map(Text, cells))
  return table


def markdown_table(table: Table) -> str:
  """Returns a table as Markdown, without its notes."""
  rows = [
    [column.head for column in table.columns],
    ['---' if column.is_text else '---:' for column in table.columns],
    *zip(*(column.cells for column in table.columns), strict=True),
  ]
  return '\n'.join(
    f'| {" | ".join(cell.replace("|", chr(92) + "|") for cell in row)} |' for row in rows
  )
