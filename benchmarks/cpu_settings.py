"""Times the trainer's step with and without settings that a process reads when it starts.

    python -m benchmarks.cpu_settings [--networks WRN-10-1 WRN-16-4 M11] [--starts 3] [--pairs 20]

* XLA's flags: those that `python -m train` sets for wide networks on a CPU, see `train.cpu_flags`.
* huge pages: `GLIBC_TUNABLES=glibc.malloc.hugetlb=1` beside these flags. It is yours to set (Linux).

A process without the setting and one with it take turns, step by step, and the ratio is taken pair by
pair: on a shared machine a single time says little, the median of the ratios does. Processor time, of
all threads together, says least of what else runs.
"""

import contextlib
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import tyro
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks.training_step import find_comparison, setting
from train.cpu_flags import set_cpu_flags

Environment = Mapping[str, str]


class Ratios(NamedTuple):
  """Of a step in one process and in another.

  Attributes:
    time: The ratio of the seconds that passed.
    processor_time: The ratio of the seconds of all processors.
  """

  time: float
  processor_time: float


def main(
  networks: tuple[str, ...] = ('WRN-10-1', 'WRN-16-4', 'M11'), starts: int = 3, pairs: int = 20
) -> None:
  """Prints the time of a step without a setting, divided by that with it.

  Args:
    networks: What is trained.
    starts: How often the two processes are started anew.
    pairs: How many pairs of steps each start times; at least 2.
  """
  names = [find_comparison(network).name for network in networks]
  console = Console()
  settings = environments()
  ratios: dict[str, list[list[Ratios]]] = {name: [] for name in settings}
  with Progress(console=console, transient=True) as progress:
    bar = progress.add_task('', total=len(settings) * len(names) * starts * pairs)
    for name, (without, with_) in settings.items():
      for network in names:
        progress.update(bar, description=f'{name}, {network}')
        ratios[name].append([])
        for _ in range(starts):
          for both in take_turns(network, without, with_, pairs):
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
  console.print(f'Step without / with, median (quartiles) of {starts} x {pairs} pairs')
  console.print(table)
  console.print(setting(), highlight=False, soft_wrap=True)


def environments() -> Mapping[str, tuple[Environment, Environment]]:
  """Returns by the name of a setting the environments of a process without it and with it."""
  plain = {**os.environ, 'GLIBC_TUNABLES': 'glibc.malloc.hugetlb=0'}
  set_cpu_flags()
  flagged = {**plain, 'XLA_FLAGS': os.environ.get('XLA_FLAGS', '')}
  settings = {'huge pages': (flagged, {**flagged, 'GLIBC_TUNABLES': 'glibc.malloc.hugetlb=1'})}
  if flagged['XLA_FLAGS'] == plain.get('XLA_FLAGS', ''):  # it has them, or jaxlib needs none
    return settings
  return {"XLA's flags": (plain, flagged), **settings}


def take_turns(
  network: str, without: Environment, with_: Environment, pairs: int
) -> Iterator[Ratios]:
  """Yields ratios of the times of a step in two processes, which both train a network.

  Args:
    network: What is trained.
    without: The environment of the process whose times are divided.
    with_: The environment of the other.
    pairs: How many ratios.
  """
  with _process(network, without) as slow, _process(network, with_) as fast:
    for pair in range(pairs):
      order = (slow, fast) if pair % 2 else (fast, slow)
      times = {process: _times_of_step(process) for process in order}
      yield Ratios(*(one / other for one, other in zip(times[slow], times[fast], strict=True)))


@contextlib.contextmanager
def _process(network: str, environment: Environment) -> Iterator[subprocess.Popen[str]]:
  command = [sys.executable, '-m', 'benchmarks.training_step', network]
  pipe = subprocess.PIPE
  with subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, text=True) as process:
    _times_of_step(process)  # when it answers, its program is compiled
    yield process


def _times_of_step(process: subprocess.Popen[str]) -> list[float]:
  assert process.stdin is not None
  assert process.stdout is not None
  process.stdin.write('1\n')
  process.stdin.flush()
  return list(map(float, process.stdout.readline().split()))


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
