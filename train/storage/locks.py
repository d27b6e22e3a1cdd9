"""Which process may write what: a run has one writer, and so has the plan of all runs.

The locks are the system's own (flock) and end with the process that holds them, however it ends. A
file system that several machines share must pass them on, as NFS 4, Lustre (mounted with ``flock``)
and GPFS do. A lock is that of its file: where somebody has removed the file, another process gets a
lock of a new one. So the folder is locked, too, which cannot be removed without all that is in it;
and because not all file systems can lock folders (NFS cannot), whoever writes a run looks whether
the file is still there.
"""

import contextlib
import os
import pathlib
import time
from collections.abc import Iterator
from typing import NamedTuple

import filelock

try:
  import fcntl
except ImportError:  # on Windows, where no file is removed that is open
  fcntl = None

from train.system.errors import StorageError, UserError
from train.system.signals import command_line

_LOCK = '.lock'
_SECONDS_FOR_A_PLAN = 120  # many processes may start at once, and each writes for a moment
_SECONDS_BETWEEN_TRIES = 0.05


class Lock(NamedTuple):
  """What tells the file of a lock that is held from another one of the same name.

  Attributes:
    device: The device that it is on.
    inode: Its number there, which no other file is given while it is held.
  """

  device: int
  inode: int


@contextlib.contextmanager
def planning_in(workdir: pathlib.Path) -> Iterator[None]:
  """Waits until no other process plans runs in a working directory, and keeps others out.

  Raises:
    UserError: If another process does not let go, as one of version 0.1 does until it ends.
  """
  with _locked(workdir, _SECONDS_FOR_A_PLAN) as held:
    if not held:
      raise in_use(workdir)
    yield


@contextlib.contextmanager
def sole_writer_of(directory: pathlib.Path, patience: float = 0.5) -> Iterator[Lock | None]:
  """Tries to become the one process that writes a run; yields its lock, None if another is it.

  Args:
    directory: The directory of the run.
    patience: For how many seconds to try. Others may hold the lock for a moment, to see whether
      somebody else does.
  """
  with _locked(directory, patience) as held:
    yield _lock_in(directory) if held else None


@contextlib.contextmanager
def _locked(folder: pathlib.Path, patience: float) -> Iterator[bool]:
  """Tries for some seconds to lock a folder, by its file and by itself; yields whether it did."""
  deadline = time.monotonic() + patience
  lock = filelock.FileLock(folder / _LOCK, timeout=patience)
  with contextlib.ExitStack() as stack:
    try:
      stack.enter_context(lock)
    except filelock.Timeout:
      yield False
      return
    held = True
    if fcntl is not None:
      descriptor = os.open(folder, os.O_RDONLY)
      stack.callback(os.close, descriptor)
      while not (held := _lock_folder(descriptor)) and time.monotonic() < deadline:
        time.sleep(_SECONDS_BETWEEN_TRIES)
    yield held


def _lock_folder(descriptor: int) -> bool:
  """Returns whether no other process has locked a folder; where none can be, none has."""
  try:
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
  except BlockingIOError:
    return False
  except OSError:
    return True
  return True


def check_sole_writer(directory: pathlib.Path, lock: Lock) -> None:
  """Raises a ``StorageError`` if another process may have become the writer of a run.

  Args:
    directory: The directory of the run.
    lock: What :func:`sole_writer_of` gave.
  """
  try:
    held = _lock_in(directory) == lock
  except OSError:
    held = False
  if not held:
    lost = directory / _LOCK if directory.is_dir() else directory
    raise StorageError(
      f'{lost} was removed or replaced while this process trained the run, and another one may '
      f'write there now; what was saved before is kept. Go on with: {command_line()}'
    )


def _lock_in(directory: pathlib.Path) -> Lock:
  found = (directory / _LOCK).lstat()
  return Lock(found.st_dev, found.st_ino)


def has_writer(directory: pathlib.Path) -> bool:
  """Returns whether some process writes a run now."""
  with sole_writer_of(directory, patience=0) as lock:
    return lock is None


def in_use(workdir: pathlib.Path) -> UserError:
  """Returns what to raise where nothing can be done because of another process."""
  return UserError(
    f'Another process is running in {workdir}: wait for it, or choose another --workdir.'
  )
