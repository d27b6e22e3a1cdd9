"""Attacks the trainer, and counts what it does not withstand: ``python -m tests.attack``."""

import dataclasses
import importlib
import multiprocessing
import os
import pathlib
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection, wait
from typing import Annotated, NoReturn

import tyro
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from tests.attack.checks import Failure
from tests.attack.kinds import KINDS, kind_of, make_attack, possible_kinds
from tests.attack.world import World, make_world
from train.launch import together

# What commands import besides what is imported above, so that forks have it.
_IMPORTED = (
  'orbax.checkpoint',
  'train.__main__',
  'train.launch.run',
  'train.reports',
  'train.launch.driver',
)


@dataclasses.dataclass(frozen=True)
class Options:
  """Attacks the trainer, and counts what it does not withstand."""

  attacks: int = 1000
  """How many."""
  seed: int = 0
  """Determines, with its number, what an attack does."""
  kinds: Annotated[tuple[str, ...], tyro.conf.arg(metavar='KIND')] = ()
  """Only these kinds (default: all that can be made here)."""
  only: tuple[int, ...] = ()
  """Only the attacks of these numbers."""
  processes: int = 1
  """How many attacks are made at a time."""


@dataclasses.dataclass(frozen=True)
class Result:
  """An attack that was made.

  Attributes:
    number: Its number.
    kind: Its kind.
    failure: What was not as promised; None if all was.
    seconds: How long it took.
  """

  number: int
  kind: str
  failure: str | None
  seconds: float


def main(options: Options) -> int:
  """Makes the attacks; returns the exit status of the program."""
  console = Console()
  kinds = options.kinds or possible_kinds()
  if unknown := set(kinds) - KINDS.keys():
    raise SystemExit(f'There is no kind {", ".join(unknown)}: choose from {", ".join(KINDS)}.')
  left_out = KINDS.keys() - set(kinds)
  if left_out and not options.kinds:
    console.print(
      f'Left out, for no disk can be mounted, or Ray is missing: {", ".join(sorted(left_out))}'
    )
  for module in _IMPORTED:
    importlib.import_module(module)
  together.SECONDS_TO_MEET = 5
  signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that all is cleared away
  numbers = options.only or range(options.attacks)
  # No TemporaryDirectory, which each fork would remove at its exit.
  folder = pathlib.Path(tempfile.mkdtemp(prefix='lcam-attack-'))
  try:
    os.environ['XDG_CACHE_HOME'] = str(folder / 'cache')  # where each program is compiled once
    os.environ['MPLCONFIGDIR'] = str(folder / 'matplotlib')  # which is not what is attacked
    world = make_world(folder)
    console.print(f'A command that nothing disturbs takes {world.seconds:.1f} s here')
    start = time.monotonic()
    results = _make_all(world, options, kinds, numbers, console)
    minutes = (time.monotonic() - start) / 60
  finally:
    shutil.rmtree(folder, ignore_errors=True)
  return _tell(results, len(numbers), minutes, options, console)


def _make_all(
  world: World, options: Options, kinds: tuple[str, ...], numbers: Sequence[int], console: Console
) -> list[Result]:
  connections: list[Connection] = []
  workers: list[int] = []
  for share in range(options.processes):
    receiving, sending = multiprocessing.Pipe(duplex=False)
    worker = os.fork()
    if worker == 0:
      _make_share(world, options, kinds, numbers[share :: options.processes], sending)
    sending.close()
    connections.append(receiving)
    workers.append(worker)
  results: list[Result] = []
  columns = TextColumn('attacks'), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
  try:
    with Progress(*columns, console=console) as progress:
      bar = progress.add_task('', total=len(numbers))
      for result in _received(connections):
        results.append(result)
        progress.advance(bar)
        if result.failure is not None:
          progress.console.print(f'{result.kind}, number {result.number}:', style='red')
          progress.console.print(result.failure, markup=False, highlight=False)
  except KeyboardInterrupt:
    console.print('Stopped; what was made so far:')
  finally:
    for worker in workers:
      os.kill(worker, signal.SIGTERM)  # they are not waited for before, and so still there
      os.waitpid(worker, 0)
  return results


def _received(connections: list[Connection]) -> Iterator[Result]:
  """Yields results as they come, until all workers have ended."""
  while connections:
    for connection in wait(connections):
      assert isinstance(connection, Connection)
      try:
        yield connection.recv()
      except EOFError:
        connections.remove(connection)


def _make_share(
  world: World,
  options: Options,
  kinds: tuple[str, ...],
  numbers: Sequence[int],
  connection: Connection,
) -> NoReturn:
  """Makes some of the attacks in this process, a fork."""
  try:
    for number in numbers:
      connection.send(_make(world, options.seed, number, kind_of(options.seed, number, kinds)))
  except KeyboardInterrupt:  # what the attack has made is cleared away
    pass
  finally:
    os._exit(0)


def _make(world: World, seed: int, number: int, kind: str) -> Result:
  start, failure = time.monotonic(), None
  try:
    make_attack(world, seed, number, kind)
  except Failure as error:
    failure = str(error)
  except Exception:  # of the attack itself
    failure = traceback.format_exc()
  return Result(number, kind, failure, time.monotonic() - start)


def _tell(
  results: list[Result], wanted: int, minutes: float, options: Options, console: Console
) -> int:
  made = Counter(result.kind for result in results)
  failed = Counter(result.kind for result in results if result.failure is not None)
  seconds = Counter[str]()
  for result in results:
    seconds[result.kind] += result.seconds
  table = Table(
    'attack', 'made', 'failures', 'seconds each', title=f'Attacks of seed {options.seed}'
  )
  for kind in KINDS:
    if made[kind]:
      each = f'{seconds[kind] / made[kind]:.1f}'
      table.add_row(kind, str(made[kind]), str(failed[kind]), each)
  table.add_section()
  table.add_row('all', str(made.total()), str(failed.total()))
  console.print(table)
  console.print(f'It took {minutes:.1f} minutes.')
  if failed:
    numbers = ' '.join(str(r.number) for r in results if r.failure is not None)
    console.print(f'Again: python -m tests.attack --seed {options.seed} --only {numbers}')
  return int(bool(failed) or made.total() < wanted)


if __name__ == '__main__':
  sys.exit(main(tyro.cli(Options)))
