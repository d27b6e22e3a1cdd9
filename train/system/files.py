"""Reads and writes the files of a working directory, and explains what fails."""

import contextlib
import errno
import json
import os
import pathlib
import uuid
from collections.abc import Iterator
from typing import Any

from train.system.errors import UserError
from train.system.signals import command_line

_FULL = (errno.ENOSPC, errno.EDQUOT)
_FULL_WORDS = ('ENOSPC', 'No space left', 'EDQUOT', 'quota exceeded')


def read_whole(path: pathlib.Path) -> bytes | None:
  """Returns the content of a file, None if it is missing; raises other ``OSError``."""
  try:
    return path.read_bytes()
  except (FileNotFoundError, NotADirectoryError):
    return None


def read_object(path: pathlib.Path) -> dict[str, Any]:
  """Returns the object in a JSON file, empty if missing or damaged; raises other ``OSError``."""
  try:
    found = json.loads(read_whole(path) or b'')
  except (ValueError, RecursionError):
    return {}
  return found if isinstance(found, dict) else {}


def write_whole(path: pathlib.Path, content: str | bytes) -> None:
  """Writes or replaces a file, whole or not at all, even if two processes do so at the same time."""
  temporary = path.with_name(f'.{path.name}.{uuid.uuid4().hex}')
  try:
    # Text may name folders, whose names need not be UTF-8.
    data = content.encode(errors='surrogateescape') if isinstance(content, str) else content
    temporary.write_bytes(data)
    os.replace(temporary, path)
  except BaseException as error:
    with contextlib.suppress(OSError):  # the first error counts
      temporary.unlink()
    if isinstance(error, OSError):
      error.filename, error.filename2 = str(path), None  # the name that a user knows
    raise


def put_aside(path: pathlib.Path, name: str) -> None:
  """Renames a file or folder to ``name-N``, with the first number that is free."""
  number = 1
  while os.path.lexists(aside := path.with_name(f'{name}-{number}')):
    number += 1
  path.rename(aside)


@contextlib.contextmanager
def errors_explained(folder: pathlib.Path, kind: type[UserError] = UserError) -> Iterator[None]:
  """Raises a sentence in place of an ``OSError`` about a folder or something in it."""
  try:
    yield
  except OSError as error:
    inside = above = False
    if isinstance(error.filename, str):
      path, whole = (pathlib.Path(os.path.abspath(name)) for name in (error.filename, folder))
      inside, above = path.is_relative_to(whole), whole.is_relative_to(path)
    if not (inside or above or error.errno in (*_FULL, errno.EROFS, errno.EIO, errno.ESTALE)):
      raise
    place = pathlib.Path(error.filename) if inside else folder
    raise kind(storage_sentence(place, error, folder)) from error


def storage_sentence(path: pathlib.Path, error: BaseException, folder: pathlib.Path) -> str:
  """Returns the sentence about a path in a folder that cannot be read or written."""
  number, words = getattr(error, 'errno', None), str(error)
  # Background writers wrap the system's error, and keep its words.
  if number in _FULL or any(word in words for word in _FULL_WORDS):
    return (
      f'The disk of {folder} is full; the last checkpoint is intact. Free some space, then '
      f'go on with: {command_line()}'
    )
  reason = getattr(error, 'strerror', None) or first_line(error)
  return (
    f'{path} cannot be used ({reason}): repair it or choose another folder; what was saved before '
    f'is kept. Go on with: {command_line()}'
  )


def first_line(error: BaseException) -> str:
  """Returns the first line of an error's message, without a full stop; its type if it has none."""
  return str(error).strip().partition('\n')[0][:200].rstrip('.') or type(error).__name__
