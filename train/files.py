"""How files of a working directory are written."""

import os
import pathlib


def write_whole(path: pathlib.Path, text: str) -> None:
  """Writes a file, whole or not at all, in place of one that is there."""
  temporary = path.with_name(f'.{path.name}')
  temporary.write_text(text)
  os.replace(temporary, path)
