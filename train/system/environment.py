"""The environment of a run, environment.json, which is not part of its configuration."""

import functools
import importlib.metadata
import json
import pathlib
import platform
import subprocess
from collections.abc import Mapping
from typing import Any

import jax

from train.system.files import read_object, write_whole

CHECKOUT = pathlib.Path(__file__).resolve().parents[2]
_PACKAGES = ('jax', 'jaxlib', 'optax', 'flax', 'orbax-checkpoint', 'numpy')


def write_environment(directory: pathlib.Path, devices_used: int = 1) -> None:
  """Writes environment.json of a run, again each time it is started."""
  found = {**environment(), 'devices_used': devices_used}
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
