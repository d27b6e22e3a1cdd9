"""Handwritten digits that scikit-learn carries: a data set that needs no download."""

import io
from importlib import metadata

import numpy as np

from train.data.dataset import Dataset, Split
from train.system.caches import keep, read_kept, user_cache

_TRAIN_EXAMPLES = 1000
_LARGEST_VALUE = 16


def load_digits() -> Dataset:
  """Loads 1,797 digits of 8x8 pixels: 1,000 to train with and 797 to test.

  The split is fixed and holds each class in proportion. Grey values 0 to 16 become 0 to 255, in three
  equal channels, so that a network for colour images takes them. They are kept in the user's cache folder,
  since to import scikit-learn takes longer than to import JAX.

  Returns:
    The data set, uint8 images (examples, 8, 8, 3).

  Example:
    >>> load_digits().train.inputs.shape
    (1000, 8, 8, 3)

  References:
    Alpaydin and Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning
    Repository, 1998; the test part, through ``sklearn.datasets.load_digits``.
  """
  path = user_cache() / f'digits-of-scikit-learn-{metadata.version("scikit-learn")}.npz'
  content = read_kept(path)
  if content is None:
    content = _from_scikit_learn()
    keep(path, content)
  arrays = np.load(io.BytesIO(content), allow_pickle=False)
  return Dataset(
    name='digits',
    train=Split(arrays['train_images'], arrays['train_labels']),
    test=Split(arrays['test_images'], arrays['test_labels']),
    class_names=tuple('0123456789'),
  )


def _from_scikit_learn() -> bytes:
  """Returns the arrays as an archive of NumPy's."""
  from sklearn import datasets, model_selection

  digits = datasets.load_digits()
  grey = np.rint(digits.images * (255 / _LARGEST_VALUE)).astype(np.uint8)
  images = np.repeat(grey[..., None], 3, axis=-1)
  labels = digits.target.astype(np.int32)
  train_images, test_images, train_labels, test_labels = model_selection.train_test_split(
    images, labels, train_size=_TRAIN_EXAMPLES, random_state=0, stratify=labels
  )
  archive = io.BytesIO()
  np.savez(
    archive,
    train_images=train_images,
    test_images=test_images,
    train_labels=train_labels,
    test_labels=test_labels,
  )
  return archive.getvalue()
