"""The cache of a data set: plain arrays that training maps, and a JSON file that describes them.

A cache is a folder that appears whole or not at all:

    train_inputs.npy  train_labels.npy  test_inputs.npy  test_labels.npy  dataset.json

It is written under another name, brought to the disk, and renamed.
"""

import hashlib
import json
import os
import pathlib
import shutil
from collections.abc import Iterable
from typing import Any

import numpy as np

from train.data.dataset import DataError, Dataset, Split

SPLITS = ('train', 'test')
_ARRAYS = tuple(f'{split}_{part}.npy' for split in SPLITS for part in ('inputs', 'labels'))
_DESCRIPTION = 'dataset.json'
# Raised when the layout of a cache changes, so that one of before is rebuilt, not misread.
_FORMAT = 1


class DamagedCacheError(Exception):
  """A cache is not what was written; the message names the file and what is wrong with it."""


def write(
  folder: pathlib.Path,
  description: dict[str, Any],
  examples: Iterable[tuple[str, np.ndarray, int]],
) -> None:
  """Writes a cache, in place of one that is there.

  Only one process may write the same cache at a time. Whatever interrupts it, ``folder`` is
  never there in part.

  Args:
    folder: Where the cache goes.
    description: What the JSON file says besides: at least ``name`` and ``class_names``.
    examples: Split (``'train'`` or ``'test'``), input and label of each example, in order; all
      inputs have the same shape and type.

  Raises:
    OSError: If the disk is full or not writable.
  """
  folder.parent.mkdir(parents=True, exist_ok=True)
  scratch = folder.with_name(f'.{folder.name}.incomplete')
  shutil.rmtree(scratch, ignore_errors=True)  # left by a process that was killed
  scratch.mkdir()
  try:
    _write_arrays(scratch, examples)
    arrays = {path.name: _describe(path) for path in sorted(scratch.glob('*.npy'))}
    text = json.dumps({'format': _FORMAT, **description, 'arrays': arrays}, indent=2)
    with open(scratch / _DESCRIPTION, 'w') as file:
      file.write(text + '\n')
      _to_disk(file)
    read(scratch)  # so that what is put in place can be loaded
    _replace(folder, scratch)
  finally:
    shutil.rmtree(scratch, ignore_errors=True)


def read(folder: pathlib.Path) -> Dataset:
  """Maps a cache's arrays, after a check of their sizes, shapes and types.

  Args:
    folder: The cache.

  Returns:
    The data set; its arrays are read-only memory maps.

  Raises:
    DamagedCacheError: If it is not as :func:`write` left it; what only checksums show is for
      :func:`verify`.
  """
  description = _read_description(folder)
  try:
    arrays = {name: _map(folder / name, description['arrays'][name]) for name in _ARRAYS}
    train, test = (
      Split(arrays[f'{split}_inputs.npy'], arrays[f'{split}_labels.npy']) for split in SPLITS
    )
    return Dataset(description['name'], train, test, tuple(description['class_names']))
  except KeyError as error:
    raise DamagedCacheError(f'{_DESCRIPTION} says nothing of {error}') from error
  except (TypeError, AttributeError) as error:
    raise DamagedCacheError(f'{_DESCRIPTION} is not as it was written') from error
  except DataError as error:
    raise DamagedCacheError(str(error).removesuffix('.')) from error


def verify(folder: pathlib.Path) -> None:
  """Compares a cache's checksums with those of its JSON file; reads every byte.

  Args:
    folder: The cache.

  Raises:
    DamagedCacheError: If a file is not as :func:`write` left it.
  """
  read(folder)
  described = _read_description(folder)['arrays']
  for name in _ARRAYS:
    try:
      found = _sha256(folder / name)
    except OSError as error:
      raise DamagedCacheError(f'{name} cannot be read') from error
    if found != described[name].get('sha256'):
      raise DamagedCacheError(f'the checksum of {name} is wrong')


def _write_arrays(folder, examples):
  files = {}
  try:
    for split, row, label in examples:
      for part, value in (('inputs', row), ('labels', np.int32(label))):
        name = f'{split}_{part}.npy'
        if name not in files:
          files[name] = _GrowingArray(folder / name, value.shape, value.dtype)
        files[name].append(value)
  finally:
    for file in files.values():
      file.close()


class _GrowingArray:
  """An ``.npy`` file whose rows are written as they come, their number at the end."""

  def __init__(self, path, row_shape, dtype):
    self._file = open(path, 'wb')  # noqa: SIM115  closed by close()
    self._row_shape, self._dtype, self._rows = row_shape, dtype, 0
    self._write_header()
    self._start = self._file.tell()

  def append(self, row):
    assert row.shape == self._row_shape, (row.shape, self._row_shape)
    assert row.dtype == self._dtype, (row.dtype, self._dtype)
    self._file.write(row.tobytes())
    self._rows += 1

  def close(self):
    with self._file:
      self._file.seek(0)
      self._write_header()
      # NumPy leaves room in the header for the number of rows to grow.
      assert self._file.tell() == self._start
      _to_disk(self._file)

  def _write_header(self):
    header = {
      'descr': np.lib.format.dtype_to_descr(self._dtype),
      'fortran_order': False,
      'shape': (self._rows, *self._row_shape),
    }
    np.lib.format.write_array_header_1_0(self._file, header)


def _describe(path):
  array = np.load(path, mmap_mode='r', allow_pickle=False)
  return {
    'shape': list(array.shape),
    'dtype': array.dtype.name,
    'bytes': path.stat().st_size,
    'sha256': _sha256(path),
  }


def _sha256(path):
  with open(path, 'rb') as file:
    return hashlib.file_digest(file, 'sha256').hexdigest()


def _to_disk(file):
  file.flush()
  os.fsync(file.fileno())


def _replace(folder, scratch):
  if not os.path.lexists(folder):
    scratch.rename(folder)
    return
  # A folder cannot be renamed onto another; a process that has mapped the old files keeps them.
  old = folder.with_name(f'.{folder.name}.old')
  _remove(old)
  folder.rename(old)
  scratch.rename(folder)
  _remove(old)


def _remove(path):
  """Removes whatever is there: a folder, or a file or link that somebody put in its place."""
  if path.is_dir() and not path.is_symlink():
    shutil.rmtree(path)
  else:
    path.unlink(missing_ok=True)


def _read_description(folder):
  try:
    description = json.loads((folder / _DESCRIPTION).read_text())
  except (OSError, ValueError, RecursionError) as error:
    raise DamagedCacheError(f'{_DESCRIPTION} cannot be read') from error
  if not isinstance(description, dict):
    raise DamagedCacheError(f'{_DESCRIPTION} is not as it was written')
  if description.get('format') != _FORMAT:
    raise DamagedCacheError('another version of this program wrote it')
  return description


def _map(path, expected):
  expected_bytes, *described = (expected[key] for key in ('bytes', 'shape', 'dtype'))
  try:
    size = path.stat().st_size
  except FileNotFoundError as error:
    raise DamagedCacheError(f'{path.name} is missing') from error
  except OSError as error:
    raise DamagedCacheError(f'{path.name} cannot be read') from error
  if size != expected_bytes:
    raise DamagedCacheError(f'{path.name} has {size} bytes, not {expected_bytes}')
  try:
    array = np.load(path, mmap_mode='r', allow_pickle=False)
  except Exception as error:  # whatever a damaged header makes NumPy raise
    raise DamagedCacheError(f'{path.name} is no array file') from error
  found = [list(array.shape), array.dtype.name]
  if found != described:
    raise DamagedCacheError(f'{path.name} holds {found}')
  return array
