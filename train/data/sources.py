"""The data sets that have a name."""

import dataclasses
from collections.abc import Callable

from train.data.audio import AudioPreprocessing
from train.data.dataset import DataError, Dataset
from train.data.digits import load_digits, load_noisy_digits
from train.data.images import ImagePreprocessing
from train.data.preprocess import AsStored
from train.data.source import DataSource
from train.data.tfds_source import TfdsSource


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Digits(DataSource):
  load_all: Callable[[], Dataset]

  def load(self, data_dir=None, train_examples=None):
    return self.load_all().with_train_examples(train_examples)

  def prepare(self, data_dir=None):
    raise DataError(f'{self.name} comes with scikit-learn and needs no preparation.')


_CIFAR10 = TfdsSource(
  name='cifar10',
  kind='images',
  train_examples=50_000,
  test_examples=10_000,
  shape=(32, 32, 3),
  dtype='uint8',
  num_classes=10,
  # ImageNet's statistics, which the paper's scripts use for both CIFARs.
  preprocessing=ImagePreprocessing(
    mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), padding=4, flip=True
  ),
)
_SPEECH_COMMANDS = TfdsSource(
  name='speech_commands',
  kind='audio',
  train_examples=85_511,
  test_examples=4_890,
  shape=(16_000,),
  dtype='int16',
  num_classes=12,
  preprocessing=AudioPreprocessing(sample_rate=16_000),
)
_ALL = (
  _Digits(
    name='digits',
    kind='images',
    train_examples=1_000,
    test_examples=797,
    shape=(8, 8, 3),
    dtype='uint8',
    num_classes=10,
    # The statistics of the training split. The digits fill their 8x8 pixels, so crops move them by
    # one pixel only; a mirrored digit would be another sign.
    preprocessing=ImagePreprocessing(mean=(0.304874,) * 3, std=(0.375424,) * 3, padding=1),
    load_all=load_digits,
  ),
  _Digits(
    name='noisy_digits',
    kind='features',
    train_examples=1_000,
    test_examples=797,
    shape=(64,),
    dtype='float32',
    num_classes=10,
    preprocessing=AsStored(),
    load_all=load_noisy_digits,
  ),
  _CIFAR10,
  dataclasses.replace(_CIFAR10, name='cifar100', num_classes=100),
  _SPEECH_COMMANDS,
  dataclasses.replace(
    _SPEECH_COMMANDS,
    name='speech_commands_35',
    train_examples=84_843,
    test_examples=11_005,
    num_classes=35,
    builder_module='train.data.speech_commands_35',
  ),
  TfdsSource(
    name='spoken_digit',
    kind='audio',
    train_examples=2_250,
    test_examples=250,
    shape=(8_000,),
    dtype='int16',
    num_classes=10,
    preprocessing=AudioPreprocessing(sample_rate=8_000),
    test_split='first_recordings',
  ),
)

SOURCES: dict[str, DataSource] = {source.name: source for source in _ALL}


def find_source(name: str) -> DataSource:
  """Returns a data set by name; raises a ``DataError`` that lists all names if there is none."""
  if name not in SOURCES:
    raise DataError(f'There is no data set {name!r}: choose from {", ".join(SOURCES)}.')
  return SOURCES[name]
