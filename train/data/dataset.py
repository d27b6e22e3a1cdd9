"""What a data set is once it has been loaded."""

import dataclasses

import numpy as np
from jaxtyping import Int32

from train.errors import UserError


class DataError(UserError):
  """A data set cannot be had; the message is one sentence that says what to do about it."""


@dataclasses.dataclass(frozen=True)
class Split:
  """The examples of one split, as they are stored; the arrays may be memory maps.

  Attributes:
    inputs: images, uint8 (examples, height, width, channels), or one second of audio each, int16
      (examples, samples).
    labels: classes, int32 (examples,).
  """

  inputs: np.ndarray
  labels: Int32[np.ndarray, ' examples']

  def __len__(self) -> int:
    """The number of examples."""
    return len(self.labels)


@dataclasses.dataclass(frozen=True)
class Dataset:
  """A data set's two splits and the names of its classes.

  Attributes:
    name: one of `DATASETS`.
    train: the training examples.
    test: the test examples.
    class_names: the name of each label, in order.
  """

  name: str
  train: Split
  test: Split
  class_names: tuple[str, ...]
