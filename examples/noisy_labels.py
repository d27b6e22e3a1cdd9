"""Does LCAM help where labels are wrong? A fifth of these digits' are.

python -m train run examples/noisy_labels.py
"""

import numpy as np
from flax import nnx
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from train import Comparison, Dataset, Split
from train.schedules import Cosine

WRONG = 0.2  # the share of wrong labels


def noisy_digits() -> Dataset:
  """Digits whose training labels are wrong in part; test labels are right."""
  x, y = load_digits(return_X_y=True)
  x, x_test, y, y_test = train_test_split(
    x, y, train_size=1000, random_state=0
  )
  mean, scale = x.mean(0), np.maximum(x.std(0), 0.1)
  random = np.random.default_rng(0)
  wrong = random.random(len(y)) < WRONG
  y = np.where(wrong, (y + random.integers(1, 10, len(y))) % 10, y)
  train = Split((x - mean) / scale, y)
  test = Split((x_test - mean) / scale, y_test)
  return Dataset('noisy digits', train, test, tuple('0123456789'))


def mlp(num_classes: int, rngs: nnx.Rngs) -> nnx.Module:
  """A network that can learn the wrong labels by heart."""
  hidden = nnx.Linear(64, 32, rngs=rngs)
  output = nnx.Linear(32, num_classes, rngs=rngs)
  return nnx.Sequential(hidden, nnx.relu, output)


comparison = Comparison(
  name='noisy-labels',
  dataset=noisy_digits,
  network=mlp,
  epochs=6,
  batch_size=2,
  # The high momentum in the low-loss phase, then in the high-loss phase.
  arms=(
    'fixed-0.475',
    'low0.95-high0',
    'yoked0.95-0',
    'low0-high0.95',
    'yoked0-0.95',
  ),
  schedule=Cosine(0.02),
  weight_decay=0.0,
  seeds=tuple(range(64)),
)
