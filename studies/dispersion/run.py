"""Trains the cells of the study and writes each to a file, atomically."""

import csv
import io
import pathlib
import time
from collections.abc import Mapping, Sequence

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from studies.arms import Arm, Numbers
from studies.dispersion import definition
from studies.dispersion.definition import Cell
from studies.fixed_momentum import mean_total_weight, momenta_used, momentum_of_mean_weight
from studies.problems import PROBLEMS
from studies.runner import Results, Runner
from train.system.environment import write_environment
from train.system.files import write_whole

COLUMNS = ('arm', 'seed', *definition.ENDPOINTS, 'mean_momentum')


def run_cells(cells: Sequence[Cell], seeds: Sequence[int], directory: pathlib.Path) -> None:
  """Trains the cells that have no file yet.

  Args:
    cells: The cells; order them by problem and batch size, which share data and programs.
    seeds: The seeds of every arm.
    directory: The folder of their files.
  """
  directory.mkdir(parents=True, exist_ok=True)
  write_environment(directory)
  missing = [cell for cell in cells if not path_of(cell, directory).exists()]
  console = Console()
  console.print(f'{len(cells) - len(missing)} of {len(cells)} cells are done.')
  columns = (TextColumn('{task.description}'), BarColumn(), MofNCompleteColumn())
  runner, key = None, None
  start, done, total = time.monotonic(), 0, sum(cell.runs for cell in missing)
  with Progress(
    *columns, TimeElapsedColumn(), TextColumn('{task.fields[left]}'), console=console
  ) as progress:
    task = progress.add_task('cells', total=len(missing), left='')
    for cell in missing:
      progress.update(task, description=cell.name)
      if runner is None or key != (cell.problem, cell.batch_size):
        key = (cell.problem, cell.batch_size)
        problem = next(problem for problem in PROBLEMS if problem.name == cell.problem)
        runner = Runner(problem, cell.batch_size, definition.EPOCHS[cell.batch_size], seeds)
      write_whole(path_of(cell, directory), _table(run_cell(runner, cell), seeds, cell, runner))
      done += cell.runs
      seconds = (time.monotonic() - start) / done * (total - done)
      left = f'{seconds / 60:.0f} min left'
      progress.update(task, advance=1, left=left)
      if not console.is_interactive:  # the bar of a log file does not move
        console.print(f'{cell.name}: {done * len(seeds):,} runs, {left}', soft_wrap=True)


def path_of(cell: Cell, directory: pathlib.Path) -> pathlib.Path:
  """Returns the path of the table of a cell."""
  return directory / f'{cell.name}.csv'


def run_cell(runner: Runner, cell: Cell) -> dict[str, tuple[Results, float | None]]:
  """Trains all arms of a cell.

  Args:
    runner: The runner of its problem and batch size.
    cell: The cell.

  Returns:
    By the name of each arm, its results and, if all its momenta are equal, that momentum.
  """
  numbers = Numbers(cell.learning_rate, *cell.momenta)
  results: dict[str, tuple[Results, float | None]] = {}

  def run(arm: Arm) -> None:
    partners = results[arm.partner][0].phases if arm.partner else None
    fixed = definition.MEAN_MOMENTUM if cell.rule == 'weights' else None
    results[arm.name] = runner.run(arm, cell.rule, numbers, partners), fixed

  run(definition.LCAM)
  run(definition.YOKED)
  if cell.has_mechanism_arms:
    for arm in definition.MECHANISM:
      run(arm)
    phases = results['lcam'][0].phases
    used = momenta_used(phases, cell.rule, *cell.momenta)
    same_weight = momentum_of_mean_weight(mean_total_weight(used), runner.steps)
    momenta = (float(used.mean()), same_weight)
    for name, momentum in zip(definition.FIXED, momenta, strict=True):
      equal = Numbers(cell.learning_rate, momentum, momentum)
      # With equal momenta it is SGD with that momentum, whatever phases are replayed.
      arm = Arm(name, partner='lcam')
      results[name] = runner.run(arm, cell.rule, equal, phases), momentum
  return results


def _table(
  results: Mapping[str, tuple[Results, float | None]],
  seeds: Sequence[int],
  cell: Cell,
  runner: Runner,
) -> str:
  text = io.StringIO()
  writer = csv.writer(text, lineterminator='\n')
  writer.writerow(COLUMNS)
  for arm, (result, momentum) in results.items():
    if momentum is None:
      momenta = momenta_used(result.phases, cell.rule, *cell.momenta).mean(1)
    else:
      momenta = np.full(len(seeds), momentum)
    for i, seed in enumerate(seeds):
      endpoints = (f'{getattr(result, name)[i]:.7g}' for name in definition.ENDPOINTS)
      writer.writerow((arm, seed, *endpoints, f'{momenta[i]:.5g}'))
  return text.getvalue()
