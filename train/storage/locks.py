"""Locks: a run has one writer at a time, and so has the plan of all runs.

They are the system's own locks (flock), which end with the process that holds them. A file system that
several machines share must pass them on, as NFS 4, GPFS and Lustre (mounted with ``flock``) do. Who
removes the file of a lock that is held lets another process in.
"""

import contextlib
import pathlib
from collections.abc import Iterator

import filelock

from train.system.errors import UserError

_SECONDS_FOR_A_PLAN = 120  # many processes may start at once, and each writes for a moment


@contextlib.contextmanager
def sole_writer_of(directory: pathlib.Path, patience: float = 0.5) -> Iterator[bool]:
  """Tries for some seconds to become the one writer of a directory; yields whether this process is.

  Others may hold the lock for a moment, to see whether it is held.
  """
  try:
    lock = filelock.FileLock(directory / '.lock', timeout=patience).acquire()
  except filelock.Timeout:
    yield False
    return
  with lock:
    yield True


@contextlib.contextmanager
def planning_in(workdir: pathlib.Path) -> Iterator[None]:
  """Waits until no other process plans runs in a working directory, and keeps others out."""
  with sole_writer_of(workdir, _SECONDS_FOR_A_PLAN) as held:
    if not held:
      raise in_use(workdir)
    yield


def has_writer(directory: pathlib.Path) -> bool:
  """Returns whether some process writes a run now."""
  with sole_writer_of(directory, patience=0) as held:
    return not held


def in_use(workdir: pathlib.Path) -> UserError:
  """Returns the error that another process uses a working directory."""
  return UserError(
    f'Another process is running in {workdir}: wait for it, or choose another --workdir.'
  )
