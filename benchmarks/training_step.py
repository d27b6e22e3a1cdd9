"""Runs the trainer's own steps, to be timed.

    python -m benchmarks.training_step WRN-10-1

It reads numbers of steps from stdin, one a line, trains each, and prints the elapsed and the processor
seconds. Other benchmarks use it to let processes take turns. With `--without` it trains without one of
the trainer's settings: XLA's options, or kept buffers.
"""

import contextlib
import dataclasses
import itertools
import math
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import ClassVar, Literal
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from flax import nnx

import models
from train.data import Batch, Dataset, DataSource, Split, find_source
from train.problem.arms import Lcam
from train.problem.comparison import Comparison
from train.problem.experiments import DIGITS
from train.problem.networks import M11, Network, VitB16, WideResNet
from train.system.environment import environment
from train.training.trainer import Trainer

Dtype = Literal['float32', 'bfloat16']


@dataclasses.dataclass(frozen=True)
class VitTi16(VitB16):
  """ViT-Ti/16, the smallest published size."""

  kind: ClassVar[str] = 'vit_ti16'

  def build(self, num_classes: int, *, dtype: str, rngs: nnx.Rngs) -> nnx.Module:
    return models.vit_ti16(
      num_classes, image_size=self.image_size, dtype=jnp.dtype(dtype), rngs=rngs
    )

  def describe(self) -> str:
    return f'ViT-Ti/16 at {self.image_size}'


def _comparison(network: Network, dataset: str, batch_size: int = 128) -> Comparison:
  return Comparison(
    name=network.describe().partition(' ')[0].replace('/', '-'),  # ViT-B-16
    dataset=find_source(dataset),
    network=network,
    arms=(Lcam(0.857, 0.93),),
    epochs=1,
    batch_size=batch_size,
  )


COMPARISONS = {
  comparison.name: comparison
  for comparison in (
    dataclasses.replace(DIGITS, name='digits'),
    _comparison(WideResNet(10, 1), 'cifar10'),
    _comparison(WideResNet(16, 1), 'cifar10'),
    _comparison(WideResNet(16, 4), 'cifar10'),
    _comparison(WideResNet(28, 10), 'cifar10'),
    _comparison(M11(), 'speech_commands_35'),
    _comparison(VitTi16(), 'cifar10', batch_size=32),
    _comparison(VitB16(), 'cifar10', batch_size=8),
  )
}


def main(
  network: tyro.conf.Positional[str],
  dtype: Dtype = 'float32',
  without: Literal['options', 'buffers'] | None = None,
) -> None:
  """Trains the number of steps of each line on stdin; prints elapsed and processor seconds.

  Args:
    network: The name of the network to train.
    dtype: The dtype that it computes in.
    without: The setting to leave out.
  """
  comparison = find_comparison(network, dtype)
  unsettled: contextlib.AbstractContextManager = contextlib.nullcontext()
  if without == 'options':
    unsettled = mock.patch('train.training.programs.compiler_options', return_value={})
  elif without == 'buffers':
    unsettled = mock.patch('train.training.memory._LARGE', math.inf)
  with unsettled:
    train = training(comparison)
  for line in sys.stdin:
    start = time.process_time()
    print(seconds_of(partial(train, int(line))), time.process_time() - start, flush=True)


def find_comparison(name: str, dtype: Dtype = 'float32') -> Comparison:
  """Returns a comparison by name, with a dtype, or ends the process with an error message."""
  if name not in COMPARISONS:
    sys.exit(f'There is no network {name!r} here: choose from {", ".join(COMPARISONS)}.')
  return dataclasses.replace(COMPARISONS[name], dtype=dtype)


def source_of(comparison: Comparison) -> DataSource:
  """Returns the data source of a comparison."""
  assert isinstance(comparison.dataset, DataSource)
  return comparison.dataset


def training(comparison: Comparison) -> Callable[[int], None]:
  """Returns a function that trains a number of steps, as the trainer does, and waits for them.

  It trains the first arm, on random examples for ten batches.
  """
  source, batch_size = source_of(comparison), comparison.batch_size
  trainer = Trainer(comparison, random_examples(source, 10 * batch_size))
  state, train_step = trainer.start(comparison.arms[0], seed=0)

  def batches() -> Iterator[tuple[Batch, int, int]]:
    for epoch in itertools.count():
      for step, batch in enumerate(trainer.train_input.epoch(0, epoch, batch_size)):
        yield batch, epoch, step

  coming = batches()

  def train(steps: int) -> None:
    nonlocal state
    for batch, epoch, step in itertools.islice(coming, steps):
      state = train_step(state, batch, 0, epoch, step)
    jax.block_until_ready(state.sums)

  return train


def random_examples(source: DataSource, examples: int) -> Dataset:
  """Returns a data set of random numbers with the shapes and classes of a source."""
  values = np.random.default_rng(0)
  inputs = values.integers(
    0, np.iinfo(source.dtype).max, (examples, *source.shape), source.dtype, endpoint=True
  )
  split = Split(inputs, values.integers(0, source.num_classes, examples, np.int32))
  return Dataset(source.name, split, split, tuple(map(str, range(source.num_classes))))


def median_seconds(runs: Sequence[Callable[[], None]], seconds: float) -> list[float]:
  """Times functions in turn, under the same load, and returns the median of each.

  Args:
    runs: The functions.
    seconds: How long each is timed; each runs at least three times.
  """
  times: list[list[float]] = [[] for _ in runs]
  end = time.perf_counter() + seconds * len(runs)
  while time.perf_counter() < end or len(times[0]) < 3:
    for run, measured in zip(runs, times, strict=True):
      measured.append(seconds_of(run))
  return [statistics.median(measured) for measured in times]


def seconds_of(run: Callable[[], None]) -> float:
  """Returns the seconds that a call takes."""
  start = time.perf_counter()
  run()
  return time.perf_counter() - start


def setting() -> str:
  """Returns a line with the device, the versions and the commit."""
  made = environment()
  versions = ', '.join(f'{name} {made["versions"][name]}' for name in ('jax', 'jaxlib', 'flax'))
  changed = ', changed' if made['changed'] else ''
  return f'{made["device_kind"]} ({made["machine"]}), {versions}; commit {made["commit"]}{changed}'


if __name__ == '__main__':
  tyro.cli(main)
