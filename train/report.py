"""What the runs in a directory say: a table, the same as Markdown and CSV, plots, and words."""

import csv
import pathlib
from typing import Any, NamedTuple

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from train.errors import UserError
from train.experiments import BASELINE, EXPERIMENTS, Arm, Network, Part, describe_network
from train.plots import plot_curves
from train.published import published_curves
from train.records import EpochRecord, read_config, read_table
from train.statistics import Estimate, estimate, paired_difference

Runs = dict[str, dict[int, dict[str, np.ndarray]]]

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
NOTE = (
  'Test error after the last epoch and its paired difference to fixed-0.9: mean over n seeds and 95 '
  "% confidence interval (Student t). Best: the mean of each run's best epoch, which is chosen on "
  'the test set and so flatters. High: share of steps in the high-loss phase. s/epoch: median '
  'seconds of training, without evaluation.'
)


class RunsOfPart(NamedTuple):
  """What :func:`read_runs` finds.

  Attributes:
    runs: From arm and seed to the columns of metrics.csv, and the column ``seconds`` of timing.csv.
    part: The part that the runs are of; None if they do not say.
    config: The configuration of one of them.
    epochs: How many epochs a finished run has.
  """

  runs: Runs
  part: Part | None
  config: dict[str, Any]
  epochs: int


class Contrast(NamedTuple):
  """One arm against another.

  Attributes:
    arm: The name of the one.
    other: The name of the other.
    difference: The error of the one minus that of the other on the same seeds, in percentage points.
  """

  arm: str
  other: str
  difference: Estimate | None


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

  For each part it writes report.md, report.csv and curves.png.

  Args:
    workdir: A working directory of ``python -m train run``.
    console: Where to print.

  Raises:
    UserError: If there is no run with at least one epoch, or a table is damaged.
  """
  folders = [workdir, *sorted(folder for folder in workdir.glob('*') if folder.is_dir())]
  found = {folder: read_runs(folder) for folder in folders}
  found = {folder: part for folder, part in found.items() if part.runs}
  if not found:
    raise UserError(
      f'{workdir} holds no runs with a finished epoch: make some with `python -m train run NAME`.'
    )
  for folder, part in found.items():
    report_part(folder, part, console)


def report_part(folder: pathlib.Path, found: RunsOfPart, console: Console) -> None:
  """Reports on the runs of one part; see :func:`report`."""
  part = found.part
  rows = summarise(found)
  words = [*verdicts(rows, found.epochs), *map(compare, contrasts(found))]
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


def read_runs(folder: pathlib.Path) -> RunsOfPart:
  """Reads the runs of one part, its arms in the order of the experiment.

  Args:
    folder: Holds ``<arm>/seed-<n>/metrics.csv``.

  Raises:
    UserError: If a table is damaged.
  """
  runs: Runs = {}
  config: dict[str, Any] = {}
  for path in sorted(folder.glob('*/seed-*/metrics.csv')):
    columns = read_table(path, EpochRecord._fields)
    if len(columns['epoch']):
      columns |= read_table(path.with_name('timing.csv'), ['seconds'])
      runs.setdefault(path.parts[-3], {})[int(path.parts[-2].removeprefix('seed-'))] = columns
      config = config or read_config(path.parent)
  parts = EXPERIMENTS.get(config.get('experiment', ''), ())
  part = next((part for part in parts if part.name == config['part']), None)
  arms = [arm.name for arm in (*part.arms, *part.extra_arms)] if part else [BASELINE.name]
  order = {arm: position for position, arm in enumerate(arms)}
  runs = dict(sorted(runs.items(), key=lambda item: order.get(item[0], len(order))))
  lengths = [len(run['epoch']) for seeds in runs.values() for run in seeds.values()]
  return RunsOfPart(runs, part, config, config.get('epochs') or max(lengths, default=0))


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


def finished_runs(found: RunsOfPart) -> Runs:
  """Returns the runs that came to their last epoch without diverging; an arm may have none."""
  return {
    arm: {
      seed: run
      for seed, run in seeds.items()
      if len(run['epoch']) >= found.epochs and np.isfinite(run['train_loss'][-1])
    }
    for arm, seeds in found.runs.items()
  }


def last_errors(runs: dict[int, dict[str, np.ndarray]]) -> dict[int, float]:
  """Returns the test error after the last epoch by seed, in percent."""
  return {seed: float(run['test_error_percent'][-1]) for seed, run in runs.items()}


def summarise(found: RunsOfPart) -> list[Row]:
  """Returns a row per arm, over its finished runs."""
  finished = finished_runs(found)
  baseline = last_errors(finished.get(BASELINE.name, {}))
  rows = []
  for arm, seeds in finished.items():
    others = {seed: run for seed, run in found.runs[arm].items() if seed not in seeds}
    diverged = tuple(seed for seed in sorted(others) if _diverged(others[seed]))
    unfinished = {seed: len(run['epoch']) for seed, run in others.items() if not _diverged(run)}
    if not seeds:
      nothing = None, None, None, float('nan'), float('nan')
      rows.append(Row(arm, 0, diverged, unfinished, *nothing))
      continue
    errors = last_errors(seeds)
    rows.append(
      Row(
        arm,
        len(seeds),
        diverged,
        unfinished,
        estimate(np.array(list(errors.values()))),
        paired_difference(errors, baseline) if arm != BASELINE.name else None,
        estimate(np.array([run['test_error_percent'].min() for run in seeds.values()])),
        float(np.mean([run['high_loss_share'].mean() for run in seeds.values()])),
        float(np.median(np.concatenate([run['seconds'] for run in seeds.values()]))),
      )
    )
  return rows


def _diverged(run) -> bool:
  return not np.isfinite(run['train_loss'][-1])


def contrasts(found: RunsOfPart) -> list[Contrast]:
  """Returns what a pair of momenta does beyond its controls, over the seeds that both finished.

  An LCAM is set against the coin that has its momenta in the same proportion, which asks whether
  the loss does anything; and the higher momentum in the high-loss phase against the other
  direction.
  """
  if not found.part:
    return []
  errors = {arm: last_errors(runs) for arm, runs in finished_runs(found).items()}
  arms = [arm for arm in (*found.part.arms, *found.part.extra_arms) if arm.name in errors]
  pairs = [
    (arm, other)
    for arm in arms
    for other in arms
    if arm.method == 'lcam' and (_is_its_coin(arm, other) or _is_its_mirror(arm, other))
  ]
  found_differences = (
    Contrast(arm.name, other.name, paired_difference(errors[arm.name], errors[other.name]))
    for arm, other in pairs
  )
  return [contrast for contrast in found_differences if contrast.difference is not None]


def _is_its_coin(arm: Arm, other: Arm) -> bool:
  return other.method == 'coin' and _momenta(arm) == _momenta(other)


def _is_its_mirror(arm: Arm, other: Arm) -> bool:
  low, high = _momenta(arm)
  return other.method == 'lcam' and high > low and _momenta(other) == (high, low)


def _momenta(arm: Arm) -> tuple[float, float]:
  return arm.low_loss_momentum, arm.high_loss_momentum


def compare(contrast: Contrast) -> str:
  """Returns a sentence that says whether a difference was shown."""
  arm, other, difference = contrast
  if np.isinf(difference.half_width):
    return f'{arm}: one seed cannot tell a difference to {other} from noise; run more.'
  if difference.excludes_zero():
    side = 'lower' if difference.mean < 0 else 'higher'
    return (
      f'{arm}: a {side} error than {other} was shown, by {abs(difference.mean):.2f} ± '
      f'{difference.half_width:.2f} points.'
    )
  return (
    f'{arm}: no difference to {other} was shown; the interval holds zero '
    f'({format_estimate(difference, sign="+")} points).'
  )


def verdicts(rows: list[Row], epochs: int) -> list[str]:
  """Returns sentences that say whether differences to the baseline were shown, and what is left out.

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
    if row.arm == BASELINE.name or row.error is None:
      continue
    if row.difference is None:
      sentences.append(f'{row.arm}: no run of {BASELINE.name} on the same seeds to compare with.')
    else:
      sentences.append(compare(Contrast(row.arm, BASELINE.name, row.difference)))
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


def format_estimate(value: Estimate | None, sign: str = '') -> str:
  """Returns 'mean ± half-width', or the mean alone where one seed gives no interval."""
  if value is None:
    return '-'
  if np.isinf(value.half_width):
    return f'{value.mean:{sign}.2f}'
  return f'{value.mean:{sign}.2f} ± {value.half_width:.2f}'


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
