"""What the runs in a directory say: a table, the same as Markdown and CSV, plots, and words."""

import csv
import pathlib
from typing import NamedTuple

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from train.contrasts import Contrast, compare, contrasts
from train.experiments import BASELINE, Network, describe_network
from train.plots import plot_curves, plot_differences
from train.published import published_curves
from train.read_runs import RunsOfPart, diverged, find_runs, finished_runs, last_errors
from train.statistics import Estimate, estimate, format_estimate, paired_difference

COLUMNS = ('arm', 'n', 'error %', 'difference', 'best %', 'high %', 's/epoch')
CSV_COLUMNS = (
  'arm',
  'seeds',
  'diverged',
  'unfinished',
  'test_error_percent',
  'test_error_half_width',
  'difference',
  'difference_half_width',
  'best_test_error_percent',
  'best_test_error_half_width',
  'high_loss_share',
  'seconds_per_epoch',
)
DIFFERENCE_COLUMNS = ('part', *Contrast._fields, 'half_width')
NOTE = (
  'Test error after the last epoch and its paired difference to fixed-0.9: mean over n seeds and 95 '
  "% confidence interval (Student t). Best: the mean of each run's best epoch, which is chosen on "
  'the test set and so flatters. High: share of steps in the high-loss phase. s/epoch: median '
  'seconds of training, without evaluation. A coin has the momenta of a pair in the same proportion, '
  'chosen without the loss. Of 20 such intervals one excludes zero by chance where nothing differs.'
)


class Row(NamedTuple):
  """One arm of a report.

  Attributes:
    arm: Its name.
    seeds: How many finished runs it has that did not diverge.
    diverged: The seeds of its runs that did.
    unfinished: From the seeds of its other runs to how many epochs they have.
    error: The test error after the last epoch, in percent; None without a finished run.
    difference: The error minus the baseline's on the same seeds, in percentage points; None for the
      baseline itself and where there are no such seeds.
    best: The test error of each run's best epoch, in percent.
    high_loss_share: The mean share of high-loss steps.
    seconds: The median seconds of training per epoch.
  """

  arm: str
  seeds: int
  diverged: tuple[int, ...]
  unfinished: dict[int, int]
  error: Estimate | None
  difference: Estimate | None
  best: Estimate | None
  high_loss_share: float
  seconds: float


def report(workdir: pathlib.Path, console: Console) -> None:
  """Prints what the runs in a directory say, and writes it beside them.

  For each part it writes report.md, report.csv and curves.png; above several parts also
  differences.csv and differences.png.

  Args:
    workdir: A working directory of ``python -m train run``.
    console: Where to print.

  Raises:
    UserError: If there is no run with at least one epoch, or a table is damaged.
  """
  found = find_runs(workdir)
  for folder, part in found.items():
    report_part(folder, part, console)
  if len(found) > 1:
    compare_parts(workdir, found, console)


def compare_parts(
  workdir: pathlib.Path, found: dict[pathlib.Path, RunsOfPart], console: Console
) -> None:
  """Writes the differences between the arms of all parts as one table and one plot."""
  differences = {
    folder.relative_to(workdir).as_posix(): several
    for folder, part in found.items()
    if (several := [contrast for contrast in contrasts(part) if contrast.seeds > 1])
  }
  if not differences:
    return
  with (workdir / 'differences.csv').open('w', newline='') as file:
    writer = csv.writer(file)
    writer.writerow(DIFFERENCE_COLUMNS)
    for name, several in differences.items():
      for contrast in several:
        writer.writerow([name, *contrast[:-1], *contrast.difference])
  plot_differences(differences, workdir / 'differences.png')
  console.print(f'\nDifferences of all parts: {workdir / "differences.png"}', soft_wrap=True)


def report_part(folder: pathlib.Path, found: RunsOfPart, console: Console) -> None:
  """Reports on the runs of one part; see :func:`report`."""
  part = found.part
  rows = summarise(found)
  words = [*omissions(rows, found.epochs), *map(compare, contrasts(found))]
  table = [COLUMNS, *(format_row(row) for row in rows)]
  title = f'{part.experiment}, {part.name}: {part.summary}' if part else str(folder)
  setting = describe_setting(found)
  (folder / 'report.md').write_text(markdown(title, setting, table, words))
  with (folder / 'report.csv').open('w', newline='') as file:
    csv.writer(file).writerows([CSV_COLUMNS, *map(csv_row, rows)])
  comparable = part and part.curves and part.dataset == found.config['dataset']
  published = published_curves(*part.curves) if comparable else {}
  plot_curves(found.runs, published, folder / 'curves.png')

  console.print(f'\n{title}', highlight=False)
  console.print(setting, highlight=False)
  shown = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
  for index, column in enumerate(COLUMNS):
    shown.add_column(column, justify='right' if index else 'left', no_wrap=not index)
  for cells in table[1:]:
    shown.add_row(*cells)
  console.print(shown)
  for sentence in words:
    console.print(f'* {sentence}', highlight=False)
  console.print(NOTE, style='dim', highlight=False)
  console.print(f'Curves: {folder / "curves.png"}', highlight=False, soft_wrap=True)


def describe_setting(found: RunsOfPart) -> str:
  """Returns a line on what was trained, on what, and what the paper reports of it."""
  config, part = found.config, found.part
  if not part:
    return f'{found.epochs} epochs'
  network = describe_network(Network(**config['network']))
  examples = f', first {config["train_examples"]:,} examples' if config['train_examples'] else ''
  reported = f'. The paper, with {describe_network(part.network)}: {part.reported}'
  return (
    f'{network} on {config["dataset"]}{examples}; {found.epochs} epochs, batch {config["batch_size"]}'
    f', {config["dtype"]}{reported if part.reported else ""}.'
  )


def summarise(found: RunsOfPart) -> list[Row]:
  """Returns a row per arm, over its finished runs."""
  finished = finished_runs(found)
  baseline = last_errors(finished.get(BASELINE.name, {}))
  rows = []
  for arm, seeds in finished.items():
    others = {seed: run for seed, run in found.runs[arm].items() if seed not in seeds}
    lost = tuple(seed for seed in sorted(others) if diverged(others[seed]))
    unfinished = {seed: len(run['epoch']) for seed, run in others.items() if not diverged(run)}
    if not seeds:
      nothing = None, None, None, float('nan'), float('nan')
      rows.append(Row(arm, 0, lost, unfinished, *nothing))
      continue
    errors = last_errors(seeds)
    rows.append(
      Row(
        arm,
        len(seeds),
        lost,
        unfinished,
        estimate(np.array(list(errors.values()))),
        paired_difference(errors, baseline) if arm != BASELINE.name else None,
        estimate(np.array([run['test_error_percent'].min() for run in seeds.values()])),
        float(np.mean([run['high_loss_share'].mean() for run in seeds.values()])),
        float(np.median(np.concatenate([run['seconds'] for run in seeds.values()]))),
      )
    )
  return rows


def omissions(rows: list[Row], epochs: int) -> list[str]:
  """Returns sentences that say what the table leaves out.

  Args:
    rows: See :func:`summarise`.
    epochs: How many epochs a finished run has.
  """
  sentences = []
  for row in rows:
    for seed, done in row.unfinished.items():
      sentences.append(
        f'{row.arm}: seed {seed} is unfinished ({done} of {epochs} epochs) and not in the mean.'
      )
    if row.diverged:
      seeds = ', '.join(map(str, row.diverged))
      sentences.append(f'{row.arm}: diverged with seed {seeds}; not in the mean.')
    if row.arm != BASELINE.name and row.error is not None and row.difference is None:
      sentences.append(f'{row.arm}: no run of {BASELINE.name} on the same seeds to compare with.')
  return sentences


def format_row(row: Row) -> tuple[str, ...]:
  """Returns the cells of a row as text."""
  if row.error is None:
    return (row.arm, '0', 'diverged' if row.diverged else 'unfinished', '-', '-', '-', '-')
  return (
    row.arm,
    str(row.seeds),
    format_estimate(row.error),
    format_estimate(row.difference, sign='+'),
    format_estimate(row.best),
    f'{100 * row.high_loss_share:.1f}',
    f'{row.seconds:.2f}',
  )


def markdown(title: str, setting: str, table: list[tuple[str, ...]], words: list[str]) -> str:
  """Returns a report as Markdown."""
  lines = [' | '.join(cells) for cells in table]
  lines.insert(1, ' | '.join(['---'] + ['---:'] * (len(COLUMNS) - 1)))
  body = '\n'.join(f'| {line} |' for line in lines)
  bullets = '\n'.join(f'* {sentence}' for sentence in words)
  return f'# {title}\n\n{setting}\n\n{body}\n\n{bullets}\n\n{NOTE}\n\n![curves](curves.png)\n'


def csv_row(row: Row) -> list:
  """Returns a row of report.csv, with full precision."""
  estimates = [row.error, row.difference, row.best]
  numbers = [number for value in estimates for number in (value or ('', ''))]
  shares = [row.high_loss_share, round(row.seconds, 3)] if row.seeds else ['', '']
  return [row.arm, row.seeds, len(row.diverged), len(row.unfinished), *numbers, *shares]
