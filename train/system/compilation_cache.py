"""Compiled programs that are kept on disk, so that the next process does not compile them again."""

import os
import pathlib

import jax

from train.system.user_cache import keep, read_kept, user_cache

try:  # JAX has no public names for where its cache can be replaced.
  from jax._src import compilation_cache
  from jax._src.compilation_cache_interface import CacheInterface
except ImportError:  # a version that has moved them, with which nothing is kept
  compilation_cache, CacheInterface = None, object


def keep_compiled_programs() -> None:
  """Keeps what is compiled in the user's cache folder; to be called before JAX compiles.

  JAX's own variables come first: ``JAX_COMPILATION_CACHE_DIR`` names another folder, which is JAX's
  own affair, and ``JAX_ENABLE_COMPILATION_CACHE=false`` turns it off. Nothing is kept where nothing
  can be written.
  What is kept is known by program, versions, flags and processor, so that nothing stale is taken.
  """
  if 'JAX_COMPILATION_CACHE_DIR' in os.environ or not hasattr(compilation_cache, 'get_file_cache'):
    return
  folder = user_cache() / 'programs'
  try:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # who writes there can execute code
  except OSError:
    return
  if not os.access(folder, os.W_OK | os.X_OK):
    return
  compilation_cache.get_file_cache = lambda path: (_CheckedPrograms(path), path)
  jax.config.update('jax_compilation_cache_dir', str(folder))
  # Building a network compiles hundreds of small programs, which together take seconds.
  jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.0)


class _CheckedPrograms(CacheInterface):
  """Keeps programs in files of which damage is noticed: such a program is compiled and written anew.

  JAX's own cache would warn of it at each start, and never replace it; it has a checksum only where it
  compresses with zlib.
  """

  def __init__(self, folder: str):
    self._path = pathlib.Path(folder)

  def get(self, key: str) -> bytes | None:
    return read_kept(self._file(key))

  def put(self, key: str, value: bytes) -> None:
    keep(self._file(key), value)

  def _file(self, key: str) -> pathlib.Path:
    return self._path / f'{key}.program'
