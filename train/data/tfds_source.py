"""Data sets that TFDS prepares, in a process of its own, and that are kept as plain arrays."""

import dataclasses
import os
import pathlib
import subprocess
import sys
from typing import Literal

from train.data import cache
from train.data.dataset import DataError
from train.data.source import DataSource
from train.system.environment import CHECKOUT

_CHOOSE = 'choose another with --data-dir or TFDS_DATA_DIR'


@dataclasses.dataclass(frozen=True, kw_only=True)
class TfdsSource(DataSource):
  """A data set of TFDS. Its loaded arrays are memory maps.

  TFDS, and TensorFlow with it, run in a process of their own, whose program is
  :mod:`train.data.from_tfds`.

  Attributes:
    test_split: Which examples are the test split: TFDS's own split of that name, or, where TFDS has
      one split for all, the first five recordings of each word and speaker.
    builder_module: The module that defines the builder, where TFDS does not know it by itself.
  """

  test_split: Literal['test', 'first_recordings'] = 'test'
  builder_module: str | None = None

  def _load(self, data_dir):
    folder = cache_folder(self.name, data_dir)
    if not folder.exists():
      self.prepare(data_dir)
    try:
      dataset = cache.read(folder)
      if dataset.name != self.name:
        raise cache.DamagedCacheError(f'it holds {dataset.name}')
      return dataset
    except cache.DamagedCacheError as error:
      raise DataError(
        f'{folder} is damaged ({error}): rebuild it with '
        f"'python -m train prepare {self.name} --data-dir {folder.parents[1]}'."
      ) from error

  def prepare(self, data_dir: str | None = None) -> pathlib.Path:
    """Has TFDS download and prepare the data set; see :meth:`DataSource.prepare`.

    A cache that is there is verified against its checksums, and rebuilt if it is damaged.

    Args:
      data_dir: See :meth:`DataSource.load`.

    Returns:
      The folder of the cache.

    Raises:
      DataError: If it cannot be prepared; nothing is left that a later call would trust.
    """
    folder = cache_folder(self.name, data_dir)
    if folder.exists():
      try:
        cache.verify(folder)
        if (name := cache.read(folder).name) != self.name:
          raise cache.DamagedCacheError(f'it holds {name}')
      except cache.DamagedCacheError as error:
        print(f'Rebuilding {folder}: {error}.', file=sys.stderr)
      else:
        return folder
    _check_data_dir(_data_dir(data_dir))
    _run_tfds(self.name, _data_dir(data_dir))
    return folder


def cache_folder(name: str, data_dir: str | os.PathLike | None) -> pathlib.Path:
  """Returns where the cache of a data set lies, beside TFDS's own folders."""
  return _data_dir(data_dir) / 'lcam' / name


def _data_dir(data_dir):
  chosen = data_dir or os.environ.get('TFDS_DATA_DIR') or '~/tensorflow_datasets'
  if '://' in str(chosen):
    raise DataError(f'{chosen} is no folder of this machine: {_CHOOSE}.')
  folder = pathlib.Path(chosen).expanduser()
  try:
    folder.exists()
  except OSError as error:  # a name that is too long, for example
    raise DataError(f'{chosen} cannot be used ({error.strerror}): {_CHOOSE}.') from error
  return folder


def _check_data_dir(data_dir):
  # Only the last folder is made: a mistyped path should not collect gigabytes.
  parent = data_dir if data_dir.exists() else data_dir.parent
  if not parent.is_dir():
    raise DataError(f'{parent} is no folder: make it, or {_CHOOSE}.')
  if not os.access(parent, os.W_OK):
    raise DataError(f'{parent} is not writable: {_CHOOSE}.')


def _run_tfds(name, data_dir):
  environment = os.environ | {
    'PYTHONPATH': os.pathsep.join(filter(None, [str(CHECKOUT), os.environ.get('PYTHONPATH')])),
    # The accelerator belongs to the training process; TensorFlow's log is for its developers.
    'CUDA_VISIBLE_DEVICES': '-1',
    'JAX_PLATFORMS': 'cpu',
    'TF_CPP_MIN_LOG_LEVEL': '3',
    'TF_ENABLE_ONEDNN_OPTS': '0',
  }
  command = [sys.executable, '-m', 'train.data.from_tfds', name, str(data_dir)]
  process = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=False)
  if process.returncode != 0:
    sentence = process.stdout.strip()
    raise DataError(sentence or f'TFDS could not prepare {name}; what it said stands above.')
