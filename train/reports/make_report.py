"""Reports on the runs in a directory: prints, and writes files beside them."""

import importlib
import pathlib
import re
import shlex
from typing import NamedTuple

from rich.console import Console
from rich.text import Text

from train.reports import words
from train.reports.contrasts import Contrast, Contrasts, contrasts
from train.reports.curves import Panel, panels, published_curves
from train.reports.files import Contents, write_arms, write_csv, write_markdown
from train.reports.last_values import Histograms, last_values
from train.reports.read_runs import FoundRuns, find_runs
from train.reports.sensitivity import caption as tuning_caption
from train.reports.sensitivity import edge_sentences, settings_notes, settings_table
from train.reports.tables import Row, Table, arm_columns, arm_rows, contrast_columns, fitted
from train.reports.verdict import verdict
from train.system.files import errors_explained
from train.system.statistics import Estimate


def report(workdir: pathlib.Path, console: Console) -> None:
  """Prints a report on the runs in a directory, and writes it beside them.

  For each comparison it writes report.md, report.html, report.csv, contrasts.csv and curves.png;
  above several comparisons also differences.csv and differences.png.
  """
  with errors_explained(workdir):
    parts = {folder: (found, contrasts(found)) for folder, found in find_runs(workdir).items()}
    for folder, (found, compared) in parts.items():
      contents = _write_comparison(folder, found, compared)
      _print_comparison(contents, folder, folder.relative_to(workdir), console)
    _say(console, '')
    rows = [row for _, compared in parts.values() for row in compared.rows]
    arms = words.explain_arms([found for found, _ in parts.values()])
    tuned = [note for found, _ in parts.values() if found.tuning for note in settings_notes(found)]
    explained = words.explain_contrasts(rows, (found.metric for found, _ in parts.values()))
    for note in dict.fromkeys((arms, *explained, *tuned)):
      _say(console, note, style='dim')
    if len(parts) > 1:
      _report_differences(workdir, parts, console)
    if any(found.with_events for found, _ in parts.values()):
      command = f'tensorboard --logdir {shlex.quote(str(workdir))}'
      _say(console, f'Curves as they grow: {command} (pip install tensorboard)', path=True)


def import_what_reports_need() -> None:
  """Imports Matplotlib and Bokeh, so that the first report need not wait for them."""
  for name in ('plots', 'page'):
    importlib.import_module(f'train.reports.{name}')


class Described(NamedTuple):
  """A comparison in words, tables and curves."""

  contents: Contents
  rows: list[Row]
  drawn: list[Panel]
  last: list[Histograms]


def describe(found: FoundRuns, compared: Contrasts) -> Described:
  """Returns what a report says and draws of a comparison."""
  about, metric = found.about, found.metric
  rows = arm_rows(found)
  estimates = [row.last for row in rows if row.last]
  spec = metric.spec([*estimates, *(Estimate(0.0, row.half_width) for row in compared.rows)])
  tables = [Table(arm_columns(rows, metric, spec), [words.explain_arms([found])], 'Arms')]
  if compared.rows:
    explained = words.explain_contrasts(compared.rows, [metric])
    tables.append(Table(contrast_columns(compared.rows, spec), explained, 'Differences'))
  if found.tuning:
    tables.append(settings_table(found, spec))
  reported = ''
  if about['reported']:
    network = f', with {about["published_network"]}' if about['published_network'] else ''
    reported = f'The paper{network}: {about["reported"]}.'
  published = {}
  # The runs may have trained on another data set than the paper.
  same = about['published_network'], found.config['dataset']
  if about['curves'] and same == (about['network'], about['curves'][1]):
    published = published_curves(*about['curves'])
  drawn, last = panels(found, published), last_values(found, rows, compared.rows, spec)
  contents = Contents(
    title=about['title'],
    setting=words.setting(found.config),
    reported=reported,
    environments=words.environment_lines(found.environments),
    verdict=verdict(found, compared, spec),
    tables=tables,
    sentences=[
      *edge_sentences(found),
      *words.describe_omissions(rows, found, compared),
      *words.describe_method(compared, metric, spec),
    ],
    caption=words.caption(found, last),
    tuning=tuning_caption(found) if found.tuning else '',
  )
  return Described(contents, rows, drawn, last)


def _write_comparison(folder: pathlib.Path, found: FoundRuns, compared: Contrasts) -> Contents:
  """Writes the files of one comparison, and returns what is to be printed of them."""
  from train.reports.page import write_page
  from train.reports.plots import draw_curves, draw_sensitivity, write_png

  contents, rows, drawn, last = describe(found, compared)
  write_markdown(folder / 'report.md', contents)
  write_arms(folder / 'report.csv', rows, compared.rows, found.metric)
  write_csv(folder / 'contrasts.csv', Contrast._fields, compared.rows)
  write_png(draw_curves(found, drawn, last, contents.caption), folder / 'curves.png')
  if found.tuning:
    write_png(draw_sensitivity(found, contents.tuning), folder / 'sensitivity.png')
  write_page(folder / 'report.html', contents, found, drawn, last)
  return contents


def _print_comparison(
  contents: Contents, folder: pathlib.Path, name: pathlib.Path, console: Console
) -> None:
  # Folders of the same experiment have the same title.
  _say(console, f'\n{contents.title}' + (f' ({name})' if name.parts else ''))
  _say(console, words.setting_line(contents.setting))
  if contents.reported:
    _say(console, contents.reported)
  console.print()
  for sentence in contents.verdict:
    _say(console, f'* {sentence}')
  for table in contents.tables:
    console.print()
    console.print(fitted(table, console))
  console.print()
  for sentence in contents.sentences:
    _say(console, f'* {sentence}')
  _say(console, f'Curves: {folder / "curves.png"}', path=True)
  if contents.tuning:
    _say(console, f'Sensitivity to the learning rate: {folder / "sensitivity.png"}', path=True)
  _say(console, f'All of it, for a browser: {folder / "report.html"}', path=True)


def _report_differences(
  workdir: pathlib.Path, parts: dict[pathlib.Path, tuple[FoundRuns, Contrasts]], console: Console
) -> None:
  """Writes the contrasts of all comparisons as one table, and one plot of each metric."""
  from train.reports.plots import plot_differences, write_png

  differences = {
    folder.relative_to(workdir).as_posix(): (found, rows)
    for folder, (found, compared) in parts.items()
    if (rows := [row for row in compared.rows if row.seeds > 1])
  }
  if not differences:
    return
  write_csv(
    workdir / 'differences.csv',
    ('part', 'metric', *Contrast._fields),
    [(name, of.metric.column, *row) for name, (of, rows) in differences.items() for row in rows],
  )
  for index, metric in enumerate(dict.fromkeys(of.metric for of, _ in differences.values())):
    part = re.sub(r'\W+', '_', metric.column)
    path = workdir / ('differences.png' if not index else f'differences-{part}.png')
    of_metric = {
      name: (words.setting_and_momenta(of), rows)
      for name, (of, rows) in differences.items()
      if of.metric == metric
    }
    write_png(plot_differences(of_metric, metric), path)
    _say(console, f'Differences of all parts: {path}', path=True)


def _say(console: Console, text: str, *, style: str = '', path: bool = False) -> None:
  """Prints text without markup; a line with a path is not broken."""
  console.print(Text(text, style=style), soft_wrap=path)
