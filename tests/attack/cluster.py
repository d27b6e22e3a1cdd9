"""Attacks on runs that Ray trains: its processes are killed, or the command is, or asked to stop."""

import contextlib
import os
import pathlib
import random
import signal
import time

from tests.attack.checks import SIGNALLED, check, check_again, check_end
from tests.attack.commands import Command
from tests.attack.world import World, pause

_SECONDS_TO_END = 120  # in which Ray's processes notice that the command is gone


def cluster(world: World, rng: random.Random) -> None:
  """``--cluster local``: a worker is killed, or the command, or it is asked to stop."""
  with world.workdir() as workdir:
    environment = {
      'RAY_TMPDIR': str(world.folder),  # where sockets have short names
      'RAY_AUTH_MODE': 'disabled',  # without a token that it would keep at home
    }
    further = '--cluster', 'local'
    command = world.start(workdir, *further, environment=environment)
    try:
      _wait_for_a_run(workdir, command)
      pause(rng, command, 3 * world.seconds)
      processes = _processes_in(workdir.parent)
      workers = [pid for pid, words in processes.items() if words.startswith('ray::train_task')]
      if workers and rng.random() < 0.4:
        _kill(rng.choice(workers))
      else:
        for _ in range(rng.choice([1, 1, 2])):
          command.send(rng.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGINT]))
      done = command.done()
      check_end(done, -signal.SIGKILL, *SIGNALLED)
      left = _wait_until_gone(workdir.parent)
      check(not left, 'Processes of Ray are left.', left, done)
      check_again(world, workdir, done, further=further, environment=environment)
    finally:
      command.send(signal.SIGKILL)
      for pid in _processes_in(workdir.parent):
        _kill(pid)


def _wait_for_a_run(workdir: pathlib.Path, command: Command) -> None:
  """Waits until the first run is trained: most of the time until then is Ray's start."""
  while command.is_running() and not list(workdir.glob('*/seed-*/checkpoints')):
    command.wait(0.05)


def _processes_in(folder: pathlib.Path) -> dict[int, str]:
  """Returns the processes whose current folder is that of an attack, with their command lines.

  All that a command starts are such, but no others: whatever else they have, Ray changes.
  """
  found = {}
  for process in pathlib.Path('/proc').glob('[0-9]*'):
    with contextlib.suppress(OSError):  # it has ended
      if (process / 'cwd').readlink() == folder:
        words = (process / 'cmdline').read_bytes().replace(b'\0', b' ').decode(errors='replace')
        found[int(process.name)] = words
  return found


def _wait_until_gone(folder: pathlib.Path) -> dict[int, str]:
  """Returns the processes that have not ended after some time."""
  deadline = time.monotonic() + _SECONDS_TO_END
  while (left := _processes_in(folder)) and time.monotonic() < deadline:
    time.sleep(0.1)
  return left


def _kill(pid: int) -> None:
  with contextlib.suppress(ProcessLookupError):
    os.kill(pid, signal.SIGKILL)
