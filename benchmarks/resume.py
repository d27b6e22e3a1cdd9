"""Times how a run resumes after many epochs: python -m benchmarks.resume [--epochs 1000 2000].

The rows of the tables, which checkpoints contain, grow with the epochs. A small run is trained to
its end and opened again, as by a process that resumes it: its newest checkpoint is read, and its
tables are checked and written. It takes turns with a run of one epoch, so that the ratio of the
medians shows the cost of the rows.
"""

import dataclasses
import pathlib
import platform
import statistics
import tempfile
import time

import jax
import numpy as np
import tyro
from flax import nnx
from rich.console import Console

from train import Comparison, Dataset, Split
from train.command.progress import RunTable
from train.launch.plan import plan_runs
from train.launch.run import run_comparison
from train.storage.locks import sole_writer_of
from train.training.loop import Run, Training
from train.training.trainer import Settings, Start, Trainer

_STEPS = 50  # in each epoch; a table holds the phase of each


@dataclasses.dataclass(frozen=True)
class Options:
  """Times how a run resumes after many epochs."""

  epochs: tuple[int, ...] = (1000, 2000)
  """The numbers of epochs."""
  times: int = 5
  """How often each run is opened."""


class Finished:
  """A run that was trained to its end."""

  def __init__(self, epochs: int, workdir: pathlib.Path):
    comparison = Comparison(
      name='small',
      dataset=_data,
      network=_network,
      epochs=epochs,
      batch_size=2,
      arms=('low0.9-high0.95',),
      seeds=(0,),
    )
    run_comparison(comparison, workdir, Console(quiet=True), Settings(epochs), RunTable)
    plan = plan_runs(comparison, workdir)
    self._trainer = Trainer(comparison, plan.dataset)
    (self._run,) = plan.runs

  def open(self) -> float:
    """Opens the run like a process that resumes it, and returns the seconds."""
    run = self._run
    with sole_writer_of(run.directory) as held:
      assert held
      start = time.perf_counter()
      runs = [Run(Start(run.arm, run.seed), run.directory, run.config)]
      with Training(self._trainer, runs, run.directory, _unexpected) as training:
        assert training.epoch == self._trainer.comparison.epochs
      return time.perf_counter() - start


def _data() -> Dataset:
  inputs = np.random.default_rng(0).normal(size=(2 * _STEPS, 4)).astype(np.float32)
  split = Split(inputs, (inputs[:, 0] > 0).astype(np.int32))
  return Dataset('small', split, split, ('below', 'above'))


def _network(num_classes: int, rngs: nnx.Rngs) -> nnx.Module:
  return nnx.Linear(4, num_classes, rngs=rngs)


def _unexpected(sentence: str) -> None:
  raise AssertionError(sentence)


def main(options: Options) -> None:
  """Prints the seconds of each number of epochs."""
  epochs = (1, *options.epochs)
  with tempfile.TemporaryDirectory() as folder:
    runs = [Finished(number, pathlib.Path(folder) / str(number)) for number in epochs]
    for run in runs:
      run.open()  # compiles
    seconds = [[run.open() for run in runs] for _ in range(options.times)]
  print(f'JAX {jax.__version__}, {jax.devices()[0].device_kind}, {platform.machine()}')
  first, *others = map(statistics.median, zip(*seconds, strict=True))
  print(f'    1 epoch: {first:.3f} s')
  for number, median in zip(options.epochs, others, strict=True):
    more = 1000 * (median - first) / number
    print(
      f'{number:5} epochs: {median:.3f} s, {median / first:.2f} times as long, '
      f'{more:.3f} s more per 1,000 epochs'
    )


if __name__ == '__main__':
  main(tyro.cli(Options))
