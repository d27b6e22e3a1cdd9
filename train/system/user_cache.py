"""The user's cache folder: what is kept there may be deleted, or damaged, at any time."""

import contextlib
import hashlib
import pathlib

import platformdirs

from train.system.files import write_whole

_DIGEST_BYTES = hashlib.sha256().digest_size


def user_cache() -> pathlib.Path:
  """Returns the folder, which need not be there."""
  return pathlib.Path(platformdirs.user_cache_dir('lcam-optax'))


def read_kept(path: pathlib.Path) -> bytes | None:
  """Returns what was kept in a file; None if it is not there, cannot be read or is damaged."""
  try:
    kept = path.read_bytes()
  except OSError:
    return None
  digest, content = kept[:_DIGEST_BYTES], kept[_DIGEST_BYTES:]
  return content if digest == _digest(path, content) else None


def keep(path: pathlib.Path, content: bytes) -> None:
  """Keeps bytes in a file that begins with a digest of them and of its name.

  Where nothing can be written, nothing is kept.
  """
  with contextlib.suppress(OSError):
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_whole(path, _digest(path, content) + content)


def _digest(path: pathlib.Path, content: bytes) -> bytes:
  return hashlib.sha256(path.name.encode() + content).digest()
