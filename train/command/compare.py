"""Runs a comparison from a notebook or a script."""

import contextlib
import dataclasses
import pathlib
import tempfile
from collections.abc import Iterable, Iterator

from rich.console import Console

from train.command.progress import RunTable
from train.launch.run import run_comparison
from train.problem.comparison import Comparison
from train.reports import check_results
from train.reports.read_runs import find_runs
from train.reports.results import Results
from train.system.environment import settled_jax
from train.training.memory import out_of_memory_explained
from train.training.trainer import Settings


@contextlib.contextmanager
def working_folder(workdir: str | pathlib.Path | None) -> Iterator[pathlib.Path]:
  """Yields a working directory, a temporary one for None, with JAX as the trainer needs it."""
  with tempfile.TemporaryDirectory() as temporary, settled_jax(), out_of_memory_explained():
    yield pathlib.Path(temporary if workdir is None else workdir)


def compare(
  comparison: Comparison,
  *,
  seeds: Iterable[int] | None = None,
  workdir: str | pathlib.Path | None = None,
  progress: bool = True,
) -> Results:
  """Trains all runs of a comparison, many at once where that is faster, and compares them.

  Args:
    comparison: What is compared.
    seeds: The seeds, instead of the comparison's.
    workdir: The working directory; runs in it that have ended are not trained again, and others go
      on. None trains in a temporary one, which is removed at the end.
    progress: Whether to show how far the runs are.

  Returns:
    The results.

  Raises:
    UserError: If something is wrong that you can mend; the text says what to do. If all runs
      diverged, it is a ``DivergedError``.

  Example:
    >>> import numpy as np
    >>> from flax import nnx
    >>> from train import Comparison, Dataset, Split, compare
    >>> inputs, labels = np.eye(8, dtype='float32'), np.arange(8) % 2
    >>> comparison = Comparison(
    ...   name='parity',
    ...   dataset=Dataset('parity', Split(inputs, labels), Split(inputs, labels), ('even', 'odd')),
    ...   network=lambda num_classes, rngs: nnx.Linear(8, num_classes, rngs=rngs),
    ...   epochs=2,
    ...   batch_size=4,
    ...   arms=('fixed-0.9', 'low0.9-high0.95'),
    ... )
    >>> results = compare(comparison, seeds=range(3), progress=False)
    >>> results.arms['fixed-0.9'].metric.shape
    (3,)
  """
  if seeds is not None:
    comparison = dataclasses.replace(comparison, seeds=tuple(seeds))
  with working_folder(workdir) as folder:
    console = Console(quiet=not progress)
    run_comparison(comparison, folder, console, Settings(together='auto'), RunTable)
    check_results(comparison, folder)
    return Results(find_runs(folder)[folder])
