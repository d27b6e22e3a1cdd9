"""Attacks on the files of a working directory."""

import os
import pathlib
import random
import shutil
from collections.abc import Callable

from tests.attack.checks import check, check_again, check_end
from tests.attack.commands import run
from tests.attack.world import TABLES, World, entries, pause, tables_of
from train.storage.tables import SUMS


def _truncate(path: pathlib.Path, rng: random.Random) -> None:
  os.truncate(path, rng.randrange(max(1, path.stat().st_size)))


def _flip(path: pathlib.Path, rng: random.Random) -> None:
  content = bytearray(path.read_bytes())
  if content:
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)


def _scramble(path: pathlib.Path, rng: random.Random) -> None:
  path.write_bytes(rng.randbytes(path.stat().st_size))


def _append(path: pathlib.Path, rng: random.Random) -> None:
  with path.open('ab') as file:
    file.write(rng.choice([b'\n', b'x', b'1,2,3\n', b'\0' * 100, rng.randbytes(50)]))


def _repeat_a_line(path: pathlib.Path, rng: random.Random) -> None:
  lines = path.read_bytes().splitlines(keepends=True)
  if lines:
    path.write_bytes(b''.join([*lines, rng.choice(lines)]))


def _empty(path: pathlib.Path, rng: random.Random) -> None:
  del rng
  path.write_bytes(b'')


def _delete(path: pathlib.Path, rng: random.Random) -> None:
  del rng
  path.unlink()


def _make_folder(path: pathlib.Path, rng: random.Random) -> None:
  path.unlink()
  path.mkdir()
  if rng.random() < 0.5:
    (path / 'file').write_text('in it')


def _link_to_nothing(path: pathlib.Path, rng: random.Random) -> None:
  path.unlink()
  path.symlink_to(rng.choice(['nothing', 'no/such/folder', '/no/such/file']))


def _link_to_itself(path: pathlib.Path, rng: random.Random) -> None:
  del rng
  path.unlink()
  path.symlink_to(path.name)


CONTENT: tuple[Callable[[pathlib.Path, random.Random], None], ...] = (
  *(_truncate, _flip, _scramble, _append, _repeat_a_line, _empty),
)
WAYS = (*CONTENT, _delete, _make_folder, _link_to_nothing, _link_to_itself)


def damage(world: World, rng: random.Random) -> None:
  """Damages some files of a working directory, reports, and goes on."""
  template = rng.choice([world.finished, world.stopped])
  with world.workdir(template) as workdir:
    told, edited = [], {}
    for _ in range(rng.choice([1, 1, 1, 2, 5])):
      path = rng.choice(_files(workdir))
      way = rng.choice(WAYS)
      name = str(path.relative_to(workdir))
      way(path, rng)
      told.append(f'{way.__name__} {template.parent.name}/{name}')
      if way in CONTENT and path.name in TABLES and path.with_name(SUMS).is_file():
        edited[path] = path.read_bytes()
    _check_report(world, workdir, told)
    lost = [line.partition('/')[2] for line in told]
    again = check_again(world, workdir, *told, lost=lost)
    for path, content in edited.items():
      if path.with_name(SUMS).is_file():  # which a later damage may have removed
        kept = path.is_file() and path.read_bytes() == content
        check(kept, f'{path}, as it was edited, is lost.', *told, again)


def _files(workdir: pathlib.Path) -> list[pathlib.Path]:
  """Returns the files in an order that depends on their names alone, without random parts."""
  files = [path for path in workdir.rglob('*') if path.is_file() and not path.is_symlink()]
  return sorted(files, key=lambda path: (len(path.parts), str(path)))


def _check_report(world: World, workdir: pathlib.Path, told: list[str]) -> None:
  """Checks that a report of damaged runs has the right numbers, or says what it left out."""
  whole = tables_of(workdir) == world.tables
  done = run('report', workdir, folder=workdir.parent)
  check_end(done, 1)
  report = workdir / 'report.csv'
  if done.status == 0 and whole and report.is_file():
    check(_numbers(report.read_bytes()) == _numbers(world.report), 'Another report.', *told, done)
  if done.status == 0 and not whole and 'finished/' in told[0]:
    words = ('seed-', 'left out', 'cannot', 'differ', 'damaged', 'missing', 'not ')
    check(any(word in done.output for word in words), 'Nothing is said of it.', *told, done)


def _numbers(report: bytes) -> list[list[bytes]]:
  """Returns the cells of a report but for those that tell the time that runs took."""
  rows = [line.split(b',') for line in report.splitlines()]
  timed = {index for index, name in enumerate(rows[0]) if b'second' in name or b'commit' in name}
  return [[cell for index, cell in enumerate(row) if index not in timed] for row in rows]


def remove_during_a_run(world: World, rng: random.Random) -> None:
  """Removes or replaces a folder, or any file, while a run writes there."""
  with world.workdir() as workdir:
    command = world.start(workdir)
    pause(rng, command, world.seconds)
    target = rng.choice([workdir, *entries(workdir)])
    told = f'{target.relative_to(workdir.parent)} was removed or replaced'
    _remove(target)
    if rng.random() < 0.4:
      _replace(target, rng)
    done = command.done()
    check_end(done)
    check_again(world, workdir, told, done, lost=world.tables)


def _remove(target: pathlib.Path) -> None:
  if target.is_dir() and not target.is_symlink():
    shutil.rmtree(target, ignore_errors=True)
  else:
    target.unlink(missing_ok=True)


def _replace(target: pathlib.Path, rng: random.Random) -> None:
  try:
    if rng.random() < 0.5:
      target.write_text('something else')
    else:
      target.symlink_to('nothing')
  except OSError:  # the run was faster, or its parent is gone
    pass
