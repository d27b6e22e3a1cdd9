"""What is attacked: a small problem, working directories of it, and what undisturbed runs give."""

import contextlib
import dataclasses
import os
import pathlib
import random
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator

from tests.attack.commands import Command, Done
from train.storage.tables import SUMS

EPOCHS = 3
ARMS = ('low0.5-high0.9', 'yoked0.5-0.9')
SEEDS = (0, 1)
PROBLEM = f"""
import numpy as np
from flax import nnx
from train import Comparison, Dataset, Split

rng = np.random.default_rng(0)
inputs = rng.normal(size=(60, 3))
labels = (inputs.sum(1) > 0).astype(int)


def data():
  return Dataset('sums', Split(inputs, labels), Split(inputs[:20], labels[:20]), ('low', 'high'))


def network(num_classes, rngs):
  return nnx.Linear(3, num_classes, rngs=rngs)


comparison = Comparison(
  name='sums', dataset=data, network=network, epochs={EPOCHS}, batch_size=16,
  arms={ARMS}, seeds={SEEDS},
)
"""
# What depends neither on the clock nor on how often a run was interrupted.
TABLES = ('metrics.csv', 'phases.csv')


@dataclasses.dataclass(frozen=True, eq=False)
class World:
  """What all attacks share.

  Attributes:
    folder: Where it all lies.
    problem: The file of the problem.
    cache: The user's cache folder, with the compiled programs of what was run here.
    finished: A working directory of finished runs.
    stopped: One that a signal stopped in the midst of a run, after others had ended.
    tables: The tables of the undisturbed runs, by their path in a working directory.
    report: The report.csv of the undisturbed runs.
    seconds: How long a command takes here that nothing disturbs.
    together: What it is told about training runs at once.
    at_once: The same with runs that are trained at once.
  """

  folder: pathlib.Path
  problem: pathlib.Path
  cache: pathlib.Path
  finished: pathlib.Path
  stopped: pathlib.Path
  tables: dict[str, bytes]
  report: bytes
  seconds: float
  together: str = 'off'
  at_once: 'World | None' = None

  def arguments(self, workdir: pathlib.Path, problem: pathlib.Path | None = None) -> list[object]:
    """Returns the arguments of the command that is disturbed."""
    # Saved within epochs, too.
    often = ('--checkpoint-minutes', 0.001)
    together = ('--together', self.together)
    return ['run', problem or self.problem, '--workdir', workdir, *often, *together]

  def start(self, workdir: pathlib.Path, *further: object, **options) -> Command:
    """Starts the command that is disturbed; see :class:`Command`."""
    return Command(*self.arguments(workdir), *further, folder=workdir.parent, **options)

  def ended(self, workdir: pathlib.Path) -> dict[str, bytes]:
    """Returns the undamaged tables of runs that have ended, by their path in a working directory.

    Rows of others, after their newest checkpoint, are trained again, and are gone until then.
    """
    return {
      name: table
      for name, table in tables_of(workdir).items()
      if table == self.tables.get(name) and (workdir / name).with_name(SUMS).is_file()
    }

  def run(self, workdir: pathlib.Path, *further: object) -> Done:
    """Runs that command to its end."""
    return self.start(workdir, *further).done()

  @contextlib.contextmanager
  def workdir(self, template: pathlib.Path | None = None) -> Iterator[pathlib.Path]:
    """Gives a working directory: none yet, or a copy of one; removes it afterwards."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix='attack-', dir=self.folder))
    try:
      if template is not None:
        shutil.copytree(template, folder / 'runs', symlinks=True)
      yield folder / 'runs'
    finally:
      shutil.rmtree(folder, ignore_errors=True)


def make_world(folder: pathlib.Path) -> World:
  """Makes the problem and the working directories in a folder.

  Commands keep compiled programs in ``XDG_CACHE_HOME``, which is set.

  Raises:
    RuntimeError: If the program does not even work undisturbed.
  """
  at_once = _make_world(folder / 'at-once', '4')
  return dataclasses.replace(_make_world(folder / 'alone', 'off'), at_once=at_once)


def _make_world(folder: pathlib.Path, together: str) -> World:
  problem = folder / 'problem.py'
  folder.mkdir()
  problem.write_text(PROBLEM)
  cache = pathlib.Path(os.environ['XDG_CACHE_HOME'])
  finished, stopped = folder / 'finished/runs', folder / 'stopped/runs'
  world = World(folder, problem, cache, finished, stopped, {}, b'', 0.0, together)
  for workdir in (world.finished, world.stopped):
    workdir.parent.mkdir()
  _expect_success(world.run(world.finished))  # which compiles
  seconds = time.monotonic()
  shutil.rmtree(world.finished)
  _expect_success(world.run(world.finished))
  seconds = time.monotonic() - seconds
  tables = tables_of(world.finished)
  if len(tables) != len(TABLES) * len(ARMS) * len(SEEDS):
    raise RuntimeError(f'The undisturbed command made other tables: {sorted(tables)}')
  _stop_midway(world)
  report = (world.finished / 'report.csv').read_bytes()
  return dataclasses.replace(world, tables=tables, report=report, seconds=seconds)


def _expect_success(done: Done) -> None:
  if done.status != 0:
    raise RuntimeError(f'The command does not work undisturbed:\n{done}')


def _stop_midway(world: World) -> None:
  """Leaves finished runs, one in the midst of its epochs, and one that has not begun."""
  third = world.stopped / ARMS[1] / f'seed-{SEEDS[0]}' / 'metrics.csv'
  command = world.start(world.stopped)

  def is_midway() -> bool:
    if world.together != 'off':
      return any(path.name.isdigit() for path in world.stopped.glob('together/*/checkpoints/*'))
    return third.exists() and len(third.read_text().splitlines()) > 1

  while command.is_running() and not is_midway():
    time.sleep(0.001)
  command.send(signal.SIGTERM)
  done = command.done()
  if done.status != 128 + signal.SIGTERM:
    raise RuntimeError(f'A signal did not stop the command:\n{done}')


def tables_of(workdir: pathlib.Path) -> dict[str, bytes]:
  """Returns the tables in a working directory, by their path in it."""
  return {
    str(path.relative_to(workdir)): path.read_bytes()
    for name in TABLES
    for path in workdir.glob(f'*/seed-*/{name}')
    if path.is_file()
  }


def entries(folder: pathlib.Path) -> list[pathlib.Path]:
  """Returns all that is in a folder, sorted; what a command removes meanwhile is no error."""
  return sorted(
    pathlib.Path(path, name)
    for path, folders, files in os.walk(folder)
    for name in (*folders, *files)
  )


def pause(rng: random.Random, command: Command, seconds: float) -> None:
  """Lets a command run for a random time, up to some seconds."""
  command.wait(rng.uniform(0, seconds))
