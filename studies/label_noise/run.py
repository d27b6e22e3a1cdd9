"""Tunes, trains and tests the cells of the study, and writes each to files, atomically."""

import dataclasses
import functools
import itertools
import pathlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Bool, Float, Int

from studies.arms import Rule
from studies.cells import csv_text, run_missing
from studies.fixed_momentum import Momenta, momenta_used
from studies.label_noise import definition
from studies.label_noise.definition import Cell, Setting
from studies.label_noise.losses import absolute_error
from studies.label_noise.methods import Method, loss_of
from studies.network import Params, logits
from studies.problems import Targets
from studies.training import Engine, Trained, score
from train import Split, wrong_answer
from train.data.randomness import epoch_order
from train.problem.comparison import PerExample

SEARCH_COLUMNS = ('method', 'rate', 'validation_error')
TEST_COLUMNS = (
  'method',
  'rate',
  'validation_error',
  'seed',
  'test_error',
  'wrong_learnt',
  'wrong_weight',
)
LOSSES_COLUMNS = ('share_wrong', 'after', 'labels', 'percent', 'loss')
PERCENTS = tuple(range(0, 101, 2))  # of the losses, whose quantiles are kept


class Data(NamedTuple):
  """The examples of a cell.

  Attributes:
    training: The training examples, with their wrong labels.
    wrong: Which of them have a wrong label.
    right: Their right labels.
    counterfactual: The training examples with other wrong labels, as many as the noise can make.
    validation: The validation examples, with their wrong labels.
    test: The test examples, whose labels are right.
  """

  training: Split
  wrong: Bool[np.ndarray, ' examples']
  right: Targets
  counterfactual: Split
  validation: Split
  test: Split


@dataclasses.dataclass(frozen=True)
class Run:
  """A run of a method.

  Attributes:
    method: The method.
    rate: The effective rate.
    seed: The seed.
  """

  method: Method
  rate: float
  seed: int


class Finished(NamedTuple):
  """What is kept of a run.

  Attributes:
    validation_error: Mean error on validation examples, with their wrong labels.
    test_error: Mean error on test examples.
    wrong_learnt: The share of wrong labels of training examples that the network gives.
    phases: The phase of each step, if the optimizer has any.
  """

  validation_error: float
  test_error: float
  wrong_learnt: float
  phases: np.ndarray | None


def run_cells(cells: Sequence[Cell], directory: pathlib.Path) -> None:
  """Runs the cells that have no files yet.

  Args:
    cells: The cells.
    directory: The folder of their files.
  """
  run_missing(cells, directory, paths, run_cell)


def paths(cell: Cell, directory: pathlib.Path) -> tuple[pathlib.Path, ...]:
  """Returns the files of a cell: what was tried, the losses of examples, and the tests."""
  return tuple(directory / f'{cell.name}-{what}.csv' for what in ('search', 'losses', 'test'))


def run_cell(cell: Cell) -> tuple[str, str, str]:
  """Tunes all methods, trains them with the chosen rates, and tests them.

  Args:
    cell: The cell.

  Returns:
    The tables of what was tried, of the losses of examples, and of the tests.
  """
  trainer = Trainer(cell)
  methods, rates = cell.setting.methods, cell.setting.rates
  tried = trainer.train(itertools.product(methods, rates), cell.tuning_seeds)
  errors = {
    (method, rate): float(
      np.mean([tried[Run(method, rate, seed)].validation_error for seed in cell.tuning_seeds])
    )
    for method, rate in itertools.product(methods, rates)
  }
  chosen = {method: min(rates, key=lambda rate: errors[method, rate]) for method in methods}
  tested = trainer.train(chosen.items(), cell.final_seeds)
  rows = []
  for method, rate in chosen.items():
    runs = [tested[Run(method, rate, seed)] for seed in cell.final_seeds]
    weights = trainer.wrong_weights(method, runs, cell.final_seeds)
    for seed, run, weight in zip(cell.final_seeds, runs, weights, strict=True):
      numbers = (errors[method, rate], seed, run.test_error, run.wrong_learnt, weight)
      rows.append((method.name, f'{rate:.6g}', *(f'{number:.6g}' for number in numbers)))
  search = (
    (method.name, f'{rate:.6g}', f'{error:.6g}') for (method, rate), error in errors.items()
  )
  losses = trainer.losses(chosen[definition.FIXED], cell.final_seeds)
  return (
    csv_text(SEARCH_COLUMNS, search),
    csv_text(LOSSES_COLUMNS, losses),
    csv_text(TEST_COLUMNS, rows),
  )


def load(cell: Cell) -> Data:
  """Loads the examples of a cell, and makes labels wrong.

  Args:
    cell: The cell.
  """
  setting, examples = cell.setting, cell.setting.problem.load()
  classes, number = setting.problem.classes, setting.train_examples

  def divided(labels):
    return dataclasses.replace(examples, labels=labels).divide(number, cell.repeat)

  right, _ = divided(examples.labels)
  noisy = setting.noise.wrong_labels(examples.labels, classes, cell.repeat)
  training, validation = divided(noisy)
  # Wrong in the same way, each of them.
  kind = dataclasses.replace(setting.noise, share=1.0)
  other, _ = divided(kind.wrong_labels(examples.labels, classes, cell.repeat))
  wrong = training.labels != right.labels
  test = Split(examples.test_inputs, examples.test_labels)
  return Data(training, wrong, right.labels, other, validation, test)


class Trainer:
  """Trains runs on the examples of a cell, and scores them."""

  def __init__(self, cell: Cell):
    """Loads the examples."""
    self._setting, self._data = cell.setting, load(cell)
    self._error = error_of(cell.setting)
    self._sizes = cell.setting.problem.sizes(self._data.training.inputs.shape[1])

  def train(
    self, chosen: Iterable[tuple[Method, float]], seeds: Sequence[int]
  ) -> dict[Run, Finished]:
    """Trains methods at rates, and the partners of the yoked ones at the same rates.

    Args:
      chosen: Methods with rates; a yoked one comes after its partner.
      seeds: The seeds; a partner has the next one, and that of the last is the first.

    Returns:
      What is kept of each run.
    """
    by_name = {method.name: method for method in self._setting.methods}
    runs: dict[Run, None] = {}
    for method, rate in chosen:
      for one in (by_name[method.partner], method) if method.partner else (method,):
        runs.update(dict.fromkeys(Run(one, rate, seed) for seed in seeds))
    finished: dict[Run, Finished] = {}
    next_seed = dict(zip(seeds, [*seeds[1:], seeds[0]], strict=True))
    groups: dict[tuple[bool, Rule, str, bool], list[Run]] = {}
    for run in runs:
      method = run.method
      key = bool(method.partner), method.rule, method.loss, method.early
      groups.setdefault(key, []).append(run)
    for _, group in sorted(groups.items()):  # yoked ones last
      starts = []
      for run in group:
        phases = None
        if run.method.partner:
          partner = Run(by_name[run.method.partner], run.rate, next_seed[run.seed])
          phases = finished[partner].phases
        starts.append(run.method.start(run.rate, run.seed, phases))
      method = group[0].method
      earlier = range(1, self._setting.epochs) if method.early else ()
      trained = self._engine(method.loss_on(self._setting.problem), earlier).train(starts)
      finished.update(zip(group, self._finish(trained), strict=True))
    return finished

  def wrong_weights(
    self, method: Method, runs: Sequence[Finished], seeds: Sequence[int]
  ) -> Sequence[float]:
    """Returns the mean total weight of wrong labels' gradients, relative to that of all, by run.

    It is that of the last half of the epochs; NaN for methods of one momentum, and without wrong
    labels.
    """
    if method.low == method.high or not self._data.wrong.any():
      return [float('nan')] * len(runs)
    phases = np.array([run.phases for run in runs])
    momenta = momenta_used(phases, method.rule, method.high, method.low)
    weights = total_weights(momenta)
    orders = np.stack([self._orders(seed) for seed in seeds])
    wrong = self._data.wrong[orders].reshape(*weights.shape, -1).mean(2)
    half = slice(weights.shape[1] // 2, None)
    weights, wrong = weights[:, half], wrong[:, half]
    return (weights * wrong).sum(1) / wrong.sum(1) / weights.mean(1)

  def losses(self, rate: float, seeds: Sequence[int]) -> list[tuple]:
    """Returns the quantiles of the losses of training examples in runs of fixed momentum.

    Args:
      rate: The effective rate.
      seeds: The seeds.
    """
    epochs, data = self._setting.epochs, self._data
    loss = loss_of(self._setting.problem)
    times = {'half': epochs // 2, 'last': epochs - 1}
    starts = [definition.FIXED.start(rate, seed) for seed in seeds]
    trained = self._engine(loss, tuple(times.values())).train(starts)
    rows = []
    for name, params in zip(times, trained.earlier, strict=True):
      own, other = (
        per_example(params, split, loss) for split in (data.training, data.counterfactual)
      )
      of = {
        'right': own[:, ~data.wrong],
        'wrong': own[:, data.wrong],
        'other': other[:, data.counterfactual.labels != data.right],
      }
      for labels, values in of.items():
        if values.size:
          quantiles = np.percentile(values, PERCENTS)
          for percent, value in zip(PERCENTS, quantiles, strict=True):
            rows.append((f'{data.wrong.mean():.4g}', name, labels, percent, f'{value:.5g}'))
    return rows

  def _engine(self, loss: PerExample, earlier: Sequence[int]) -> Engine:
    setting = self._setting
    training = self._data.training
    return Engine(training, self._sizes, setting.batch_size, setting.epochs, loss, tuple(earlier))

  def _orders(self, seed: int) -> Int[np.ndarray, ' steps_times_batch']:
    return _orders(seed, self._setting.epochs, self._setting.train_examples)

  def _finish(self, trained: Trained) -> list[Finished]:
    parts = [self._scores(params) for params in (*trained.earlier, trained.params)]
    best = np.argmin([part[0] for part in parts], axis=0)  # of one, or of all for early stopping
    scores = np.take_along_axis(np.array(parts), best[None, None], axis=0)[0]
    phases = [None] * len(best) if trained.phases is None else trained.phases
    return [Finished(*map(float, row), phase) for row, phase in zip(scores.T, phases, strict=True)]

  def _scores(self, params: Params) -> Float[np.ndarray, '3 runs']:
    data, loss = self._data, loss_of(self._setting.problem)
    finite = np.all(
      [np.isfinite(leaf).reshape(len(leaf), -1).all(1) for leaf in _leaves(params)], 0
    )
    found = []
    for split in (data.validation, data.test):
      errors = score(params, split, loss, self._error).error
      guess = guess_error(self._setting, split)
      found.append(np.where(finite, np.fmin(errors, guess), guess))
    learnt = np.full(len(finite), np.nan)
    if data.wrong.any() and self._setting.problem.classes > 1:
      # One shape for all cells, or each would compile a program: no network answers -1.
      labels = np.where(data.wrong, data.training.labels, -1).astype(np.int32)
      unlearnt = score(params, Split(data.training.inputs, labels), loss, self._error).error
      learnt = (1 - unlearnt) / data.wrong.mean()
    return np.stack([*found, learnt])


def error_of(setting: Setting) -> PerExample:
  """Returns the error of each example."""
  return absolute_error if setting.problem.classes == 1 else wrong_answer


def guess_error(setting: Setting, examples: Split) -> float:
  """Returns the error of a uniform guess, or of the mean target, which is 0, on some examples."""
  classes = setting.problem.classes
  return float(np.abs(examples.labels).mean()) if classes == 1 else 1 - 1 / classes


def total_weights(momenta: Momenta) -> Momenta:
  """Returns the total weight of each step's gradient in all updates of the weights.

  Args:
    momenta: The momentum of each update.

  Example:
    >>> total_weights(np.array([[0.9, 0.5, 0.0]])).tolist()
    [[1.5, 1.0, 1.0]]
  """
  weights = np.ones(momenta.shape)
  for step in range(momenta.shape[-1] - 2, -1, -1):
    weights[..., step] = 1 + momenta[..., step + 1] * weights[..., step + 1]
  return weights


def per_example(
  params: Params, examples: Split, loss: PerExample
) -> Float[np.ndarray, 'runs examples']:
  """Returns the loss of each example with the weights of each run."""
  return np.asarray(_per_example(params, examples.inputs, examples.labels, loss))


@functools.partial(jax.jit, static_argnums=3)
def _per_example(params, inputs, labels, loss):
  return jax.lax.map(lambda of_run: loss(logits(of_run, inputs), labels), params)


_orders_of = jax.jit(jax.vmap(epoch_order, (None, 0, None)), static_argnums=2)


@functools.lru_cache(4096)
def _orders(seed: int, epochs: int, examples: int) -> Int[np.ndarray, ' steps_times_batch']:
  return np.asarray(_orders_of(seed, np.arange(epochs), examples)).ravel()


def _leaves(params: Params) -> list[np.ndarray]:
  return [leaf for layer in params for leaf in layer]
