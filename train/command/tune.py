"""The command ``tune``: tunes each arm alike, then compares the tuned arms on fresh seeds."""

import dataclasses
import functools
import pathlib
from collections.abc import Iterable
from typing import Literal

from rich.console import Console

from train.command.compare import working_folder
from train.command.options import TuneOptions
from train.command.progress import RunTable
from train.command.run import Folders, prepare, report_folders, train_folders
from train.launch.run import run_comparison
from train.launch.tuning import default_seeds, tune_arms
from train.problem.comparison import Comparison
from train.problem.tuning import Search, Searched, Stage
from train.reports import check_results
from train.reports.read_runs import find_runs
from train.reports.results import Results
from train.training.trainer import Settings


def tune_and_report(options: TuneOptions, console: Console) -> None:
  """Tunes the arms of an experiment, or of a problem of the user's; trains, tests and reports them."""
  prepared = prepare(options, console)
  say = functools.partial(prepared.console.print, soft_wrap=True, highlight=False, markup=False)
  done: dict[pathlib.Path, Comparison] = {}
  for folder, comparison in prepared.folders.items():

    def train(where: pathlib.Path, stage: Stage, comparison: Comparison = comparison) -> Folders:
      staged = {where: stage.of(comparison)}
      if failure := train_folders(prepared, staged, stage):
        raise failure
      return staged

    search = options.search(comparison)
    arms = tune_arms(search, folder, options.epoch, train, say)
    seeds = comparison.seeds if options.changes.seeds else default_seeds(folder)
    done |= train(folder, Stage.with_arms('tuned', arms, seeds))
  report_folders(prepared, done)


def tune(
  comparison: Comparison,
  *,
  points: int = 32,
  tuning_seeds: int = 4,
  tune: Iterable[Searched] = (),
  epoch: Literal['last', 'best'] = 'last',
  seeds: Iterable[int] | None = None,
  workdir: str | pathlib.Path | None = None,
  progress: bool = True,
) -> Results:
  """Tunes each arm of a comparison alike on validation data, then compares them on fresh seeds.

  Every arm gets the same number of points, of a scrambled Sobol sequence, in a range of learning rates
  of seven octaves around its own. For arms with momentum that is the effective rate, the learning rate
  over one minus the mean momentum. The point with the best metric on validation data is the arm's;
  where it lies at an edge, every arm gets as many points again, and the range goes on beyond the edge.
  A yoked arm has the numbers of its partner. Validation data are ``Dataset(validation=...)``, or a
  fifth of the training examples; they are never trained on. The test split chooses nothing.

  Args:
    comparison: What is compared.
    points: The number of points of each arm.
    tuning_seeds: The number of seeds of each point.
    tune: What is tuned besides the learning rate: 'momentum', 'weight_decay'.
    epoch: Whether arms are judged by their last epoch, or by the best one on validation data.
    seeds: The seeds that the tuned arms are tested with; by default 0 to 99 where runs are trained
      at once, else 0 to 4.
    workdir: See :func:`train.compare`.
    progress: Whether to show how far the runs are.

  Returns:
    The results of the tuned arms; ``tuning`` has the points that were tried.

  Raises:
    UserError: See :func:`train.compare`.

  Example:
    >>> import numpy as np
    >>> from flax import nnx
    >>> from train import Comparison, Dataset, Split, tune
    >>> inputs, labels = np.eye(8, dtype='float32'), np.arange(8) % 2
    >>> comparison = Comparison(
    ...   name='parity',
    ...   dataset=Dataset('parity', Split(inputs, labels), Split(inputs, labels), ('even', 'odd')),
    ...   network=lambda num_classes, rngs: nnx.Linear(8, num_classes, rngs=rngs),
    ...   epochs=2,
    ...   batch_size=4,
    ...   arms=('fixed-0.9', 'low0.9-high0.95'),
    ... )
    >>> results = tune(comparison, points=2, seeds=range(3), progress=False)
    >>> results.arms['fixed-0.9'].metric.shape
    (3,)
  """
  search = Search(comparison, points, tuning_seeds, tuple(dict.fromkeys(tune)))
  if seeds is not None:
    seeds = tuple(seeds)
    dataclasses.replace(comparison, seeds=seeds)  # which checks them
  console = Console(quiet=not progress)
  say = functools.partial(console.print, highlight=False, markup=False)
  with working_folder(workdir) as folder:

    def train(where: pathlib.Path, stage: Stage) -> Comparison:
      staged = stage.of(comparison)
      run_comparison(staged, where, console, Settings(together='auto'), RunTable)
      return staged

    arms = tune_arms(search, folder, epoch, train, say)
    tested = default_seeds(folder) if seeds is None else seeds
    check_results(train(folder, Stage.with_arms('tuned', arms, tested)), folder)
    return Results(find_runs(folder)[folder])
