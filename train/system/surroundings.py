"""Undoes what the user's code does to its process that would break the trainer."""

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import NoReturn

from train.system.environment import check_xla_flags, settle_jax
from train.system.errors import UserError


@contextlib.contextmanager
def kept_surroundings(folders: list[str]) -> Iterator[None]:
  """Runs code that can import from some folders, and keeps what the trainer needs.

  The code may change the search path of modules, but takes away nothing. It leaves no setting of JAX
  behind.

  Raises:
    UserError: If it has removed the working directory, or set ``XLA_FLAGS`` that XLA refuses.
  """
  # At the end, so that a neighbour called scipy.py does not replace a library.
  before, added = list(sys.path), [folder for folder in folders if folder not in sys.path]
  sys.path.extend(added)
  process, end_process, flags = os.getpid(), os._exit, os.environ.get('XLA_FLAGS')

  def end(status: int) -> NoReturn:
    if os.getpid() != process:  # a child of the user's code
      end_process(status)
    raise SystemExit(f'os._exit({status})')

  os._exit = end
  try:
    yield
    # It is not moved to another folder, where the code might go on to delete what is there.
    check_working_directory()
    if os.environ.get('XLA_FLAGS') != flags:
      check_xla_flags()
  finally:
    os._exit = end_process
    settle_jax()
    path = [entry for entry in sys.path if entry not in added]
    sys.path[:] = [*path, *(entry for entry in before if entry not in path)]
    occupy_standard_files()


def check_working_directory() -> None:
  """Raises a ``UserError`` if the working directory does not exist any more."""
  try:
    os.getcwd()
  except OSError as error:
    raise UserError('The working directory is gone: change to one that exists.') from error


def occupy_standard_files() -> None:
  """Opens the null device for each standard file that is closed, before another gets its number."""
  for number in range(3):
    try:
      os.fstat(number)
    except OSError:
      os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free
