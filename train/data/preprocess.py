"""Which preprocessing belongs to which data set."""

import dataclasses
from typing import Protocol

from jaxtyping import Array, Float32, Key

from train.data.audio import AudioPreprocessing
from train.data.images import ImagePreprocessing


class Preprocessing(Protocol):
  """From stored inputs to what a network takes, as pure functions to be called under `jax.jit`."""

  def train(self, key: Key[Array, ''], inputs: Array) -> Float32[Array, 'batch ...']:
    """Augments and normalises a training batch.

    Args:
      key: the step's random key.
      inputs: the batch as stored.

    Returns:
      What the network gets.
    """

  def evaluate(self, inputs: Array) -> Float32[Array, 'batch ...']:
    """Normalises a batch without augmenting it.

    Args:
      inputs: the batch as stored.

    Returns:
      What the network gets.
    """


# ImageNet's statistics, which the paper's scripts use for both CIFARs.
_CIFAR = ImagePreprocessing(
  mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), padding=4, flip=True
)
# The statistics of the training split. The digits fill their 8x8 pixels, so they move by one pixel
# only, and a mirrored digit is another sign.
_DIGITS = ImagePreprocessing(mean=(0.304874,) * 3, std=(0.375424,) * 3, padding=1)

_PREPROCESSING = {
  'digits': _DIGITS,
  'cifar10': _CIFAR,
  'cifar100': _CIFAR,
  'speech_commands': AudioPreprocessing(sample_rate=16_000),
  'speech_commands_35': AudioPreprocessing(sample_rate=16_000),
  'spoken_digit': AudioPreprocessing(sample_rate=8_000),
}


def preprocessing(
  dataset_name: str, image_size: int | None = None, augment: bool = True
) -> Preprocessing:
  """Looks up a data set's preprocessing.

  Args:
    dataset_name: one of `DATASETS`.
    image_size: height and width of the images for a vision transformer; they are then scaled to
      -1 to 1, as its ImageNet-21k weights expect. None: as stored, with the data set's own
      statistics.
    augment: whether `train` augments.

  Returns:
    The preprocessing, hashable and comparable.

  Raises:
    ValueError: if audio is to have an image size.

  Example:
    >>> preprocessing('cifar10').padding
    4
  """
  found = _PREPROCESSING[dataset_name]
  if isinstance(found, AudioPreprocessing):
    if image_size is not None:
      raise ValueError(f'{dataset_name} has no images to resize')
    return found
  if image_size is not None:
    half = (0.5,) * len(found.mean)
    found = dataclasses.replace(found, mean=half, std=half, size=image_size)
  if not augment:
    found = dataclasses.replace(found, padding=0, flip=False)
  return found
