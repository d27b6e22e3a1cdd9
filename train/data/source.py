"""What a data set is before it is loaded: its sizes, its preprocessing, and how it is had."""

import abc
import dataclasses
import pathlib
from collections.abc import Callable
from typing import Literal

from train.data.dataset import DataError, Dataset
from train.data.preprocess import Preprocessing


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataSource(abc.ABC):
  """A data set by name. What can be known without loading it stands here, and only here.

  Attributes:
    name: What the command line calls it.
    kind: What an example is.
    train_examples: The number of training examples.
    test_examples: The number of test examples.
    shape: The shape of one input as stored.
    dtype: The dtype of the inputs as stored.
    num_classes: The number of classes.
    preprocessing: What turns stored inputs into what a network takes.
  """

  name: str
  kind: Literal['images', 'audio']
  train_examples: int
  test_examples: int
  shape: tuple[int, ...]
  dtype: str
  num_classes: int
  preprocessing: Preprocessing

  def load(self, data_dir: str | None = None, train_examples: int | None = None) -> Dataset:
    """Loads the data set; has it prepared first if it is missing.

    Args:
      data_dir: TFDS's folder, beside whose data sets the prepared arrays lie; None is the
        environment variable ``TFDS_DATA_DIR``, else ``~/tensorflow_datasets``.
      train_examples: How many training examples to take, the first ones; None takes all.

    Returns:
      The data set.

    Raises:
      DataError: If it cannot be had.
    """
    dataset = self._load(data_dir)
    return dataset if train_examples is None else dataset.with_train_examples(train_examples)

  @abc.abstractmethod
  def _load(self, data_dir: str | None) -> Dataset: ...

  @abc.abstractmethod
  def prepare(self, data_dir: str | None = None) -> pathlib.Path:
    """Downloads the data set and keeps it as plain arrays, unless they are there and sound.

    Args:
      data_dir: See :meth:`load`.

    Returns:
      The folder of the arrays.

    Raises:
      DataError: If it cannot be prepared; nothing is left that a later call would trust.
    """


@dataclasses.dataclass(frozen=True, kw_only=True)
class EmbeddedSource(DataSource):
  """A data set that an installed package carries.

  Attributes:
    package: The package.
    read: Returns the data set.
  """

  package: str
  read: Callable[[], Dataset]

  def _load(self, data_dir):
    del data_dir
    return self.read()

  def prepare(self, data_dir: str | None = None) -> pathlib.Path:
    """Raises :class:`DataError`: there is nothing to prepare."""
    raise DataError(f'{self.name} comes with {self.package} and needs no preparation.')
