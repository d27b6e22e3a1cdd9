"""The files of a report: Markdown for people, CSV with full precision for programs."""

import csv
import io
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from train.reports.contrasts import Contrast
from train.reports.read_runs import Metric
from train.reports.tables import Row, Table, markdown_table
from train.system.files import write_whole


class Contents(NamedTuple):
  """The contents of report.md and report.html."""

  title: str
  setting: Mapping[str, str]  # what the runs have in common, by name
  reported: str  # a sentence with the paper's result; empty if there is none
  environments: Sequence[str]
  verdict: Sequence[str]  # which differences were shown; empty if nothing is compared
  tables: Sequence[Table]  # of arms, and of contrasts if there are any
  sentences: Sequence[str]  # what the tables leave out, and how intervals were computed
  caption: str  # of the curves
  tuning: str  # the caption of the sensitivity plot; empty if nothing was tuned


def write_markdown(path: pathlib.Path, contents: Contents) -> None:
  """Writes report.md."""
  listed = [f'* {name}: {words}' for name, words in contents.setting.items()]
  listed += [f'* made with: {words}' for words in contents.environments]
  blocks = [
    f'# {contents.title}',
    *contents.verdict,  # paragraphs: a list would continue in the next one
    contents.reported,
    '\n'.join(listed),
    *(block for table in contents.tables for block in (markdown_table(table), *table.notes)),
    _listed(contents.sentences),
    # The site makes a figure of a picture and the emphasized text below it.
    _figure('curves', contents.caption),
    contents.tuning and _figure('sensitivity', contents.tuning),
  ]
  write_whole(path, '\n\n'.join(block for block in blocks if block) + '\n')


def _figure(name: str, caption: str) -> str:
  return f'![{name}]({name}.png)\n*{caption.replace("*", "")}*'


def _listed(sentences: Iterable[str]) -> str:
  return '\n'.join(f'* {sentence}' for sentence in sentences)


def write_arms(
  path: pathlib.Path, rows: Iterable[Row], compared: Iterable[Contrast], metric: Metric
) -> None:
  """Writes report.csv: the table of arms, with their differences to the baseline."""
  name = metric.column
  half_width = f'{name.removesuffix("_percent")}_half_width'
  columns = ('arm', 'seeds', 'diverged', 'unfinished', name, half_width)
  columns += ('difference', 'difference_half_width', f'best_{name}', f'best_{half_width}')
  columns += ('high_loss_share', 'seconds_per_epoch')
  differences = {row.arm: row.estimate for row in compared if row.kind == 'baseline'}
  cells = []
  for row in rows:
    estimates = [row.last, differences.get(row.arm), row.best]
    numbers = [number for value in estimates for number in (value or ('', ''))]
    rest = [row.high_loss_share, round(row.seconds, 3)] if row.seeds else ['', '']
    counts = [row.seeds, len(row.diverged), len(row.unfinished)]
    cells.append([row.arm, *counts, *numbers, *rest])
  write_csv(path, columns, cells)


def write_csv(path: pathlib.Path, columns: Iterable[str], rows: Iterable[Iterable[Any]]) -> None:
  """Writes a table with its columns, numbers with full precision."""
  text = io.StringIO(newline='')
  csv.writer(text).writerows([columns, *rows])
  write_whole(path, text.getvalue())
