"""What must hold after each attack."""

import pathlib
import re
import signal
from collections.abc import Collection, Sequence
from typing import Any

from tests.attack.commands import Done
from tests.attack.world import World, tables_of

# What nobody should see who has done nothing but use the program.
_TRACES = re.compile(
  r'Traceback \(most recent|Exception ignored|Fatal Python error|Segmentation fault|'
  r'allow_pickle|terminate called|RuntimeWarning|core dumped'
)
REFUSED = 2


class Failure(Exception):  # noqa: N818
  """A promise that was not kept."""


def check(kept: bool, promise: str, *seen: object) -> None:
  """Raises a :class:`Failure` that shows what was seen, unless a promise was kept."""
  if not kept:
    raise Failure('\n'.join([promise, *map(str, seen)]))


def check_end(done: Done, *others: int) -> None:
  """Checks that a command ended by itself, without a traceback, and refusals are a sentence.

  Args:
    done: The command.
    *others: Exit statuses that are possible besides 0 and that of a refusal.
  """
  check(done.status is not None, 'A command did not end by itself.', done)
  check(not _TRACES.search(done.output + done.errors), 'There is a traceback.', done)
  check(done.status in (0, REFUSED, *others), 'There is another exit status.', done)
  if done.status == REFUSED:
    lines = done.errors.strip().splitlines()
    several = lines and lines[-1].startswith('Not trained, for the reasons above')  # of runs
    check(len(lines) == 1 or several, 'A refusal is no one sentence.', done)
    ends = (
      done.errors.rstrip().endswith(('.', '`', '?'))
      or ' -m train ' in done.errors.rpartition(': ')[2]
    )
    check(ends, 'A refusal does not end as a sentence, or with a command.', done)


def check_kept(workdir: pathlib.Path, before: dict[str, bytes], *seen: object) -> None:
  """Checks that tables are as they were or have grown."""
  for name, content in before.items():
    path = workdir / name
    check(path.is_file() and path.read_bytes().startswith(content), f'{name} is lost.', *seen)


def check_again(
  world: World,
  workdir: pathlib.Path,
  *seen: object,
  lost: Collection[str] = (),
  further: Sequence[str] = (),
  **options: Any,
) -> Done:
  """Runs the command again, and checks that its tables are right or it says why not.

  Args:
    world: What all attacks share.
    workdir: The working directory.
    *seen: What to show besides if it fails.
    lost: Tables that the attack itself has taken, and that may be missing after a refusal.
    further: Arguments besides.
    **options: How the command is started; see :class:`tests.attack.commands.Command`.

  Returns:
    The command.
  """
  whole = {name: table for name, table in world.ended(workdir).items() if name not in lost}
  done = world.start(workdir, *further, **options).done()
  check_end(done)
  check_kept(workdir, whole, *seen, done)
  if done.status == 0:
    tables = tables_of(workdir)
    for name in sorted({*tables, *world.tables}):
      right = tables.get(name) == world.tables.get(name)
      check(right, f'{name} is not that of an undisturbed run.', *seen, done)
  return done


def check_refused(
  done: Done, workdir: pathlib.Path, before: dict[str, bytes], *seen: object
) -> None:
  """Checks that a command was refused with a sentence, and left all tables as they were."""
  check_end(done)
  check(done.status == REFUSED, 'It was not refused.', *seen, done)
  check(tables_of(workdir) == before, 'A command that was refused changed tables.', *seen, done)


SIGNALLED = tuple(
  status for number in (signal.SIGINT, signal.SIGTERM) for status in (-number, 128 + number)
)
