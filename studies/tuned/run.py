"""Tunes, trains and tests the cells of the study, and writes each to files, atomically."""

import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from studies.arms import Rule
from studies.cells import csv_text, run_missing
from studies.training import Engine, Trained, score
from studies.tuned import definition
from studies.tuned.definition import Cell
from studies.tuned.methods import Method, Point
from train import Split

_POINT = ('effective_rate', 'momentum', 'validation_loss')
SEARCH_COLUMNS = ('method', 'tuning', 'part', 'point', *_POINT)
TEST_COLUMNS = ('method', 'part', 'tuning', 'point', *_POINT, 'seed', *definition.ENDPOINTS)


class Scores(NamedTuple):
  """Errors and losses of runs, after half of their epochs and after all of them.

  Attributes:
    error: Share of wrong answers.
    loss: Mean cross-entropy.
  """

  error: Float[np.ndarray, 'runs 2']
  loss: Float[np.ndarray, 'runs 2']


class Tried(NamedTuple):
  """A point that was tried.

  Attributes:
    method: The method.
    tuning: The number of its tuning.
    part: Half of the epochs or all of them.
    index: Its number among the points of the tuning.
    point: The point.
    validation_loss: The mean over the seeds of the tuning.
  """

  method: Method
  tuning: int
  part: str
  index: int
  point: Point
  validation_loss: float


def run_cells(cells: Sequence[Cell], directory: pathlib.Path) -> None:
  """Runs the cells that have no files yet.

  Args:
    cells: The cells.
    directory: The folder of their files.
  """

  def paths(cell: Cell, directory: pathlib.Path) -> tuple[pathlib.Path, ...]:
    return search_path(cell, directory), final_path(cell, directory)

  run_missing(cells, directory, paths, run_cell)


def search_path(cell: Cell, directory: pathlib.Path) -> pathlib.Path:
  """Returns the path of the points that a cell tried."""
  return directory / f'{cell.name}-search.csv'


def final_path(cell: Cell, directory: pathlib.Path) -> pathlib.Path:
  """Returns the path of the tests of a cell."""
  return directory / f'{cell.name}-test.csv'


def run_cell(cell: Cell) -> tuple[str, str]:
  """Tunes all methods, trains them with the chosen numbers, and tests them.

  Args:
    cell: The cell.

  Returns:
    The table of the tried points, and the table of the tests.
  """
  engine, validation, test = prepare(cell)
  tried = search(engine, validation, cell)
  return _search_table(tried), _test_table(engine, test, cell, choose(tried))


def prepare(cell: Cell) -> tuple[Engine, Split, Split]:
  """Returns the engine of a cell, with its training examples, and the other examples.

  Args:
    cell: The cell.

  Returns:
    The engine, the validation examples and the test examples.
  """
  problem, batch_size = cell.setting.problem, cell.setting.batch_size
  examples = problem.load()
  training, validation = examples.divide(definition.TRAIN_EXAMPLES, cell.repeat)
  sizes = problem.sizes(training.inputs.shape[1])
  epochs = definition.EPOCHS[batch_size]
  engine = Engine(training, sizes, batch_size, epochs, earlier=(epochs // 2,))
  return engine, validation, Split(examples.test_inputs, examples.test_labels)


def bounded_scores(trained: Trained, examples: Split) -> Scores:
  """Scores weights; those that are not finite, or worse than a guess, count as a guess.

  Args:
    trained: The trained runs.
    examples: Examples that were not trained on.

  Returns:
    The scores of all runs.
  """
  halves = [score(params, examples) for params in (*trained.earlier, trained.params)]
  error, loss = (
    np.stack(values, 1) for values in ([one.error for one in halves], [one.loss for one in halves])
  )
  classes = trained.params[-1][1].shape[-1]
  finite = np.isfinite(loss)
  return Scores(
    np.where(finite, error, 1 - 1 / classes),
    np.minimum(np.where(finite, loss, np.inf), np.log(classes)),
  )


def search(engine: Engine, validation: Split, cell: Cell) -> list[Tried]:
  """Tries the points of all tunings.

  Args:
    engine: The engine, with the training examples.
    validation: The validation examples.
    cell: The cell.

  Returns:
    The tried points, ordered by method, tuning, part and point.
  """
  tunings = {method: range(1) for method in definition.METHODS}
  tunings[definition.FIXED] = range(1 + definition.FURTHER_TUNINGS)
  tried = []
  for methods in _by_rule(definition.METHODS).values():
    wanted = [(method, tuning) for method in methods for tuning in tunings[method]]
    starts = [
      start
      for method, tuning in wanted
      for start in method.starts(cell.points(tuning), cell.tuning_seeds(tuning))
    ]
    losses = bounded_scores(engine.train(starts), validation).loss
    shape = (len(wanted), definition.POINTS, definition.TUNING_SEEDS, len(definition.PARTS))
    means = losses.reshape(shape).mean(2)
    tried += [
      Tried(method, tuning, part, index, point, float(means[i, index, j]))
      for i, (method, tuning) in enumerate(wanted)
      for j, part in enumerate(definition.PARTS)
      for index, point in enumerate(cell.points(tuning))
    ]
  return tried


def choose(tried: Iterable[Tried]) -> dict[tuple[str, str], Tried]:
  """Chooses the points with the lowest validation loss.

  Args:
    tried: The tried points.

  Returns:
    The chosen point, by the name of the method or control and the part.
  """
  sets: dict[tuple[str, str], list[Tried]] = {}
  for one in tried:
    names = [one.method.name]
    if one.tuning:
      again = [definition.FIXED_AGAIN] if one.tuning == 1 else []
      names = [definition.FIXED_12_FOLD, *again]
    for name in names:
      sets.setdefault((name, one.part), []).append(one)
  return {
    key: min(candidates, key=lambda one: one.validation_loss) for key, candidates in sets.items()
  }


def _search_table(tried: Iterable[Tried]) -> str:
  rows = ((one.method.name, one.tuning, one.part, one.index, *_numbers(one)) for one in tried)
  return csv_text(SEARCH_COLUMNS, rows)


def _test_table(
  engine: Engine, test: Split, cell: Cell, chosen: Mapping[tuple[str, str], Tried]
) -> str:
  rows = []
  seeds = cell.final_seeds
  methods = dict.fromkeys(one.method for one in chosen.values())
  for of_rule in _by_rule(methods).values():
    wanted = [(name, one) for (name, _), one in chosen.items() if one.method in of_rule]
    starts = [start for _, one in wanted for start in one.method.starts([one.point], seeds)]
    scores = bounded_scores(engine.train(starts), test)
    errors, losses = (
      array.reshape(len(wanted), len(seeds), len(definition.PARTS)) for array in scores
    )
    for i, (name, one) in enumerate(wanted):
      part = definition.PARTS.index(one.part)
      for j, seed in enumerate(seeds):
        ends = (f'{errors[i, j, part]:.6g}', f'{losses[i, j, part]:.6g}')
        rows.append((name, one.part, one.tuning, one.index, *_numbers(one), seed, *ends))
  return csv_text(TEST_COLUMNS, rows)


def _by_rule(methods: Iterable[Method]) -> dict[Rule, list[Method]]:
  found: dict[Rule, list[Method]] = {}
  for method in methods:
    found.setdefault(method.rule, []).append(method)
  return found


def _numbers(one: Tried) -> tuple[str, ...]:
  return tuple(f'{number:.5g}' for number in (*one.point, one.validation_loss))
