"""A stand-in for TensorFlow Datasets: six tiny images, or the failure that FAKE_TFDS names."""

import errno
import os
import signal
import types

import numpy as np

from tensorflow_datasets import core

_FAILURE = os.environ.get('FAKE_TFDS')
if _FAILURE == 'missing':
  raise ModuleNotFoundError("No module named 'tensorflow'", name='tensorflow')


class RequestException(Exception):  # noqa: N818
  """Named as that of requests."""


class NonMatchingChecksumError(Exception):
  """Named as TFDS's own."""


class _Builder:
  name, version = 'cifar10', '3.0.2'
  info = types.SimpleNamespace(
    file_format=core.FileFormat.ARRAY_RECORD,
    features={'label': types.SimpleNamespace(names=['cat', 'dog'])},
  )

  def download_and_prepare(self):
    print('TFDS prints to stdout.')
    failures = {
      'offline': RequestException('unreachable'),
      'checksum': NonMatchingChecksumError(),
      'space': OSError('Not enough disk space. Needed: 160 MiB'),
      'denied': PermissionError(errno.EACCES, os.strerror(errno.EACCES)),
      'bug': ValueError('nobody foresaw this'),
    }
    if _FAILURE in failures:
      raise failures[_FAILURE]

  def as_data_source(self, split):
    return _Source()


class _Source:
  def __len__(self):
    return 6

  def __iter__(self):
    for index in range(6):
      if index == 4 and _FAILURE == 'full':
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
      if index == 4 and _FAILURE == 'killed':
        os.kill(os.getpid(), signal.SIGKILL)
      yield {'image': np.full((2, 2, 3), index, np.uint8), 'label': index % 2}


def builder(name, data_dir):
  """Builds whatever is asked for."""
  return _Builder()
