"""Files kept in the user's cache folder: data sets and compiled programs.

They may be deleted or damaged at any time: each begins with a digest, and a damaged one counts as
missing.
"""

import contextlib
import hashlib
import os
import pathlib

import jax
import platformdirs

from train.system.files import write_whole

_DIGEST_BYTES = hashlib.sha256().digest_size


def user_cache() -> pathlib.Path:
  """Returns the cache folder, which may not exist yet."""
  return pathlib.Path(platformdirs.user_cache_dir('lcam-optax'))


def read_kept(path: pathlib.Path) -> bytes | None:
  """Returns the content of a kept file; None if it is missing, unreadable or damaged."""
  try:
    kept = path.read_bytes()
  except OSError:
    return None
  digest, content = kept[:_DIGEST_BYTES], kept[_DIGEST_BYTES:]
  return content if digest == _digest(path, content) else None


def keep(path: pathlib.Path, content: bytes) -> None:
  """Writes content to a file, behind a digest; does nothing where the file cannot be written."""
  with contextlib.suppress(OSError):
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_whole(path, _digest(path, content) + content)


def _digest(path: pathlib.Path, content: bytes) -> bytes:
  # With the name, so that a file under another file's name counts as damaged.
  return hashlib.sha256(path.name.encode() + content).digest()


def keep_compiled_programs() -> None:
  """Keeps compiled programs in the cache folder; to be called before JAX compiles.

  JAX's own variables come first: ``JAX_COMPILATION_CACHE_DIR`` names another folder, which JAX then
  manages alone, and ``JAX_ENABLE_COMPILATION_CACHE=false`` turns the cache off. JAX finds a program
  by its code, versions, flags and processor, so it never takes a stale one. A JAX version that has
  moved its cache keeps nothing.
  """
  if 'JAX_COMPILATION_CACHE_DIR' in os.environ:
    return
  folder = user_cache() / 'programs'
  try:
    from jax._src import compilation_cache  # has no public name

    folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # who writes there can execute code
  except (ImportError, OSError):
    return
  if not os.access(folder, os.W_OK | os.X_OK) or not hasattr(compilation_cache, 'get_file_cache'):
    return
  compilation_cache.get_file_cache = lambda path: (CheckedPrograms(path), path)
  jax.config.update('jax_compilation_cache_dir', str(folder))
  # Building a network compiles hundreds of small programs, which together take seconds.
  jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.0)


class CheckedPrograms:
  """Replaces JAX's file cache, so that a damaged program is compiled and written again.

  JAX's own cache never rewrites a damaged file, and warns about it at each start. Where it
  compresses with zstd, without a checksum, it may execute the damaged program: one flipped bit was
  enough for a segmentation fault.
  """

  def __init__(self, folder: str):
    self._path = pathlib.Path(folder)  # the name that JAX logs

  def get(self, key: str) -> bytes | None:
    return read_kept(self._path / key)

  def put(self, key: str, value: bytes) -> None:
    keep(self._path / key, value)
