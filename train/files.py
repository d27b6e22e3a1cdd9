"""How files of a working directory are written."""

import os
import pathlib
import uuid


def write_whole(path: pathlib.Path, content: str | bytes) -> None:
  """Writes a file, whole or not at all, in place of one that is there.

  Two processes may do so at the same time: one file or the other is there afterwards.
  """
  temporary = path.with_name(f'.{path.name}.{uuid.uuid4().hex}')
  try:
    temporary.write_bytes(content.encode() if isinstance(content, str) else content)
    os.replace(temporary, path)
  except BaseException:
    temporary.unlink(missing_ok=True)
    raise
