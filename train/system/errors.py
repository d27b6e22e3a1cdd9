"""Errors that a user can mend."""

import contextlib
from collections.abc import Iterator


class UserError(Exception):
  """Something the user asked for cannot be done; its text is one sentence that says what to do."""


class StorageError(UserError):
  """A run cannot be saved, and whatever still writes in the background will fail too."""


class DivergedError(UserError):
  """Everything that was to be trained diverged.

  Attributes:
    exit_status: What the process returns; nothing was wrong with the command itself.
  """

  exit_status = 1


@contextlib.contextmanager
def value_errors_explained() -> Iterator[None]:
  """Raises a ``UserError`` with the same words in place of a ``ValueError``."""
  try:
    yield
  except ValueError as error:
    raise UserError(str(error)) from error
