"""Defines the problems of the studies: real data, reduced to rows of a few dozen numbers.

Most have the same number of examples, so that networks of the same shape share compiled programs.
"""

import dataclasses
import functools
from collections.abc import Callable

import numpy as np
from jaxtyping import Float32, Int32
from sklearn import datasets

from train import Split
from train.data import find_source

TRAIN_EXAMPLES, TEST_EXAMPLES = 1024, 768
Targets = Int32[np.ndarray, ' examples'] | Float32[np.ndarray, ' examples']
_SPLIT_SEED = 0  # every run has the same examples


@dataclasses.dataclass(frozen=True, eq=False)
class Examples:
  """The examples of a problem.

  Attributes:
    inputs: The inputs of the training examples, standardized.
    labels: Their classes.
    test_inputs: The inputs of the test examples.
    test_labels: Their classes.
  """

  inputs: Float32[np.ndarray, 'examples features']
  labels: Targets
  test_inputs: Float32[np.ndarray, 'test_examples features']
  test_labels: Targets

  def divide(self, number: int, seed: int) -> tuple[Split, Split]:
    """Divides the training examples at random into so many to train on, and the others."""
    order = np.random.default_rng(seed).permutation(len(self.labels))
    first, others = (
      Split(self.inputs[rows], self.labels[rows]) for rows in np.split(order, [number])
    )
    return first, others


@dataclasses.dataclass(frozen=True)
class Problem:
  """A problem and the network that learns it.

  Attributes:
    name: Its name in tables.
    about: A line about its data.
    read: Returns all inputs and labels, in the order of the source. Labels that are no integers are
      targets of a regression, which are standardized.
    hidden: The width of the hidden layer; 0 for softmax regression.
    classes: The number of classes; 1 for a regression.
    sparse: Whether the inputs are mostly zeros; they are then not standardized.
    train_examples: The number of training examples.
    test_examples: The number of test examples.
  """

  name: str
  about: str
  read: Callable[[], tuple[np.ndarray, np.ndarray]]
  hidden: int
  classes: int
  sparse: bool = False
  train_examples: int = TRAIN_EXAMPLES
  test_examples: int = TEST_EXAMPLES

  def sizes(self, features: int) -> tuple[int, ...]:
    """Returns the sizes of the inputs, the hidden layer if there is one, and the logits."""
    return (features, self.hidden, self.classes) if self.hidden else (features, self.classes)

  @functools.cache  # noqa: B019  there are few problems
  def load(self) -> Examples:
    """Returns the training and test examples, standardized by the former unless they are sparse."""
    inputs, labels = self.read()
    order = np.random.default_rng(_SPLIT_SEED).permutation(len(labels))
    number = self.train_examples
    train, test = np.split(order[: number + self.test_examples], [number])
    inputs = inputs.astype(np.float32)
    if not self.sparse:
      # One scale for all features, so that pixels at the edge, which hardly change, stay small.
      inputs = (inputs - inputs[train].mean(0)) / inputs[train].std(0).mean()
    if np.issubdtype(labels.dtype, np.floating):
      labels = ((labels - labels[train].mean()) / labels[train].std()).astype(np.float32)
    else:
      labels = labels.astype(np.int32)
    return Examples(inputs[train], labels[train], inputs[test], labels[test])


def _digits():
  digits = datasets.load_digits()
  return digits.data, digits.target


def _one_hot_digits():
  pixels, labels = _digits()
  grey = np.minimum(pixels // 4, 3).astype(int)  # four levels of grey
  return np.eye(4)[grey].reshape(len(labels), -1), labels


def _spoken_digits():
  clips = find_source('spoken_digit').load().train
  waves = np.asarray(clips.inputs, np.float32)[:, :4096]  # 0.5 s; most clips are shorter
  frames = waves.reshape(len(waves), 8, 512) * np.hanning(512)
  power = np.abs(np.fft.rfft(frames))[:, :, 1:] ** 2
  # Eight bands of the spectrum below 4 kHz; higher bands are wider.
  edges = [0, 4, 8, 14, 24, 40, 70, 130]
  bands = np.add.reduceat(power, edges, axis=2)
  return np.log10(bands + 1e4).reshape(len(waves), -1), clips.labels


def _grey(name):
  split = find_source(name).load().train
  images = np.asarray(split.inputs[:8192], np.float32)
  return images.reshape(-1, 8, 4, 8, 4, 3).mean((2, 4, 5)).reshape(len(images), -1), split.labels[
    :8192
  ]


def _vehicles():
  inputs, labels = _grey('cifar10')
  return inputs, np.isin(labels, (0, 1, 8, 9))


def _long_tail():
  inputs, labels = _grey('cifar10')
  # Each class has 0.6 times the examples of the class before: from a half to one in two hundred.
  rank = np.array([np.sum(labels[:i] == label) for i, label in enumerate(labels)])
  kept = rank < 720 * 0.6**labels
  return inputs[kept], labels[kept]


def _table(name):
  def read():
    table = getattr(datasets, f'load_{name}')()
    # Columns of the same scale: their units are arbitrary.
    return table.data / table.data.std(0), table.target

  return read


PROBLEMS = (
  Problem('digits', 'handwritten digits, 8x8 pixels', _digits, 32, 10),
  Problem('digits-softmax', 'the same without a hidden layer: a convex problem', _digits, 0, 10),
  Problem('one-hot', 'digits as 256 zeros and ones, 64 of them ones', _one_hot_digits, 0, 10, True),
  Problem(
    'spoken-digits', 'log power of spoken digits, 8 bands in 8 frames', _spoken_digits, 32, 10
  ),
  Problem('long-tail', 'CIFAR-10, grey 8x8, classes from 41 % down to 0.7 %', _long_tail, 32, 10),
  Problem('vehicles', 'CIFAR-10, grey 8x8, vehicle or animal: two classes', _vehicles, 32, 2),
  Problem('cifar100', 'CIFAR-100, grey 8x8: a hundred classes', lambda: _grey('cifar100'), 32, 100),
)
# Of the study of noisy labels only.
FURTHER_PROBLEMS = (
  Problem('cifar10', 'CIFAR-10, grey 8x8: ten classes', lambda: _grey('cifar10'), 32, 10),
  Problem(
    'breast-cancer',
    'Cells of breast cancer: two classes',
    _table('breast_cancer'),
    32,
    2,
    train_examples=384,
    test_examples=185,
  ),
  Problem(
    'wine',
    'Chemistry of wines: three classes',
    _table('wine'),
    32,
    3,
    train_examples=128,
    test_examples=50,
  ),
  Problem(
    'diabetes',
    'Progress of diabetes: a regression',
    _table('diabetes'),
    32,
    1,
    train_examples=256,
    test_examples=186,
  ),
)
