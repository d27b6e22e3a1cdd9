"""Study: is the effect of equation9 the memory of the running mean? Writes results/memory.

    python -m studies.memory

Only the memory of the mean is changed: at batch 8, 128 batches an epoch, the mean restarts every 4,
8, 32 or 128 steps, so that neither the luck of a batch nor the training time changes. What
:func:`studies.dispersion.memory.shares_of_luck` predicts for the effect of equation9 divided by that of
algorithm1 was committed, with this file, before the runs. Seeds are none of the study of dispersion.
"""

import pathlib
from typing import Annotated

import numpy as np
import tyro
from rich.console import Console
from rich.progress import track

from studies.arms import Numbers
from studies.dispersion.contrasts import Pair, contrast, of_seeds, ratio
from studies.dispersion.definition import DIRECTIONS, EPOCHS, LCAM, MEAN_MOMENTUM, YOKED, Cell
from studies.dispersion.memory import shares_of_luck
from studies.problems import PROBLEMS
from studies.runner import Runner
from train.system.environment import commit_words, environment
from train.system.statistics import Estimate, format_estimate

BATCH_SIZE, DELTA = 8, 0.25
RESTARTS = (4, 8, 32, 128)
SEEDS = range(400, 800)
NAMES = ('digits', 'digits-softmax')
RULES = ('algorithm1', 'equation9')


def contrast_of(runner: Runner, problem: str, rule: str, restart: int) -> np.ndarray:
  """Returns half the difference between the directions of (LCAM - yoked) / yoked, by seed."""
  tables = {}
  for direction in DIRECTIONS:
    cell = Cell(problem, BATCH_SIZE, DELTA, rule, direction)
    numbers = Numbers(cell.learning_rate, *cell.momenta)
    own = runner.run(LCAM, rule, numbers, restart=restart)
    yoked = runner.run(YOKED, rule, numbers, own.phases, restart)
    losses = {'lcam': own.train_loss, 'yoked': yoked.train_loss}
    tables[direction] = {arm: {'train_loss': values} for arm, values in losses.items()}
  pair = Pair(problem, BATCH_SIZE, DELTA, rule)
  return contrast(pair, tables, 'lcam', 'yoked', 'train_loss').values


def main(
  output: Annotated[pathlib.Path, tyro.conf.arg(help='the folder for the report')] = pathlib.Path(
    'results/memory'
  ),
) -> None:
  """Measures the effect of LCAM when only the memory of its mean changes."""
  made = environment()
  lines = [
    '# Is the effect of equation9 the memory of the running mean?',
    '',
    f'`python -m studies.memory`, commit {commit_words(made)}'
    f', {made["machine"]} CPU. Momenta '
    f'{MEAN_MOMENTUM} ± {DELTA}, batch {BATCH_SIZE}, {len(SEEDS)} seeds. Only the number of steps '
    'after which the mean of the losses restarts is changed. Half the difference between the '
    'directions of (LCAM - yoked) / yoked, of the final training loss, in percent, with 95 % '
    'intervals; and the second divided by the first, as predicted (docs/theory.md) and measured.',
    '',
    '| problem | restart | algorithm1 | equation9 | ratio, predicted | ratio, measured |',
    '|---|---|---|---|---|---|',
  ]
  runners = {
    problem.name: Runner(problem, BATCH_SIZE, EPOCHS[BATCH_SIZE], SEEDS)
    for problem in PROBLEMS
    if problem.name in NAMES
  }
  places = [(name, restart) for restart in RESTARTS for name in NAMES]
  rows = {}
  for name, restart in track(places, console=Console(stderr=True)):
    runner = runners[name]
    first, second = (contrast_of(runner, name, rule, restart) for rule in RULES)
    shares = shares_of_luck(runner.steps_per_epoch, MEAN_MOMENTUM, restart)
    rows[name, restart] = (
      f'| {name} | {restart} | {_percent(first)} | {_percent(second)} | '
      f'{shares.equation9 / shares.algorithm1:+.2f} | {format_estimate(ratio(second, first), "+")} |'
    )
  lines += [rows[name, restart] for name in NAMES for restart in RESTARTS]
  report = '\n'.join(lines) + '\n'
  output.mkdir(parents=True, exist_ok=True)
  (output / 'report.md').write_text(report)
  print(report)


def _percent(values: np.ndarray) -> str:
  value = of_seeds(values)
  return format_estimate(Estimate(100 * value.mean, 100 * value.half_width), '+')


if __name__ == '__main__':
  tyro.cli(main)
