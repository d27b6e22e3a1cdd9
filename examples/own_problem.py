"""Does LCAM help on my problem? Here: is a tumour malignant?

python -m train run examples/own_problem.py --seeds 0-99
"""

import numpy as np
from flax import nnx
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split

from train import Comparison, Dataset, Split


def tumours() -> Dataset:
  """Any arrays: inputs and labels, for training and for testing."""
  data = load_breast_cancer()
  inputs = (data.data - data.data.mean(0)) / data.data.std(0)
  x, x_test, y, y_test = train_test_split(
    inputs.astype(np.float32), data.target, test_size=0.4, random_state=0
  )
  names = tuple(data.target_names)
  return Dataset('breast cancer', Split(x, y), Split(x_test, y_test), names)


def mlp(num_classes: int, rngs: nnx.Rngs) -> nnx.Module:
  """Any Flax NNX network."""
  hidden = nnx.Linear(30, 32, rngs=rngs)
  output = nnx.Linear(32, num_classes, rngs=rngs)
  return nnx.Sequential(hidden, nnx.relu, output)


# The rest: learning rate 0.1 with three drops, weight decay 0.0005, ...
comparison = Comparison(
  name='tumours',
  dataset=tumours,
  network=mlp,
  epochs=10,
  batch_size=16,
)
