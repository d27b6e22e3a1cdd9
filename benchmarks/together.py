"""Measures what training many runs as one program gains.

    python -m benchmarks.together

Two ratios, each of things that take turns in one run of this command:

* whole commands: ``python -m train run examples/own_problem.py`` with 100 seeds trained at once, and
  with 5 seeds trained alone: runs per second, and peak memory;
* training alone: epochs of several networks in 1, 4, 16 and 64 lanes, and of one run by itself: runs
  per second relative to those of the run by itself.
"""

import dataclasses
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

import jax
import numpy as np
import tyro
from flax import nnx

import models
from examples.own_problem import mlp, tumours
from train import Comparison, Dataset, Split
from train.system.environment import environment
from train.training.lanes import LanePrograms, Lanes
from train.training.trainer import Alone, Settings, Start, Trainer

_ROOT = pathlib.Path(__file__).parents[1]


@dataclasses.dataclass(frozen=True)
class Options:
  """Measures what training many runs as one program gains."""

  rounds: int = 3
  """How often commands and epochs take turns."""
  commands: bool = True
  """Whether to time whole commands, too."""
  seeds: int = 100
  """Seeds that are trained at once by the whole command."""
  lanes: tuple[int, ...] = (1, 4, 16, 64)
  """The numbers of lanes."""
  networks: tuple[str, ...] = ('mlp', 'wide-mlp', 'attention', 'M11', 'WRN-10-1')
  """The networks whose epochs are timed."""


class Attention(nnx.Module):
  """A layer of attention over rows of pixels, whose mean output is read."""

  def __init__(self, num_classes: int, rngs: nnx.Rngs):
    self.layer = nnx.MultiHeadAttention(4, 32, 32, decode=False, rngs=rngs)
    self.last = nnx.Linear(32, num_classes, rngs=rngs)

  def __call__(self, x: jax.Array) -> jax.Array:
    return self.last(self.layer(x).mean(1))


def _wide_mlp(num_classes: int, rngs: nnx.Rngs) -> nnx.Module:
  layers = [nnx.Linear(512, 512, rngs=rngs), nnx.relu, nnx.Linear(512, 512, rngs=rngs), nnx.relu]
  return nnx.Sequential(*layers, nnx.Linear(512, num_classes, rngs=rngs))


def _random(*shape: int, examples: int) -> Callable[[], Dataset]:
  def load() -> Dataset:
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(examples, *shape)).astype(np.float32)
    split = Split(inputs, rng.integers(10, size=examples))
    return Dataset('random numbers', split, split, tuple(map(str, range(10))))

  return load


def _comparison(name: str, network: Callable, dataset: Callable, batch_size: int) -> Comparison:
  arms = ('low0.857-high0.93',)
  return Comparison(name, dataset, network, epochs=1, batch_size=batch_size, arms=arms)


NETWORKS = {
  one.name: one
  for one in (
    _comparison('mlp', mlp, tumours, 16),
    _comparison('wide-mlp', _wide_mlp, _random(512, examples=512), 64),
    _comparison('attention', Attention, _random(8, 32, examples=512), 16),
    _comparison(
      'M11', lambda classes, rngs: models.M11(classes, rngs=rngs), _random(8000, examples=64), 16
    ),
    _comparison(
      'WRN-10-1',
      lambda classes, rngs: models.WideResNet(10, 1, classes, rngs=rngs),
      _random(32, 32, 3, examples=256),
      64,
    ),
  )
}


def main(options: Options) -> None:
  """Prints the ratios."""
  made = environment()
  print(f'commit {str(made["commit"])[:7]}, {made["device_kind"]}, {made["machine"]}')
  if options.commands:
    _print_commands(options)
  for name in options.networks:
    _print_lanes(NETWORKS[name], options)


def _print_commands(options: Options) -> None:
  at_once = f'0-{options.seeds - 1}', '--together', 'auto'
  alone = '0-4', '--together', 'off'
  ratios, memory = [], []
  for _ in range(options.rounds + 1):  # the first compiles
    (many, peak), (few, other_peak) = _command(*at_once), _command(*alone)
    ratios.append((options.seeds / many) / (5 / few))
    memory.append((peak, other_peak))
  peak, other_peak = (max(peaks) / 2**20 for peaks in zip(*memory, strict=True))
  print(
    f'whole commands, 5 arms: {options.seeds} seeds at once, 5 seeds alone; runs per second: '
    f'{_range(ratios[1:])} times as many; peak memory {peak:.2f} and {other_peak:.2f} GiB'
  )


def _command(*seeds: str) -> tuple[float, float]:
  """Returns the seconds of a whole command, and its peak memory in KiB."""
  with tempfile.TemporaryDirectory() as folder:
    command = [sys.executable, '-m', 'train', 'run', 'examples/own_problem.py', '--seeds', *seeds]
    start = time.perf_counter()
    process = subprocess.Popen(
      [*command, '--workdir', folder], cwd=_ROOT, stdout=subprocess.DEVNULL
    )
    _, status, used = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
  if status:
    sys.exit(f'The command failed: {" ".join(command)}')
  return seconds, used.ru_maxrss


def _print_lanes(comparison: Comparison, options: Options) -> None:
  trainer = Trainer(comparison, comparison.load(), Settings(together=max(options.lanes)))
  start = Start(comparison.arms[0], 0)
  engines = {None: Alone(trainer, start)} | {
    lanes: Lanes(LanePrograms(trainer, lanes), [start._replace(seed=seed) for seed in range(lanes)])
    for lanes in options.lanes
  }
  states = {lanes: engine.state for lanes, engine in engines.items()}
  seconds: dict[int | None, list[float]] = {lanes: [] for lanes in engines}
  for epoch in range(options.rounds + 1):  # the first compiles
    for lanes, engine in engines.items():
      begin = time.perf_counter()
      for state, _ in engine.train(states[lanes], 1 + epoch, 0):
        states[lanes] = state
      jax.block_until_ready(states[lanes].sums)
      seconds[lanes].append(time.perf_counter() - begin)
  for lanes in options.lanes:
    pairs = zip(seconds[None][1:], seconds[lanes][1:], strict=True)
    ratios = [lanes * alone / at_once for alone, at_once in pairs]
    print(f'{comparison.name}, {lanes} lanes: runs per second {_range(ratios)} times those alone')


def _range(ratios: list[float]) -> str:
  return f'{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})'


if __name__ == '__main__':
  main(tyro.cli(Options))
