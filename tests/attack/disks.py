"""Attacks by disks: full ones, and ones that become read-only."""

import contextlib
import pathlib
import random
import subprocess
from collections.abc import Iterator

from tests.attack.checks import check, check_again, check_end, check_kept
from tests.attack.programs import check_as_without_programs
from tests.attack.world import World, pause


def can_mount() -> bool:
  """Returns whether this process may mount a disk in memory, which these attacks need."""
  done = subprocess.run(['mount', '--fake', '-t', 'tmpfs', 'tmpfs', '/mnt'], capture_output=True)
  if done.returncode != 0:
    return False
  return subprocess.run(['unshare', '-m', 'true'], capture_output=True).returncode == 0


@contextlib.contextmanager
def _disk(folder: pathlib.Path, size: str) -> Iterator[pathlib.Path]:
  place = folder / 'disk'
  place.mkdir(parents=True)
  subprocess.run(['mount', '-t', 'tmpfs', '-o', f'size={size}', 'tmpfs', place], check=True)
  try:
    yield place
  finally:
    subprocess.run(['umount', '-l', place], check=True)


def _mend(place: pathlib.Path) -> None:
  subprocess.run(['mount', '-o', 'remount,rw,size=64m', place], check=True)


def full_disk(world: World, rng: random.Random) -> None:
  """A disk that has no room for all, and then has it."""
  with world.workdir() as workdir, _disk(workdir, f'{rng.randint(0, 60) * 16 + 4}k') as disk:
    done = world.run(disk / 'runs')
    check_end(done)
    if done.status:
      check('full' in done.errors or 'No space' in done.errors, 'It does not say why.', done)
    _mend(disk)
    again = check_again(world, disk / 'runs', done)
    check(again.status == 0, 'It does not go on when there is room.', done, again)


def disk_that_fills(world: World, rng: random.Random) -> None:
  """A disk that somebody else fills while a run writes to it."""
  with world.workdir() as workdir, _disk(workdir, '32m') as disk:
    command = world.start(disk / 'runs')
    pause(rng, command, world.seconds)
    with contextlib.suppress(OSError), (disk / 'filler').open('wb') as file:
      while True:
        file.write(bytes(4096))
        file.flush()
    before = world.ended(disk / 'runs')
    done = command.done()
    check_end(done)
    check_kept(disk / 'runs', before, done)
    (disk / 'filler').unlink()
    again = check_again(world, disk / 'runs', done)
    check(again.status == 0, 'It does not go on when there is room.', done, again)


def disk_of_programs(world: World, rng: random.Random) -> None:
  """A disk for compiled programs that is full soon, or may only be read."""
  with world.workdir() as workdir, _disk(workdir.parent, f'{rng.randint(0, 30) * 16 + 4}k') as disk:
    told = 'The disk of compiled programs is small'
    if rng.random() < 0.3:
      subprocess.run(['mount', '-o', 'remount,ro', disk], check=True)
      told = 'The disk of compiled programs may only be read'
    check_as_without_programs(world, workdir, disk, told)


def read_only_disk(world: World, rng: random.Random) -> None:
  """A disk that may only be read, from the beginning or from the end of a run on."""
  with world.workdir() as workdir, _disk(workdir, '32m') as disk:
    if rng.random() < 0.7:
      command = world.start(disk / 'runs')
      pause(rng, command, 1.1 * world.seconds)
      command.send(rng.choice([2, 15, 9]))
      command.done()
    subprocess.run(['mount', '-o', 'remount,ro', disk], check=True)
    done = world.run(disk / 'runs')
    check_end(done)
    _mend(disk)
    again = check_again(world, disk / 'runs', done)
    check(again.status == 0, 'It does not go on when it may write.', done, again)
