"""Compiled programs that are kept on disk, so that the next process does not compile them again."""

import os

import jax
import platformdirs

_FOLDER = 'JAX_COMPILATION_CACHE_DIR'


def keep_compiled_programs() -> None:
  """Keeps what is compiled in the user's cache folder; to be called before JAX compiles.

  JAX's own variables come first: ``JAX_COMPILATION_CACHE_DIR`` names another folder and
  ``JAX_ENABLE_COMPILATION_CACHE=false`` turns it off. Processes that this one starts do the same.
  What is kept is known by program, versions, flags and processor, so that nothing stale is taken.
  """
  if _FOLDER in os.environ:
    return
  folder = os.path.join(platformdirs.user_cache_dir('lcam-optax'), 'programs')
  jax.config.update('jax_compilation_cache_dir', folder)
  # Building a network compiles hundreds of small programs, which together take seconds.
  jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.0)
