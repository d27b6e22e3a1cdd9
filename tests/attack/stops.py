"""Attacks that end a command before its time."""

import os
import pathlib
import random
import signal

from tests.attack.checks import SIGNALLED, check, check_again, check_end, check_kept
from tests.attack.world import World, pause


def kill(world: World, rng: random.Random) -> None:
  """SIGKILL, up to three times, at random moments."""
  with world.workdir() as workdir:
    for _ in range(rng.randint(1, 3)):
      before = world.ended(workdir)
      command = world.start(workdir)
      pause(rng, command, 1.1 * world.seconds)
      command.send(signal.SIGKILL)
      done = command.done()
      check_end(done, -signal.SIGKILL)
      check_kept(workdir, before, done)
    check_again(world, workdir)


def kill_at_save(world: World, rng: random.Random) -> None:
  """SIGKILL while a checkpoint is being written."""
  with world.workdir() as workdir:
    command = world.start(workdir)
    seen: set[str] = set()
    wanted = rng.randint(1, 12)
    while command.is_running() and len(seen) < wanted:
      seen |= _saves(workdir)
    command.wait(rng.uniform(0, 0.02))
    command.send(signal.SIGKILL)
    done = command.done()
    check_end(done, -signal.SIGKILL)
    check_again(world, workdir, done)


def _saves(workdir: pathlib.Path) -> set[str]:
  """Returns the temporary folders of checkpoints; what is renamed meanwhile is no error here."""
  return {
    os.path.join(path, name)
    for path, names, _ in os.walk(workdir)
    if os.path.basename(path) == 'checkpoints'
    for name in names
    if 'tmp' in name
  }


def signals(world: World, rng: random.Random) -> None:
  """SIGINT and SIGTERM, one to three of them, in any order."""
  with world.workdir() as workdir:
    before: dict[str, bytes] = {}
    for _ in range(rng.randint(1, 2)):
      numbers = [rng.choice([signal.SIGINT, signal.SIGTERM]) for _ in range(rng.randint(1, 3))]
      command = world.start(workdir)
      pause(rng, command, 1.1 * world.seconds)
      for number in numbers:
        command.send(number)
        command.wait(rng.choice([0, 0.005, 0.1]))
      done = command.done()
      check_end(done, *SIGNALLED)
      if done.status not in (0, 2):
        sent = {abs(done.status or 0) % 128}
        check(sent <= set(numbers), f'The status is of none of {numbers}.', done)
      check_kept(workdir, before, done)
      before = world.ended(workdir)
    check_again(world, workdir)


def closed_output(world: World, rng: random.Random) -> None:
  """Nobody reads the output any more, as after ``| head``."""
  with world.workdir() as workdir:
    reading, writing = os.pipe()
    command = world.start(workdir, output=writing)
    os.close(writing)
    pause(rng, command, world.seconds)
    os.close(reading)
    done = command.done()
    check_end(done, 128 + signal.SIGPIPE)
    check_again(world, workdir, done)
