"""How files of a working directory are read and written, and what is said where that fails."""

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
  """Returns the content of a file, None where there is none.

  Raises:
    OSError: If something else is there, or it cannot be read.
  """
  try:
    return path.read_bytes()
  except (FileNotFoundError, NotADirectoryError):
    return None


def read_object(path: pathlib.Path) -> dict[str, Any]:
  """Returns the object that a JSON file holds; empty if the file is missing or damaged.

  Raises:
    OSError: If something else is there, or it cannot be read.
  """
  try:
    found = json.loads(read_whole(path) or b'')
  except (ValueError, RecursionError):
    return {}
  return found if isinstance(found, dict) else {}


def write_whole(path: pathlib.Path, content: str | bytes) -> None:
  """Writes a file, whole or not at all, in place of one that is there.

  Two processes may do so at the same time: one file or the other is there afterwards.
  """
  temporary = path.with_name(f'.{path.name}.{uuid.uuid4().hex}')
  try:
    # Names of folders are told, which need not be UTF-8.
    data = content.encode(errors='surrogateescape') if isinstance(content, str) else content
    temporary.write_bytes(data)
    os.replace(temporary, path)
  except BaseException as error:
    with contextlib.suppress(OSError):  # what came first counts
      temporary.unlink()
    if isinstance(error, OSError):
      error.filename, error.filename2 = str(path), None  # the name that a user knows
    raise


def put_aside(path: pathlib.Path, name: str) -> pathlib.Path:
  """Renames a file or folder so that nothing that was kept before is lost.

  Args:
    path: What makes room.
    name: Its new name but for a number.

  Returns:
    Where it is now.
  """
  number = 1
  while os.path.lexists(aside := path.with_name(f'{name}-{number}')):
    number += 1
  return path.rename(aside)


@contextlib.contextmanager
def errors_explained(folder: pathlib.Path, kind: type[UserError] = UserError) -> Iterator[None]:
  """Tells in a sentence that a folder, or something in it, cannot be read or written.

  Args:
    folder: The folder; what goes wrong elsewhere is left as it is.
    kind: What is raised.
  """
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


def storage_sentence(
  path: pathlib.Path, error: BaseException, folder: pathlib.Path | None = None
) -> str:
  """Returns the sentence about a file or folder that cannot be read or written.

  Args:
    path: What cannot be used.
    error: Why; what writes in the background wraps the error of the system, and keeps its words.
    folder: What the user named; the path itself if not given.
  """
  number, words = getattr(error, 'errno', None), str(error)
  if number in _FULL or any(word in words for word in _FULL_WORDS):
    return (
      f'The disk of {folder or path} is full; the last checkpoint is intact. Free some space, then '
      f'go on with: {command_line()}'
    )
  reason = getattr(error, 'strerror', None) or first_line(error)
  return (
    f'{path} cannot be used ({reason}): mend that or choose another folder; what was saved before '
    f'is kept. Go on with: {command_line()}'
  )


def first_line(error: BaseException) -> str:
  """Returns what an error says first, short."""
  return str(error).strip().partition('\n')[0][:200] or type(error).__name__
