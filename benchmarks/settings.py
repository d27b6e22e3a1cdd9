"""Times the trainer's step with and without settings of its process.

    python -m benchmarks.settings [--networks WRN-10-1 WRN-16-4 M11] [--starts 3] [--pairs 20]

* XLA's options: the options that the trainer compiles with, on a CPU for wide residual networks, on a
  GPU for the same bits each time; see `train.training.compiler_options`.
* kept buffers: for large batches the process keeps freed memory; see `train.training.memory`.
* huge pages: `GLIBC_TUNABLES=glibc.malloc.hugetlb=1` in addition to these two. The trainer does not set
  it; you can (on Linux).

The last two are for CPUs only.

A process without the setting and one with it take turns, and a ratio is computed for each turn: on a
shared machine a single time says little, but the median of the ratios is reliable. Processor time, the
sum over all threads, depends least on other load.
"""

import contextlib
import os
import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import jax
import tyro
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks.training_step import Dtype, find_comparison, setting
from benchmarks.worker import Worker, share_the_device
from train.problem.networks import WideResNet
from train.training.compiler_options import compiler_options

_SECONDS_OF_A_TURN = 0.1


class Process(NamedTuple):
  """How a process is started.

  Attributes:
    options: Options of `benchmarks.training_step`.
    variables: Additional environment variables.
  """

  options: tuple[str, ...]
  variables: dict[str, str]


class Ratios(NamedTuple):
  """Ratios between the times of a step in two processes.

  Attributes:
    time: The ratio of the elapsed seconds.
    processor_time: The ratio of the processor seconds, over all threads.
  """

  time: float
  processor_time: float


def main(
  networks: tuple[str, ...] = ('WRN-10-1', 'WRN-16-4', 'M11'),
  dtype: Dtype = 'float32',
  starts: int = 3,
  pairs: int = 20,
) -> None:
  """Prints the time of a step without each setting, divided by that with it.

  Args:
    networks: The networks to train.
    dtype: The dtype that they compute in.
    starts: How often the two processes are started.
    pairs: The number of pairs of turns that each start times; at least 2.
  """
  share_the_device()
  names = [find_comparison(network).name for network in networks]
  console = Console()
  tried = settings()
  ratios: dict[str, list[list[Ratios]]] = {name: [] for name in tried}
  with Progress(console=console, transient=True) as progress:
    bar = progress.add_task('', total=len(tried) * len(names) * starts * pairs)
    for name, (without, with_) in tried.items():
      for network in names:
        progress.update(bar, description=f'{name}, {network}')
        ratios[name].append([])
        for _ in range(starts):
          for both in take_turns([network, '--dtype', dtype], without, with_, pairs):
            ratios[name][-1].append(both)
            progress.update(bar, advance=1)
  table = Table()
  table.add_column('')
  for network in names:
    table.add_column(network, justify='right')
  for name, by_network in ratios.items():
    for index, time in enumerate(Ratios._fields):
      medians = (format_ratios([both[index] for both in several]) for several in by_network)
      table.add_row(f'{name}, {time.replace("_", " ")}', *medians)
  console.print(f'{dtype}: step without / with, median (quartiles) of {starts} x {pairs} pairs')
  console.print(table)
  console.print(setting(), highlight=False, soft_wrap=True)


def settings() -> Mapping[str, tuple[Process, Process]]:
  """Returns the processes without and with each setting, by its name."""
  if jax.default_backend() != 'cpu':
    return {"XLA's options": (Process(('--without', 'options'), {}), Process((), {}))}
  usual = Process((), {'GLIBC_TUNABLES': 'glibc.malloc.hugetlb=0'})
  found = {
    'kept buffers': (usual._replace(options=('--without', 'buffers')), usual),
    'huge pages': (usual, Process((), {'GLIBC_TUNABLES': 'glibc.malloc.hugetlb=1'})),
  }
  if not compiler_options(WideResNet(10, 1)):  # the user sets them, or jaxlib has none
    return found
  return {"XLA's options": (usual._replace(options=('--without', 'options')), usual), **found}


def take_turns(
  trained: Sequence[str], without: Process, with_: Process, pairs: int
) -> Iterator[Ratios]:
  """Yields ratios between the times of a step in two processes that train the same network.

  Args:
    trained: The arguments of `benchmarks.training_step` that say what to train.
    without: The process of the numerators.
    with_: The process of the denominators.
    pairs: The number of ratios.
  """
  with _start(trained, without) as slow, _start(trained, with_) as fast:
    steps = slow.steps_in(_SECONDS_OF_A_TURN)
    for pair in range(pairs):
      order = (slow, fast) if pair % 2 else (fast, slow)
      times = {process: process.times(steps) for process in order}
      yield Ratios(*(one / other for one, other in zip(times[slow], times[fast], strict=True)))


@contextlib.contextmanager
def _start(trained: Sequence[str], process: Process) -> Iterator[Worker]:
  command = [sys.executable, '-m', 'benchmarks.training_step', *trained, *process.options]
  with Worker(command, os.environ | process.variables) as worker:
    worker.times(1)  # when it answers, its program is compiled
    yield worker


def format_ratios(ratios: list[float]) -> str:
  """Returns the median and the quartiles.

  Example:
    >>> format_ratios([1.0, 2.0, 3.0, 4.0, 5.0])
    '3.00 (2.00 to 4.00)'
  """
  low, median, high = statistics.quantiles(ratios, n=4, method='inclusive')
  return f'{median:.2f} ({low:.2f} to {high:.2f})'


if __name__ == '__main__':
  tyro.cli(main)
