"""What the runs in a directory say: printed, and written beside them."""

import importlib
import pathlib
import shlex
import types

from rich.console import Console
from rich.text import Text

from train.reports.contrasts import Contrasts, contrasts
from train.reports.curves import Published
from train.reports.files import (
  Contents,
  write_arms,
  write_contrasts,
  write_differences,
  write_markdown,
)
from train.reports.presentation import environment_lines, setting, setting_line
from train.reports.published import published_curves
from train.reports.read_runs import FoundRuns, find_runs
from train.reports.tables import arm_columns, arm_rows, contrast_columns, fitted
from train.reports.words import (
  describe_contrast,
  describe_method,
  describe_omissions,
  notes,
)
from train.system.files import errors_explained


def report(workdir: pathlib.Path, console: Console) -> None:
  """Prints what the runs in a directory say, and writes it beside them.

  For each comparison it writes report.md, report.html, report.csv, contrasts.csv and curves.png;
  above several comparisons also differences.csv and differences.png.

  Args:
    workdir: A working directory of ``python -m train run``.
    console: Where to print.

  Raises:
    UserError: If there is no run with at least one epoch, what is there is not what the runs wrote or
      cannot be compared, or the report cannot be written.
  """
  with errors_explained(workdir):
    _report(workdir, console)


def import_what_reports_need() -> None:
  """Imports what draws, Matplotlib and Bokeh, which otherwise the first report waits for."""
  importlib.import_module('train.reports.plots')
  _import_page()


def _report(workdir: pathlib.Path, console: Console) -> None:
  found = find_runs(workdir)
  compared = {folder: contrasts(runs) for folder, runs in found.items()}
  for folder, runs in found.items():
    _report_comparison(folder, runs, compared[folder], console, str(folder.relative_to(workdir)))
  _say(console, '')
  for note in notes([(runs, compared[folder]) for folder, runs in found.items()]):
    _say(console, note, style='dim')
  if len(found) > 1:
    _report_differences(workdir, found, compared, console)
  if any(runs.with_events for runs in found.values()):
    command = f'tensorboard --logdir {shlex.quote(str(workdir))}'
    _say(console, f'Curves as they grow: {command} (pip install tensorboard)', path=True)


def _report_comparison(
  folder: pathlib.Path, found: FoundRuns, compared: Contrasts, console: Console, name: str
) -> None:
  """Reports on the runs of one comparison, named by its folder; see :func:`report`."""
  from train.reports.plots import plot_curves

  about, metric = found.about, found.metric
  rows = arm_rows(found)
  decimals = metric.decimals(row.last.mean for row in rows if row.last)
  tables = [
    arm_columns(rows, metric),
    contrast_columns(compared.rows, decimals),
  ]
  sentences = [
    *describe_omissions(rows, found, compared),
    *(describe_contrast(row, metric, decimals) for row in compared.rows),
    *describe_method(compared, metric, decimals),
  ]
  words = setting(found.config)
  reported = _reported(about['reported'], about['published_network'])

  contents = Contents(
    about['title'],
    words,
    reported,
    environment_lines(found.environments),
    tables,
    sentences,
    notes([(found, compared)]),
  )
  write_markdown(folder / 'report.md', contents)
  write_arms(folder / 'report.csv', rows, compared.rows, metric)
  write_contrasts(folder / 'contrasts.csv', compared.rows)
  published = {}
  # Another data set than the paper's may have been trained on.
  if about['curves'] and about['curves'][1] == found.config['dataset']:
    published = published_curves(*about['curves'])
  plot_curves(found, published, setting_line(words), folder / 'curves.png')
  has_page = _write_page(folder / 'report.html', contents, found, published)

  # Folders of several runs of one experiment have one title.
  _say(console, f'\n{about["title"]}' + ('' if name == '.' else f' ({name})'))
  _say(console, setting_line(words))
  if reported:
    _say(console, reported)
  for columns in tables:
    if columns[0].cells:
      console.print()
      console.print(fitted(columns, console))
  console.print()
  for sentence in sentences:
    _say(console, f'* {sentence}')
  _say(console, f'Curves: {folder / "curves.png"}', path=True)
  if has_page:
    _say(console, f'All of it, for a browser: {folder / "report.html"}', path=True)
  else:
    _say(console, 'There is no report.html, which needs Bokeh: pip install bokeh')


def _write_page(
  path: pathlib.Path, contents: Contents, found: FoundRuns, published: Published
) -> bool:
  """Writes report.html; returns False where Bokeh is not installed, which must not cost a report."""
  page = _import_page()
  if page is not None:
    page.write_page(path, contents, found, published)
  return page is not None


def _import_page() -> types.ModuleType | None:
  try:
    return importlib.import_module('train.reports.page')
  except ModuleNotFoundError as error:
    if error.name != 'bokeh':
      raise
    return None


def _report_differences(
  workdir: pathlib.Path,
  found: dict[pathlib.Path, FoundRuns],
  compared: dict[pathlib.Path, Contrasts],
  console: Console,
) -> None:
  """Writes the contrasts of all comparisons as one table, and one plot of each metric."""
  from train.reports.difference_plot import plot_differences

  differences = {
    folder.relative_to(workdir).as_posix(): (runs.metric, several)
    for folder, runs in found.items()
    if (several := [row for row in compared[folder].rows if row.seeds > 1])
  }
  if not differences:
    return
  write_differences(workdir / 'differences.csv', differences)
  metrics = list(dict.fromkeys(metric for metric, _ in differences.values()))
  for index, metric in enumerate(metrics):
    path = workdir / ('differences.png' if not index else f'differences-{metric.column}.png')
    plot_differences(
      {name: rows for name, (of, rows) in differences.items() if of == metric}, metric, path
    )
    _say(console, f'Differences of all parts: {path}', path=True)


def _reported(reported: str, network: str) -> str:
  if not reported:
    return ''
  return f'The paper{f", with {network}" if network else ""}: {reported}.'


def _say(console: Console, words: str, *, style: str = '', path: bool = False) -> None:
  """Prints words as they are; a line with a path is not broken."""
  console.print(Text(words, style=style), soft_wrap=path)
