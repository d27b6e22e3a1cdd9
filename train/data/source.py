"""Data sets by name: what is known of one before it is loaded, and how it is loaded."""

import abc
import dataclasses
import pathlib
from collections.abc import Callable
from typing import Literal

from train.data.dataset import DataError, Dataset
from train.data.preprocess import Preprocessing


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataSource(abc.ABC):
  """A data set by name, with everything that is known without loading it.

  Attributes:
    name: Its name on the command line.
    kind: What an example is.
    train_examples: The number of training examples.
    test_examples: The number of test examples.
    shape: The shape of one input as stored.
    dtype: The dtype of the inputs as stored.
    num_classes: The number of classes.
    preprocessing: Turns stored inputs into a network's inputs.
  """

  name: str
  kind: Literal['images', 'audio']
  train_examples: int
  test_examples: int
  shape: tuple[int, ...]
  dtype: str
  num_classes: int
  preprocessing: Preprocessing

  @abc.abstractmethod
  def load(self, data_dir: str | None = None, train_examples: int | None = None) -> Dataset:
    """Loads the data set, and prepares it first if it is missing.

    Args:
      data_dir: TFDS's folder, which also holds the prepared arrays; None means the environment
        variable ``TFDS_DATA_DIR``, else ``~/tensorflow_datasets``.
      train_examples: Takes the first so many training examples; None takes all.

    Raises:
      DataError: If the data set cannot be loaded.
    """

  @abc.abstractmethod
  def prepare(self, data_dir: str | None = None) -> pathlib.Path:
    """Downloads the data set and stores it as plain arrays, unless intact ones are there.

    Returns their folder. If it raises a ``DataError``, a later call does not use what is left.
    """


@dataclasses.dataclass(frozen=True, kw_only=True)
class EmbeddedSource(DataSource):
  """A data set that an installed package contains.

  Attributes:
    package: The package.
    read: Returns the data set.
  """

  package: str
  read: Callable[[], Dataset]

  def load(self, data_dir=None, train_examples=None):
    return self.read().with_train_examples(train_examples)

  def prepare(self, data_dir=None):
    raise DataError(f'{self.name} comes with {self.package} and needs no preparation.')
