"""Handwritten digits that scikit-learn contains: a data set that needs no download."""

import io
from importlib import metadata

import numpy as np

from train.data.dataset import Dataset, Split
from train.system.caches import keep, read_kept, user_cache


def load_digits() -> Dataset:
  """Loads 1,797 digits of 8x8 pixels: 1,000 training and 797 test examples.

  The split is fixed and stratified by class. Grey values 0 to 16 become uint8 0 to 255, in three
  equal channels, for networks that take colour images. The arrays are kept in the user's cache
  folder, because importing scikit-learn takes longer than importing JAX.

  References:
    Alpaydin and Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning
    Repository, 1998; the test part, through ``sklearn.datasets.load_digits``.
  """
  path = user_cache() / f'digits-scikit-learn-{metadata.version("scikit-learn")}.npz'
  content = read_kept(path)
  if content is None:
    content = _from_scikit_learn()
    keep(path, content)
  arrays = np.load(io.BytesIO(content), allow_pickle=False)
  train_images, test_images, train_labels, test_labels = arrays.values()
  train, test = Split(train_images, train_labels), Split(test_images, test_labels)
  return Dataset('digits', train, test, tuple('0123456789'))


def load_noisy_digits() -> Dataset:
  """Loads the digits as 64 features, with a fifth of the training labels wrong.

  The 200 wrong labels are the same in every run: examples drawn at random, each with one of the nine
  other classes. Test labels are right. Features have mean 0 and variance 1 over the training
  examples.
  """
  digits = load_digits()
  labels, random = digits.train.labels.copy(), np.random.default_rng(0)
  wrong = random.choice(len(labels), len(labels) // 5, replace=False)
  labels[wrong] = (labels[wrong] + random.integers(1, 10, len(wrong))) % 10
  train, test = (
    split.inputs[..., 0].reshape(len(split), 64).astype(np.float32)
    for split in (digits.train, digits.test)
  )
  mean, std = train.mean(0), np.maximum(train.std(0), 1)  # some pixels are always white
  train, test = (train - mean) / std, (test - mean) / std
  splits = Split(train, labels), Split(test, digits.test.labels)
  return Dataset('noisy_digits', *splits, digits.class_names)


def _from_scikit_learn() -> bytes:
  """Returns training and test images and labels, as the content of an ``.npz`` file."""
  from sklearn import datasets, model_selection

  digits = datasets.load_digits()
  grey = np.rint(digits.images * (255 / 16)).astype(np.uint8)
  images = np.repeat(grey[..., None], 3, axis=-1)
  labels = digits.target.astype(np.int32)
  arrays = model_selection.train_test_split(
    images, labels, train_size=1000, random_state=0, stratify=labels
  )
  archive = io.BytesIO()
  np.savez(archive, *arrays)
  return archive.getvalue()
