"""The cache of a data set: plain arrays that training maps, and a JSON file that describes them.

A cache is a folder that appears whole or not at all:

    train_inputs.npy  train_labels.npy  test_inputs.npy  test_labels.npy  dataset.json

It is written under another name, flushed to the disk, and renamed.
"""

import collections
import contextlib
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
# To be raised when the layout of a cache changes, so that older caches are rebuilt, not misread.
_FORMAT = 1


class DamagedCacheError(Exception):
  """A cache is not as it was written; the message names the file and what is wrong with it."""


def write(
  folder: pathlib.Path, description: dict[str, Any], examples: Iterable[tuple[str, np.ndarray, int]]
) -> None:
  """Writes a cache, and replaces an existing one; an interrupted write leaves it as it was.

  The JSON file gets the description, at least ``name`` and ``class_names``. Each example is its split
  (``'train'`` or ``'test'``), input and label. Only one process may write a cache at a time.
  """
  folder.parent.mkdir(parents=True, exist_ok=True)
  scratch = folder.with_name(f'.{folder.name}.incomplete')
  shutil.rmtree(scratch, ignore_errors=True)  # left by a process that was killed
  scratch.mkdir()
  try:
    _write_arrays(scratch, examples)
    arrays = {path.name: _describe(path) for path in sorted(scratch.glob('*.npy'))}
    with open(scratch / _DESCRIPTION, 'w') as file:
      json.dump({'format': _FORMAT, **description, 'arrays': arrays}, file, indent=2)
      file.write('\n')
      _to_disk(file)
    read(scratch)  # fails here rather than when it is in place
    _remove(folder)  # a process that has mapped its files keeps them
    scratch.rename(folder)
  finally:
    shutil.rmtree(scratch, ignore_errors=True)


def read(folder: pathlib.Path, name: str | None = None, *, checksums: bool = False) -> Dataset:
  """Returns a cache's arrays as memory maps, after a check of their sizes, shapes and types.

  Raises a ``DamagedCacheError`` if the cache is missing, damaged, or holds another data set.
  """
  file = _DESCRIPTION
  try:
    description = json.loads((folder / file).read_text())
    if description.get('format') != _FORMAT:
      raise DamagedCacheError('another version of this program wrote it')
    arrays = []
    for file in _ARRAYS:
      arrays.append(_map(folder / file, description['arrays'][file], checksums))
    train, test = Split(*arrays[:2]), Split(*arrays[2:])
    dataset = Dataset(description['name'], train, test, tuple(description['class_names']))
  except OSError as error:
    raise DamagedCacheError(f'cannot read {file} ({error.strerror})') from error
  except (KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
    raise DamagedCacheError(f'{_DESCRIPTION} is not as it was written ({error!r:.80})') from error
  except DataError as error:
    raise DamagedCacheError(str(error).removesuffix('.')) from error
  if name not in (None, dataset.name):
    raise DamagedCacheError(f'it holds {dataset.name}')
  return dataset


def verify(folder: pathlib.Path, name: str | None = None) -> None:
  """Does the checks of :func:`read`, and compares the arrays' checksums, which reads every byte."""
  read(folder, name, checksums=True)


def _write_arrays(folder, examples):
  """Writes each array row by row; at the end its header gets the number of rows."""
  files, kinds, rows = {}, {}, collections.Counter()
  with contextlib.ExitStack() as opened:
    for split, row, label in examples:
      for part, value in (('inputs', row), ('labels', np.int32(label))):
        name = f'{split}_{part}.npy'
        if name not in files:
          files[name] = opened.enter_context(open(folder / name, 'wb'))
          kinds[name] = value.dtype, value.shape
          _write_header(files[name], 0, *kinds[name])
        assert (value.dtype, value.shape) == kinds[name], (value.dtype, value.shape, kinds[name])
        files[name].write(value.tobytes())
        rows[name] += 1
    for name, file in files.items():
      file.seek(0)
      _write_header(file, rows[name], *kinds[name])  # NumPy leaves room for the number to grow
      _to_disk(file)


def _write_header(file, rows, dtype, shape):
  kind = {'descr': np.lib.format.dtype_to_descr(dtype), 'fortran_order': False}
  np.lib.format.write_array_header_1_0(file, {**kind, 'shape': (rows, *shape)})


def _describe(path):
  array = np.load(path, mmap_mode='r', allow_pickle=False)
  kind = {'shape': list(array.shape), 'dtype': array.dtype.name}
  return {**kind, 'bytes': path.stat().st_size, 'sha256': _sha256(path)}


def _sha256(path):
  with open(path, 'rb') as file:
    return hashlib.file_digest(file, 'sha256').hexdigest()


def _to_disk(file):
  file.flush()
  os.fsync(file.fileno())


def _remove(path):
  """Removes a folder, or a file or link in its place, if there is one."""
  if path.is_dir() and not path.is_symlink():
    shutil.rmtree(path)
  else:
    path.unlink(missing_ok=True)


def _map(path, expected, checksums):
  size = path.stat().st_size
  if size != expected['bytes']:
    raise DamagedCacheError(f'{path.name} has {size} bytes, not {expected["bytes"]}')
  try:
    array = np.load(path, mmap_mode='r', allow_pickle=False)
  except Exception as error:  # a damaged header makes NumPy raise all kinds of errors
    raise DamagedCacheError(f'{path.name} is not an array file') from error
  if [list(array.shape), array.dtype.name] != [expected['shape'], expected['dtype']]:
    raise DamagedCacheError(f'{path.name} holds {array.dtype.name} of shape {array.shape}')
  if checksums and _sha256(path) != expected.get('sha256'):
    raise DamagedCacheError(f'the checksum of {path.name} is wrong')
  return array
