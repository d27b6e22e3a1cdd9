"""Attacks on the compiled programs that are kept in the user's cache folder."""

import pathlib
import random
import shutil

from tests.attack.checks import check, check_end
from tests.attack.damage import WAYS
from tests.attack.world import World, entries, tables_of


def kept_programs(world: World, rng: random.Random) -> None:
  """Damages programs that are kept, mixes them up, or puts something in the place of their folder."""
  with world.workdir() as workdir:
    cache = workdir.parent / 'cache'
    shutil.copytree(world.cache, cache)
    told = rng.choices([_damage, _mix_up, _replace_folder], [8, 2, 1])[0](cache, rng)
    check_as_without_programs(world, workdir, cache, told)


def check_as_without_programs(
  world: World, workdir: pathlib.Path, cache: pathlib.Path, *seen: object
) -> None:
  """Checks that a command with such a cache folder does what one without it does, twice."""
  for _ in range(2):
    done = world.start(workdir, environment={'XDG_CACHE_HOME': str(cache)}).done()
    check_end(done)
    check(done.status == 0 and not done.errors, 'It was disturbed by its cache.', *seen, done)
    right = tables_of(workdir) == world.tables
    check(right, 'The tables are not those of an undisturbed run.', *seen, done)
    shutil.rmtree(workdir)


def _programs_in(cache: pathlib.Path) -> list[pathlib.Path]:
  return [path for path in entries(cache) if path.is_file()]


def _damage(cache: pathlib.Path, rng: random.Random) -> str:
  programs = _programs_in(cache)
  way = rng.choice(WAYS)
  damaged = rng.sample(programs, rng.choice([1, 3, len(programs)]))
  for path in damaged:
    way(path, rng)
  return f'{way.__name__} {" ".join(path.name for path in damaged)}'


def _mix_up(cache: pathlib.Path, rng: random.Random) -> str:
  programs = _programs_in(cache)
  contents = [path.read_bytes() for path in programs]
  rng.shuffle(contents)
  for path, content in zip(programs, contents, strict=True):
    path.write_bytes(content)
  return "The programs have each other's names"


def _replace_folder(cache: pathlib.Path, rng: random.Random) -> str:
  folder = rng.choice([cache, *(path for path in entries(cache) if path.is_dir())])
  shutil.rmtree(folder)
  what = rng.choice(['a file', 'a link to nothing', 'a link to itself'])
  match what:
    case 'a file':
      folder.write_text('something else')
    case 'a link to nothing':
      folder.symlink_to('no/such/folder')
    case _:
      folder.symlink_to(folder.name)
  return f'{folder.name} is {what}'
