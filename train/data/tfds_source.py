"""Loads data sets by name, and has TFDS prepare those that are missing."""

import dataclasses
import os
import pathlib
import subprocess
import sys

from train.data import cache
from train.data.dataset import DataError, Dataset, Split
from train.data.digits import load_digits

DATASETS = (
  'digits',
  'cifar10',
  'cifar100',
  'speech_commands',
  'speech_commands_35',
  'spoken_digit',
)
_CHECKOUT = pathlib.Path(__file__).resolve().parents[2]
_CHOOSE = 'choose another with --data-dir or TFDS_DATA_DIR'


def load(name: str, data_dir: str | None = None, train_examples: int | None = None) -> Dataset:
  """Loads a data set; prepares it first if its cache is missing.

  Args:
    name: one of `DATASETS`.
    data_dir: TFDS's folder, beside whose data sets the cache lies; None: the environment variable
      `TFDS_DATA_DIR`, else `~/tensorflow_datasets`.
    train_examples: how many training examples to take, the first ones; None: all.

  Returns:
    The data set; its arrays are memory maps but for the embedded digits.

  Raises:
    DataError: if it cannot be had.

  Example:
    >>> len(load('digits', train_examples=100).train)
    100
  """
  _check_name(name)
  if name == 'digits':
    dataset = load_digits()
  else:
    folder = cache_folder(name, data_dir)
    if not folder.exists():
      prepare(name, data_dir)
    dataset = _read(folder, name)
  if train_examples is not None:
    dataset = dataclasses.replace(dataset, train=_first(dataset.train, train_examples))
  return dataset


def prepare(name: str, data_dir: str | None = None) -> pathlib.Path:
  """Has TFDS download and prepare a data set, and keeps it as plain arrays.

  TFDS, and TensorFlow with it, run in a process of their own. A cache that is there is verified
  against its checksums, and rebuilt if it is damaged.

  Args:
    name: one of `DATASETS`, but not the embedded digits.
    data_dir: TFDS's folder; None: the environment variable `TFDS_DATA_DIR`, else
      `~/tensorflow_datasets`.

  Returns:
    The folder of the cache.

  Raises:
    DataError: if it cannot be prepared; nothing is left that a later call would trust.
  """
  _check_name(name)
  if name == 'digits':
    raise DataError('The digits come with scikit-learn and need no preparation.')
  folder = cache_folder(name, data_dir)
  if folder.exists():
    try:
      cache.verify(folder)
    except cache.DamagedCacheError as error:
      print(f'Rebuilding {folder}: {error}.', file=sys.stderr)
    else:
      return folder
  _check_data_dir(_data_dir(data_dir))
  _run_tfds(name, _data_dir(data_dir))
  return folder


def cache_folder(name: str, data_dir: str | os.PathLike | None) -> pathlib.Path:
  """Where the cache of a data set lies, beside TFDS's own folders."""
  return _data_dir(data_dir) / 'lcam' / name


def _data_dir(data_dir):
  chosen = data_dir or os.environ.get('TFDS_DATA_DIR') or '~/tensorflow_datasets'
  if '://' in str(chosen):
    raise DataError(f'{chosen} is no folder of this machine: {_CHOOSE}.')
  return pathlib.Path(chosen).expanduser()


def _check_name(name):
  if name not in DATASETS:
    raise DataError(f'There is no data set {name!r}; there are {", ".join(DATASETS)}.')


def _check_data_dir(data_dir):
  # Only the last folder is made: a mistyped path should not collect gigabytes.
  parent = data_dir if data_dir.exists() else data_dir.parent
  if not parent.is_dir():
    raise DataError(f'{parent} is no folder: make it, or {_CHOOSE}.')
  if not os.access(parent, os.W_OK):
    raise DataError(f'{parent} is not writable: {_CHOOSE}.')


def _read(folder, name):
  try:
    return cache.read(folder)
  except cache.DamagedCacheError as error:
    raise DataError(
      f'{folder} is damaged ({error}): rebuild it with '
      f"'python -m train prepare {name} --data-dir {folder.parents[1]}'."
    ) from error


def _first(split: Split, examples: int) -> Split:
  if not 1 <= examples <= len(split):
    raise DataError(f'There are {len(split)} training examples to take, not {examples}.')
  return Split(split.inputs[:examples], split.labels[:examples])


def _run_tfds(name, data_dir):
  environment = os.environ | {
    'PYTHONPATH': os.pathsep.join(filter(None, [str(_CHECKOUT), os.environ.get('PYTHONPATH')])),
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
