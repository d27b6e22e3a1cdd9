"""Compiled programs that are kept on disk, so that the next process does not compile them again."""

import os

import jax
import platformdirs


def keep_compiled_programs() -> None:
  """Keeps what is compiled in the user's cache folder; to be called before JAX compiles.

  JAX's own variables come first: ``JAX_COMPILATION_CACHE_DIR`` names another folder and
  ``JAX_ENABLE_COMPILATION_CACHE=false`` turns it off. Processes that this one starts do the same.
  What is kept is known by program, versions, flags and processor, so that nothing stale is taken.
  """
  if 'JAX_COMPILATION_CACHE_DIR' in os.environ:
    return
  settings = {
    'jax_compilation_cache_dir': os.path.join(
      platformdirs.user_cache_dir('lcam-optax'), 'programs'
    ),
    # Building a network compiles hundreds of small programs, which together take seconds.
    'jax_persistent_cache_min_compile_time_secs': 0.0,
  }
  for name, value in settings.items():
    jax.config.update(name, value)
    os.environ[name.upper()] = str(value)  # for the processes that this one starts
