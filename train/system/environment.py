"""The environment of a run, environment.json, which is not part of its configuration."""

import contextlib
import functools
import importlib.metadata
import json
import logging
import os
import pathlib
import platform
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import jax

from train.system.errors import UserError
from train.system.files import first_line, read_object, write_whole

CHECKOUT = pathlib.Path(__file__).resolve().parents[2]
# Settings of JAX that change random numbers, precision, programs, or what may be computed; with
# their values here.
_SETTINGS = {
  'jax_enable_x64': False,
  'jax_default_prng_impl': 'threefry2x32',
  'jax_threefry_partitionable': True,
  'jax_random_seed_offset': 0,
  'jax_high_dynamic_range_gumbel': False,
  'jax_numpy_dtype_promotion': 'standard',
  'jax_numpy_rank_promotion': 'allow',
  'jax_transfer_guard': 'allow',
  'jax_disable_jit': False,
  'jax_disable_most_optimizations': False,
  'jax_debug_nans': False,  # a run that diverges ends in a sentence, not in an exception
  'jax_debug_infs': False,
}
# Settings that change rounding, or nothing.
_RECORDED = ('jax_default_matmul_precision',)
# Log an error in a callback of the user's with a traceback, and then raise it.
_LOG_CALLBACKS = ('jax._src.callback', 'jax._src.debugging')
_OF_THE_CODE = {'commit', 'changed'}
_PACKAGES = ('jax', 'jaxlib', 'optax', 'flax', 'orbax-checkpoint', 'numpy')


def python_path() -> str:
  """Returns the ``PYTHONPATH`` with which a process anywhere runs this code."""
  path = [str(CHECKOUT), *os.environ.get('PYTHONPATH', '').split(os.pathsep)]
  return os.pathsep.join(filter(None, path))


def settle_jax() -> None:
  """Gives JAX the settings that the trainer computes with, whatever the environment says.

  Call it again whenever code of the user's has run, which may change them.
  """
  for name, value in _SETTINGS.items():
    jax.config.update(name, value)
  for name in _LOG_CALLBACKS:
    logging.getLogger(name).setLevel(logging.CRITICAL)


@contextlib.contextmanager
def settled_jax() -> Iterator[None]:
  """Gives JAX these settings, and its own ones back at the end."""
  before = {name: jax.config.values[name] for name in _SETTINGS}
  settle_jax()
  try:
    yield
  finally:
    for name, value in before.items():
      jax.config.update(name, value)


def check_devices() -> None:
  """Raises a ``UserError`` if JAX finds no device; call it where JAX may be used."""
  try:
    jax.devices()
  except (RuntimeError, AssertionError) as error:
    platforms = os.environ.get('JAX_PLATFORMS')
    raise UserError(
      f'JAX finds no device with JAX_PLATFORMS={platforms} ({first_line(error)}): leave it out, or '
      'install JAX for that device.'
    ) from error


def check_xla_flags() -> None:
  """Raises a ``UserError`` if XLA would end the process because of ``XLA_FLAGS``."""
  if not (flags := os.environ.get('XLA_FLAGS')):
    return
  program = 'import jax; jax.config.update("jax_platforms", "cpu"); jax.devices()'
  done = subprocess.run([sys.executable, '-P', '-c', program], capture_output=True, text=True)
  if done.returncode:
    reason = done.stderr.strip().rpartition('\n')[2].rpartition('] ')[2]
    raise UserError(f'XLA refuses XLA_FLAGS={flags} ({reason}): correct the variable, or unset it.')


def write_environment(directory: pathlib.Path, *, resumed: bool = False, **made: Any) -> None:
  """Writes environment.json of a run, again each time it is started.

  ``made`` is what differs between the runs of a process: how each is trained. If a run is resumed in
  another environment than before, the file keeps the earlier one, too.
  """
  found = {**environment(), **made}
  was = read_environment(directory) if resumed else {}
  earlier = was.pop('earlier', [])
  if was and any(was.get(name) != found.get(name) for name in {*was, *found} - _OF_THE_CODE):
    earlier = [*earlier, was]
  found |= {'earlier': earlier} if earlier else {}
  write_whole(directory / 'environment.json', json.dumps(found, indent=2) + '\n')


def read_environment(directory: pathlib.Path) -> dict[str, Any]:
  """Returns the environment of a run; empty if it is missing or damaged."""
  return read_object(directory / 'environment.json')


@functools.cache
def environment() -> dict[str, Any]:
  """Returns the commit, whether the working tree differs from it, versions and devices."""
  changes = _git('status', '--porcelain', '--untracked-files=no')
  return {
    'commit': _git('rev-parse', 'HEAD'),
    'changed': None if changes is None else bool(changes),
    'versions': {
      'python': platform.python_version(),
      **{name: importlib.metadata.version(name) for name in _PACKAGES},
    },
    'device_kind': jax.devices()[0].device_kind,
    'device_count': jax.device_count(),
    'process_count': jax.process_count(),
    'machine': platform.machine(),
    'settings': {
      **{name: getattr(jax.config, name) for name in _RECORDED},
      'XLA_FLAGS': os.environ.get('XLA_FLAGS', ''),
    },
  }


def commit_words(made: Mapping[str, Any]) -> str:
  """Returns the short commit of an environment, and whether the working tree differed from it."""
  return f'{str(made.get("commit"))[:7]}{", with changes" if made.get("changed") else ""}'


def _git(*arguments: str) -> str | None:
  """Returns git's output for this checkout; None without git or outside a checkout."""
  try:
    done = subprocess.run(
      ['git', '-C', str(CHECKOUT), *arguments], capture_output=True, text=True, check=True
    )
  except (OSError, subprocess.CalledProcessError):
    return None
  return done.stdout.strip()
