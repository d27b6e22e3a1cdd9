"""Data sets that TFDS prepares, in a process that runs ``train.data.from_tfds``, as plain arrays."""

import dataclasses
import os
import pathlib
import subprocess
import sys
from typing import Literal

from train.data import cache
from train.data.dataset import DataError
from train.data.source import DataSource
from train.system.environment import python_path

_CHOOSE = 'choose another folder with --data-dir or TFDS_DATA_DIR'


@dataclasses.dataclass(frozen=True, kw_only=True)
class TfdsSource(DataSource):
  """A data set of TFDS. Its loaded arrays are memory maps."""

  # TFDS's own, or, if it has only one split, the first five recordings of each word and speaker.
  test_split: Literal['test', 'first_recordings'] = 'test'
  builder_module: str | None = None  # defines the builder, if TFDS does not contain it

  def load(self, data_dir=None, train_examples=None):
    folder = cache_folder(self.name, data_dir)
    if not folder.exists():
      self.prepare(data_dir)
    try:
      return cache.read(folder, self.name).with_train_examples(train_examples)
    except cache.DamagedCacheError as error:
      raise DataError(
        f'{folder} is damaged ({error}): rebuild it with '
        f"'python -m train prepare {self.name} --data-dir {folder.parents[1]}'."
      ) from error

  def prepare(self, data_dir=None):
    folder = cache_folder(self.name, data_dir)
    if folder.exists():
      try:
        cache.verify(folder, self.name)
        return folder
      except cache.DamagedCacheError as error:
        print(f'Rebuilding {folder}: {error}.', file=sys.stderr)
    data_dir = _data_dir(data_dir)
    # TFDS makes the last folder only: a mistyped path should not collect gigabytes.
    parent = data_dir if data_dir.exists() else data_dir.parent
    if not parent.is_dir():
      raise DataError(f'{parent} is not a folder: create it, or {_CHOOSE}.')
    if not os.access(parent, os.W_OK):
      raise DataError(f'{parent} is not writable: {_CHOOSE}.')
    _run_tfds(self.name, data_dir)
    return folder


def cache_folder(name: str, data_dir: str | os.PathLike | None) -> pathlib.Path:
  """Returns the folder of a data set's cache, next to TFDS's own folders."""
  return _data_dir(data_dir) / 'lcam' / name


def _data_dir(data_dir):
  chosen = data_dir or os.environ.get('TFDS_DATA_DIR') or '~/tensorflow_datasets'
  if '://' in str(chosen):
    raise DataError(f'{chosen} is not a folder of this machine: {_CHOOSE}.')
  folder = pathlib.Path(chosen).expanduser()
  try:
    folder.exists()
  except OSError as error:  # a name that is too long, for example
    raise DataError(f'Cannot use {chosen} ({error.strerror}): {_CHOOSE}.') from error
  return folder


def _run_tfds(name, data_dir):
  environment = os.environ | {
    'PYTHONPATH': python_path(),
    # The training process uses the accelerator; TensorFlow's log is for its developers.
    'CUDA_VISIBLE_DEVICES': '-1',
    'JAX_PLATFORMS': 'cpu',
    'TF_CPP_MIN_LOG_LEVEL': '3',
    'TF_ENABLE_ONEDNN_OPTS': '0',
  }
  command = [sys.executable, '-P', '-m', 'train.data.from_tfds', name, str(data_dir)]
  process = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=False)
  if process.returncode != 0:
    sentence = process.stdout.strip()
    raise DataError(sentence or f'TFDS could not prepare {name}: see its output above.')
