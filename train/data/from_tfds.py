"""Prepares a data set with TFDS and writes its cache: ``python -m train.data.from_tfds NAME DIR``.

Only this process may import TensorFlow; :class:`train.data.tfds_source.TfdsSource` starts it. It
writes progress to stderr. If it cannot prepare the data set, it writes one sentence to stdout and
exits with status 1.
"""

import errno
import importlib
import logging
import os
import pathlib
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track

from train.data import cache
from train.data.dataset import DataError
from train.data.sources import find_source
from train.data.tfds_source import TfdsSource, cache_folder

_TEST_RECORDINGS = 5  # of each word and speaker; the rule of spoken_digit's makers


def convert(name: str, data_dir: str | os.PathLike) -> pathlib.Path:
  """Prepares a data set in ``data_dir``, TFDS's folder, unless that is done; returns its cache."""
  source = find_source(name)
  if not isinstance(source, TfdsSource):
    raise DataError(f'TFDS does not prepare {name}.')
  # Imported here, so that main() can explain what is missing.
  import filelock
  import tensorflow_datasets as tfds
  from tensorflow_datasets.core.download import downloader

  if source.builder_module is not None:
    importlib.import_module(source.builder_module)  # registers the builder
  # Without a network, TFDS would try for minutes.
  downloader.MAX_RETRIES = 4
  for chatty in ('absl', 'urllib3'):
    logging.getLogger(chatty).setLevel(logging.ERROR)

  folder = cache_folder(name, data_dir)
  folder.parent.mkdir(parents=True, exist_ok=True)
  with filelock.FileLock(folder.with_name(f'.{name}.lock')):
    try:
      cache.verify(folder, name)  # another process may have been faster
    except cache.DamagedCacheError:
      builder = tfds.builder(name, data_dir=data_dir)
      builder.download_and_prepare()
      features = builder.info.features
      description = {
        'name': source.name,
        'tfds_name': builder.name,
        'tfds_version': str(builder.version),
        'test_split': source.test_split,
        'class_names': features['label'].names,
      }
      if source.kind == 'audio':
        description['sample_rate'] = features['audio'].sample_rate
      cache.write(folder, description, _examples(source, builder))
  return folder


def _examples(source: TfdsSource, builder: Any) -> Iterator[tuple[str, np.ndarray, int]]:
  """Yields split, input and label of each example, as :func:`train.data.cache.write` takes them."""
  by_recording = source.test_split == 'first_recordings'
  for split in ('train',) if by_recording else cache.SPLITS:
    for example in _read(builder, split):
      if by_recording:
        word_speaker_recording = example['audio/filename'].decode().removesuffix('.wav')
        recording = int(word_speaker_recording.rpartition('_')[2])
        split = 'test' if recording < _TEST_RECORDINGS else 'train'
      if source.kind == 'audio':
        row = _one_second(example['audio'], builder.info.features['audio'].sample_rate)
      else:
        row = example['image']
      yield split, row, example['label']


def _one_second(samples, rate: int) -> np.ndarray:
  """Returns the first second as int16, padded with silence."""
  samples = np.asarray(samples)[:rate]
  assert np.array_equal(samples, samples.astype(np.int16)), 'the audio has more than 16 bits'
  return np.pad(samples.astype(np.int16), (0, rate - len(samples)))


def _read(builder: Any, split: str) -> Iterator[Mapping[str, Any]]:
  """Yields a split's examples as NumPy arrays in stored order, and shows a progress bar."""
  import tensorflow_datasets as tfds

  if builder.info.file_format == tfds.core.FileFormat.ARRAY_RECORD:
    examples = builder.as_data_source(split=split)
  else:
    # One shard after the other, in the order of the random-access source.
    in_order = tfds.ReadConfig(interleave_cycle_length=1)
    examples = tfds.as_numpy(builder.as_dataset(split=split, read_config=in_order))
  return track(
    examples,
    description=f'{builder.name} {split} to arrays',
    total=len(examples),
    console=Console(stderr=True),
  )


def _explain(error: BaseException, name: str, data_dir: str) -> str | None:
  """Returns a sentence on an error that a user can fix; None for any other error."""
  causes = [error]
  while cause := causes[-1].__cause__ or causes[-1].__context__:
    causes.append(cause)
  again = f"'python -m train prepare {name} --data-dir {data_dir}'"
  kinds = {kind.__name__ for cause in causes for kind in type(cause).__mro__}
  text = ' '.join(str(cause) for cause in causes)
  codes = {cause.errno for cause in causes if isinstance(cause, OSError)}
  if 'ImportError' in kinds:
    missing = next(cause for cause in reversed(causes) if isinstance(cause, ImportError))
    return (
      f'Preparing {name} needs TensorFlow Datasets and TensorFlow ({missing}): '
      'install them with "pip install -e \'.[data]\'" in this checkout.'
    )
  if codes & {errno.ENOSPC, errno.EDQUOT} or 'o space left' in text or 'enough disk space' in text:
    return (
      f'The disk of {data_dir} is full: free space and run {again}, or choose another disk with '
      '--data-dir or TFDS_DATA_DIR.'
    )
  if 'NonMatchingChecksumError' in kinds:
    return (
      f'The downloaded file is not {name}, because of a proxy or a broken connection: run {again} '
      'again.'
    )
  if kinds & {'RequestException', 'URLError', 'DownloadError', 'gaierror'}:
    return (
      f'Cannot download {name}: connect to the network and run {again}, or set --data-dir or '
      'TFDS_DATA_DIR to a folder in which TFDS has prepared it.'
    )
  if codes & {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST}:
    return (
      f'Cannot write to {data_dir} ({error}): choose another folder with --data-dir or '
      'TFDS_DATA_DIR.'
    )
  return None


def main(name: str, data_dir: str) -> int:
  """Runs :func:`convert`; if it fails, tells the user on stdout what to do."""
  answers = os.fdopen(os.dup(1), 'w')
  os.dup2(2, 1)  # TFDS prints to stdout too
  try:
    convert(name, data_dir)
  except KeyboardInterrupt:
    return 130
  except Exception as error:
    sentence = _explain(error, name, data_dir)
    if sentence is None:
      raise
    print(sentence, file=answers, flush=True)
    return 1
  return 0


if __name__ == '__main__':
  sys.exit(main(*sys.argv[1:]))
