"""Data sets by name: what is known of one before it is loaded, and how it is loaded."""

import abc
import dataclasses
import pathlib
from typing import Literal

from train.data.dataset import Dataset
from train.data.preprocess import Preprocessing


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataSource(abc.ABC):
  """A data set by name, with everything that is known without loading it."""

  name: str
  kind: Literal['images', 'audio', 'features']
  train_examples: int
  test_examples: int
  shape: tuple[int, ...]  # of one input as stored
  dtype: str  # of the inputs as stored
  num_classes: int
  preprocessing: Preprocessing

  @abc.abstractmethod
  def load(self, data_dir: str | None = None, train_examples: int | None = None) -> Dataset:
    """Loads the data set, all or the first training examples, and prepares it if it is missing.

    ``data_dir`` is TFDS's folder, which also holds the prepared arrays; None means the environment
    variable ``TFDS_DATA_DIR``, else ``~/tensorflow_datasets``. Raises a ``DataError`` if it fails.
    """

  @abc.abstractmethod
  def prepare(self, data_dir: str | None = None) -> pathlib.Path:
    """Downloads the data set and stores it as plain arrays, unless intact ones are there.

    Returns their folder. If it raises a ``DataError``, a later call does not use what is left.
    """
