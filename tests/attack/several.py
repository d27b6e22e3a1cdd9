"""Attacks by, and on, several processes in one working directory."""

import contextlib
import functools
import os
import pathlib
import random
import signal
import socket

from tests.attack.checks import SIGNALLED, check, check_again, check_end
from tests.attack.commands import Command
from tests.attack.world import World, pause, tables_of


def two_writers(world: World, rng: random.Random) -> None:
  """Two or three commands at the same time, one of which may be killed."""
  with world.workdir(rng.choice([None, world.stopped])) as workdir:
    commands = [world.start(workdir)]
    for _ in range(rng.randint(1, 2)):
      pause(rng, commands[0], 0.7 * world.seconds)
      commands.append(world.start(workdir))
    if rng.random() < 0.3:
      pause(rng, commands[0], 0.5 * world.seconds)
      commands[rng.randrange(len(commands))].send(signal.SIGKILL)
    ended = [command.done() for command in commands]
    for done in ended:
      check_end(done, -signal.SIGKILL)
    check_again(world, workdir, *ended)


def jobs(world: World, rng: random.Random) -> None:
  """Runs at the same time, each in a process, some of which are killed or the command is."""
  with world.workdir(rng.choice([None, world.stopped])) as workdir:
    command = world.start(workdir, '--jobs', 2)
    pause(rng, command, 8)
    if rng.random() < 0.5:
      for pid in _children(command.pid)[: rng.randint(1, 2)]:
        _kill(pid)
    else:
      command.send(rng.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGINT]))
    done = command.done()
    check_end(done, -signal.SIGKILL, *SIGNALLED)
    check_again(world, workdir, done)


def together(world: World, rng: random.Random) -> None:
  """Two processes that train one run, one of which is asked to stop or killed."""
  with world.workdir() as workdir:
    commands = _start_two(world, workdir)
    pause(rng, commands[0], 3 * world.seconds)
    rng.choice(commands).send(rng.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGINT]))
    # JAX ends a process that waits for one that is gone after 100 seconds without a sign of it.
    ended = [command.done() for command in commands]
    for done in ended:
      check_end(done, -signal.SIGKILL, *SIGNALLED)
    again = [command.done() for command in _start_two(world, workdir)]
    for done in again:
      check_end(done)
    # Sums of two devices are rounded otherwise than those of one.
    right = tables_of(workdir) == _tables_of_two(world)
    check(right, 'The tables are not those of two undisturbed processes.', *ended, *again)


def _start_two(world: World, workdir: pathlib.Path) -> list[Command]:
  with socket.socket() as probe:
    probe.bind(('127.0.0.1', 0))
    coordinator = f'127.0.0.1:{probe.getsockname()[1]}'
  shared = ['--coordinator', coordinator, '--num-processes', 2, '--process-id']
  return [world.start(workdir, *shared, process_id) for process_id in range(2)]


@functools.cache
def _tables_of_two(world: World) -> dict[str, bytes]:
  with world.workdir() as workdir:
    ended = [command.done() for command in _start_two(world, workdir)]
    check(all(done.status == 0 for done in ended), 'Two do not train together.', *ended)
    return tables_of(workdir)


def _children(pid: int) -> list[int]:
  children = pathlib.Path(f'/proc/{pid}/task/{pid}/children')
  return [int(child) for child in children.read_text().split()] if children.exists() else []


def _kill(pid: int) -> None:
  with contextlib.suppress(ProcessLookupError):
    os.kill(pid, signal.SIGKILL)
