"""Which optimizer is best on my problem, all tuned alike? Here: wines.

From Python, and at the command line, with a report in runs/wine:

python examples/tune.py
python -m train tune examples/tune.py
"""

import numpy as np
import optax
from flax import nnx
from sklearn.datasets import load_wine
from sklearn.model_selection import train_test_split

from train import Comparison, Dataset, Split, arms, schedules, tune


def wine() -> Dataset:
  """Without a validation split, a fifth of the training examples tunes."""
  data = load_wine()
  inputs = ((data.data - data.data.mean(0)) / data.data.std(0)).astype(
    np.float32
  )
  x, x_test, y, y_test = train_test_split(
    inputs, data.target, test_size=0.4, random_state=0
  )
  return Dataset(
    'wine', Split(x, y), Split(x_test, y_test), tuple(data.target_names)
  )


def mlp(num_classes: int, rngs: nnx.Rngs) -> nnx.Module:
  hidden, output = (
    nnx.Linear(13, 16, rngs=rngs),
    nnx.Linear(16, num_classes, rngs=rngs),
  )
  return nnx.Sequential(hidden, nnx.relu, output)


def adamw(learning_rate) -> optax.GradientTransformation:
  return optax.adamw(learning_rate, weight_decay=1e-3)


comparison = Comparison(
  name='wine',
  dataset=wine,
  network=mlp,
  epochs=10,
  batch_size=4,
  arms=(
    'fixed-0.9',
    # Validation data choose the direction.
    'low0.95-high0.45+low0.45-high0.95',
    arms.Optax('my adamw', adamw, learning_rate=1e-3),
  ),
  schedule=schedules.Cosine(0.01),
)

if __name__ == '__main__':
  results = tune(comparison, points=16, seeds=range(20))
  print(results)
  for row in results.tuning:
    if row.picked:
      print(f'{row.arm}: {row.tuning} at learning rate {row.learning_rate:g}')
