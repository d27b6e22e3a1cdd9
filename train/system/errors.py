"""Errors that a user can fix."""

import contextlib
from collections.abc import Iterator


class UserError(Exception):
  """A request of the user is impossible; the text is one sentence that says what to do."""


class StorageError(UserError):
  """A run cannot be saved, so that writers in the background will fail, too."""


class DivergedError(UserError):
  """All runs diverged."""

  exit_status = 1  # the command itself was right


@contextlib.contextmanager
def value_errors_explained() -> Iterator[None]:
  """Raises a ``UserError`` with the same words in place of a ``ValueError``."""
  try:
    yield
  except ValueError as error:
    raise UserError(str(error)) from error
