"""The trainer's own step, ready to be timed.

    python -m benchmarks.training_step WRN-10-1

trains a step for each line that it reads, and prints the seconds and those of all processors: so
`benchmarks.cpu_settings` lets processes take turns. XLA's flags are as the environment says.
"""

import dataclasses
import math
import statistics
import sys
import time
from collections.abc import Callable, Sequence

import jax
import numpy as np
import tyro
from flax import nnx

from train.arms import Lcam
from train.comparison import Comparison
from train.data import Batch, DataSource, find_source
from train.environment import environment
from train.experiments import QUICKSTART
from train.fit import make_programs
from train.networks import M11, Network, VitB16, WideResNet
from train.optimizer import make_optimizer
from train.programs import EpochSums


def _comparison(network: Network, dataset: str, batch_size: int = 128) -> Comparison:
  return Comparison(
    name=network.describe(),
    dataset=find_source(dataset),
    network=network,
    arms=(Lcam(0.857, 0.93),),
    epochs=1,
    batch_size=batch_size,
  )


COMPARISONS = {
  comparison.name: comparison
  for comparison in (
    dataclasses.replace(QUICKSTART, name='quickstart'),
    _comparison(WideResNet(10, 1), 'cifar10'),
    _comparison(WideResNet(16, 1), 'cifar10'),
    _comparison(WideResNet(16, 4), 'cifar10'),
    _comparison(M11(), 'speech_commands_35'),
    _comparison(VitB16(), 'cifar10', batch_size=8),
  )
}


def main(network: str, /) -> None:
  """Trains a step for each line on stdin, prints the seconds that it took and those of processors.

  Args:
    network: The name of what is trained.
  """
  step = repeated_step(find_comparison(network))
  for _ in sys.stdin:
    start = time.process_time()
    print(seconds_of(step), time.process_time() - start, flush=True)


def find_comparison(name: str) -> Comparison:
  """Returns a comparison here by name, or ends the process with a sentence."""
  if name not in COMPARISONS:
    sys.exit(f'There is no network {name!r} here: choose of {", ".join(COMPARISONS)}.')
  return COMPARISONS[name]


def source_of(comparison: Comparison) -> DataSource:
  """Returns the data set of a comparison here, known by name."""
  assert isinstance(comparison.dataset, DataSource)
  return comparison.dataset


def make_step(comparison: Comparison) -> Callable[[Batch, int, int], EpochSums]:
  """Returns ``step(batch, epoch, index)``, which trains a step from where the last one ended.

  Args:
    comparison: Its first arm is trained, from random weights. No data is loaded.
  """
  source = source_of(comparison)
  steps = math.ceil(source.train_examples / comparison.batch_size)
  programs = make_programs(comparison, source.num_classes)
  optimizer = make_optimizer(comparison, comparison.arms[0], steps, seed=0)
  state = programs.initial_state(_network(comparison, source.num_classes), optimizer, steps)
  train_step = programs.make_train_step(optimizer)

  def step(batch: Batch, epoch: int, index: int) -> EpochSums:
    nonlocal state
    state = train_step(state, batch, 0, epoch, index)
    return state.sums

  return step


@nnx.jit(static_argnums=(0, 1))
def _network(comparison: Comparison, num_classes: int) -> nnx.Module:
  # Any weights will do, and to draw these takes the compiler a quarter of the time.
  rngs = nnx.Rngs(jax.random.key(0, impl='rbg'))
  return comparison.network.build(num_classes, dtype=comparison.dtype, rngs=rngs)


def repeated_step(comparison: Comparison) -> Callable[[], None]:
  """Returns a function that trains a step on a batch of random examples and waits for it."""
  source, examples = source_of(comparison), comparison.batch_size
  values = np.random.default_rng(0)
  inputs = values.integers(0, np.iinfo(source.dtype).max, (examples, *source.shape), source.dtype)
  labels = values.integers(0, source.num_classes, examples, np.int32)
  batch = Batch(*jax.device_put((inputs, labels, np.arange(examples, dtype=np.int32))))
  step = make_step(comparison)

  def run() -> None:
    jax.block_until_ready(step(batch, 0, 0))

  run()  # compiles
  return run


def median_seconds(runs: Sequence[Callable[[], None]], seconds: float) -> list[float]:
  """Times functions in turn, so that all meet the same load; returns the median of each.

  Args:
    runs: The functions.
    seconds: How long each is timed; at least three times.
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
  """Returns with what is measured: device, versions and commit."""
  made = environment()
  versions = ', '.join(f'{name} {made["versions"][name]}' for name in ('jax', 'jaxlib', 'flax'))
  changed = ', changed' if made['changed'] else ''
  return f'{made["device_kind"]} ({made["machine"]}), {versions}; commit {made["commit"]}{changed}'


if __name__ == '__main__':
  tyro.cli(main)
