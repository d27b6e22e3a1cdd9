"""Which process may write what: a run has one writer, and so has the plan of all runs.

The locks are the system's own (flock) and end with the process that holds them, however it ends. A
file system that several machines share must pass them on, as NFS 4, Lustre (mounted with ``flock``)
and GPFS do.
"""

import contextlib
import pathlib
from collections.abc import Iterator

import filelock

from train.errors import UserError

_LOCK = '.lock'
_SECONDS_FOR_A_PLAN = 120  # many processes may start at once, and each writes for a moment


@contextlib.contextmanager
def planning_in(workdir: pathlib.Path) -> Iterator[None]:
  """Waits until no other process plans runs in a working directory, and keeps others out.

  Raises:
    UserError: If another process does not let go, as one of version 0.1 does until it ends.
  """
  try:
    with filelock.FileLock(workdir / _LOCK, timeout=_SECONDS_FOR_A_PLAN):
      yield
  except filelock.Timeout:
    raise in_use(workdir) from None


@contextlib.contextmanager
def sole_writer_of(directory: pathlib.Path, patience: float = 0.5) -> Iterator[bool]:
  """Tries to become the one process that writes a run; yields whether it is.

  Args:
    directory: The directory of the run.
    patience: For how many seconds to try. Others may hold the lock for a moment, to see whether
      somebody else does.
  """
  lock = filelock.FileLock(directory / _LOCK, timeout=patience)
  try:
    lock.acquire()
  except filelock.Timeout:
    yield False
    return
  try:
    yield True
  finally:
    lock.release()


def has_writer(directory: pathlib.Path) -> bool:
  """Returns whether some process writes a run now."""
  with sole_writer_of(directory, patience=0) as free:
    return not free


def in_use(workdir: pathlib.Path) -> UserError:
  """Returns what to raise where nothing can be done because of another process."""
  return UserError(
    f'Another process is running in {workdir}: wait for it, or choose another --workdir.'
  )
