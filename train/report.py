"""What the runs in a directory say: a table, the same as Markdown and CSV, plots, and words."""

import csv
import json
import pathlib
from typing import NamedTuple

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from train.errors import UserError
from train.experiments import BASELINE, EXPERIMENTS, Part
from train.plots import plot_curves
from train.published import published_curves
from train.records import read_table
from train.statistics import Estimate, estimate

Runs = dict[str, dict[int, dict[str, np.ndarray]]]

COLUMNS = ('arm', 'n', 'error %', 'difference', 'best %', 'high %', 's/run')
CSV_COLUMNS = (
  'arm',
  'seeds',
  'diverged',
  'test_error_percent',
  'test_error_half_width',
  'difference',
  'difference_half_width',
  'best_test_error_percent',
  'best_test_error_half_width',
  'high_loss_share',
  'seconds',
)
NOTE = (
  'Test error after the last epoch and its paired difference to the baseline: mean over n seeds '
  "and 95 % confidence interval (Student t). Best: the mean of each run's best epoch, which is "
  'chosen on the test set and so flatters. High: share of steps in the high-loss phase.'
)


class Row(NamedTuple):
  """One arm of a report.

  Attributes:
    arm: Its name.
    seeds: How many finished runs it has that did not diverge.
    diverged: The seeds of its runs that did.
    error: The test error after the last epoch, in percent; None without a finished run.
    difference: The error minus the baseline's on the same seeds, in percentage points; None for the
      baseline itself and where there are no such seeds.
    best: The test error of each run's best epoch, in percent.
    high_loss_share: The mean share of high-loss steps.
    seconds: The mean duration of a run.
  """

  arm: str
  seeds: int
  diverged: tuple[int, ...]
  error: Estimate | None
  difference: Estimate | None
  best: Estimate | None
  high_loss_share: float
  seconds: float


def report(workdir: pathlib.Path, console: Console) -> None:
  """Prints what the runs in a directory say, and writes it beside them.

  For each part it writes report.md, report.csv and curves.png.

  Args:
    workdir: A working directory of ``python -m train run``.
    console: Where to print.

  Raises:
    UserError: If there is no run with at least one epoch.
  """
  folders = [folder for folder in (workdir, *sorted(workdir.glob('*/'))) if _metrics_files(folder)]
  if not folders:
    raise UserError(f'{workdir} holds no runs: make some with `python -m train run NAME`.')
  for folder in folders:
    report_part(folder, console)


def report_part(folder: pathlib.Path, console: Console) -> None:
  """Reports on the runs of one part; see :func:`report`."""
  runs, part = read_runs(folder)
  rows = summarise(runs)
  words = verdicts(rows)
  table = [COLUMNS, *(format_row(row) for row in rows)]
  title = f'{part.experiment}, {part.name}: {part.summary}' if part else str(folder)
  (folder / 'report.md').write_text(markdown(title, table, words))
  with (folder / 'report.csv').open('w', newline='') as file:
    csv.writer(file).writerows([CSV_COLUMNS, *map(csv_row, rows)])
  published = published_curves(*part.curves) if part and part.curves else {}
  plot_curves(runs, published, folder / 'curves.png')

  shown = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
  for index, column in enumerate(COLUMNS):
    shown.add_column(column, justify='right' if index else 'left', no_wrap=not index)
  for cells in table[1:]:
    shown.add_row(*cells)
  console.print(f'\n{title}', highlight=False)
  console.print(shown)
  for sentence in words:
    console.print(f'* {sentence}', highlight=False)
  console.print(NOTE, style='dim', highlight=False)
  console.print(f'Curves: {folder / "curves.png"}', highlight=False, soft_wrap=True)


def read_runs(folder: pathlib.Path) -> tuple[Runs, Part | None]:
  """Reads the runs of one part.

  Args:
    folder: Holds ``<arm>/seed-<n>/metrics.csv``.

  Returns:
    From arm and seed to the columns of metrics.csv, and the column ``seconds`` of timing.csv; and
    the part that the runs are of, None if they do not say. Arms are in the order of the part.
  """
  runs: Runs = {}
  part = None
  for path in _metrics_files(folder):
    columns = read_table(path)
    if columns:
      columns['seconds'] = read_table(path.with_name('timing.csv'))['seconds']
      runs.setdefault(path.parts[-3], {})[int(path.parts[-2].removeprefix('seed-'))] = columns
      part = part or _part_of(path.with_name('config.json'))
  arms = [arm.name for arm in (*part.arms, *part.extra_arms)] if part else [BASELINE.name]
  order = {arm: position for position, arm in enumerate(arms)}
  return dict(sorted(runs.items(), key=lambda item: order.get(item[0], len(order)))), part


def summarise(runs: Runs) -> list[Row]:
  """Returns a row per arm, over the runs that got as far as the longest."""
  epochs = max(len(run['epoch']) for seeds in runs.values() for run in seeds.values())
  finished, diverged = {}, {}
  for arm, seeds in runs.items():
    bad = {seed for seed, run in seeds.items() if not np.isfinite(run['train_loss'][-1])}
    diverged[arm] = tuple(sorted(bad))
    finished[arm] = {
      seed: run for seed, run in seeds.items() if seed not in bad and len(run['epoch']) == epochs
    }
  baseline = finished.get(BASELINE.name, {})
  rows = []
  for arm, seeds in finished.items():
    if not seeds:
      if diverged[arm]:
        rows.append(Row(arm, 0, diverged[arm], None, None, None, float('nan'), float('nan')))
      continue
    errors = {seed: run['test_error_percent'] for seed, run in seeds.items()}
    shared = sorted(errors.keys() & baseline.keys()) if arm != BASELINE.name else []
    differences = [errors[seed][-1] - baseline[seed]['test_error_percent'][-1] for seed in shared]
    rows.append(
      Row(
        arm,
        len(seeds),
        diverged[arm],
        estimate(np.array([curve[-1] for curve in errors.values()])),
        estimate(np.array(differences)) if differences else None,
        estimate(np.array([curve.min() for curve in errors.values()])),
        float(np.mean([run['high_loss_share'].mean() for run in seeds.values()])),
        float(np.mean([run['seconds'].sum() for run in seeds.values()])),
      )
    )
  return rows


def verdicts(rows: list[Row]) -> list[str]:
  """Returns a sentence per arm that says whether a difference to the baseline was shown."""
  sentences = []
  for row in rows:
    if row.diverged:
      seeds = ', '.join(map(str, row.diverged))
      sentences.append(
        f'{row.arm}: {len(row.diverged)} of {len(row.diverged) + row.seeds} runs diverged '
        f'(seeds {seeds}) and is not in the mean.'
      )
    if row.arm == BASELINE.name or row.error is None:
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


def format_row(row: Row) -> tuple[str, ...]:
  """Returns the cells of a row as text."""
  if row.error is None:
    return (row.arm, '0', 'diverged', '-', '-', '-', '-')
  return (
    row.arm,
    str(row.seeds),
    format_estimate(row.error),
    format_estimate(row.difference, sign='+'),
    format_estimate(row.best),
    f'{100 * row.high_loss_share:.1f}',
    f'{row.seconds:.0f}',
  )


def format_estimate(value: Estimate | None, sign: str = '') -> str:
  """Returns 'mean ± half-width', or the mean alone where one seed gives no interval."""
  if value is None:
    return '-'
  if np.isinf(value.half_width):
    return f'{value.mean:{sign}.2f}'
  return f'{value.mean:{sign}.2f} ± {value.half_width:.2f}'


def markdown(title: str, table: list[tuple[str, ...]], words: list[str]) -> str:
  """Returns a report as Markdown."""
  lines = [' | '.join(cells) for cells in table]
  lines.insert(1, ' | '.join(['---'] + ['---:'] * (len(COLUMNS) - 1)))
  body = '\n'.join(f'| {line} |' for line in lines)
  bullets = '\n'.join(f'* {sentence}' for sentence in words)
  return f'# {title}\n\n{body}\n\n{bullets}\n\n{NOTE}\n\n![curves](curves.png)\n'


def csv_row(row: Row) -> list:
  """Returns a row of report.csv, with full precision."""
  estimates = [row.error, row.difference, row.best]
  numbers = [number for value in estimates for number in (value or ('', ''))]
  shares = [row.high_loss_share, round(row.seconds, 3)] if row.seeds else ['', '']
  return [row.arm, row.seeds, len(row.diverged), *numbers, *shares]


def _metrics_files(folder: pathlib.Path) -> list[pathlib.Path]:
  return sorted(folder.glob('*/seed-*/metrics.csv'))


def _part_of(config_path: pathlib.Path) -> Part | None:
  if not config_path.exists():
    return None
  config = json.loads(config_path.read_text())
  parts = EXPERIMENTS.get(config['experiment'], ())
  return next((part for part in parts if part.name == config['part']), None)
