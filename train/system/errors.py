"""Errors that a user can fix."""

import contextlib
import difflib
from collections.abc import Iterable, Iterator


class UserError(Exception):
  """A request of the user is impossible; the text is one sentence that says what to do."""


class StorageError(UserError):
  """A run cannot be saved, so that writers in the background will fail, too."""


class DivergedError(UserError):
  """All runs diverged."""

  exit_status = 1  # the command itself was right


def did_you_mean(name: str, known: Iterable[str]) -> str:
  """Returns a question in brackets, if one of the known names is like a name; else nothing.

  Example:
    >>> did_you_mean('figure33', ['figure3', 'speech'])
    ' (did you mean figure3?)'
  """
  near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.7)
  return f' (did you mean {near[0]}?)' if near else ''


@contextlib.contextmanager
def value_errors_explained() -> Iterator[None]:
  """Raises a ``UserError`` with the same words in place of a ``ValueError``."""
  try:
    yield
  except ValueError as error:
    raise UserError(str(error)) from error
