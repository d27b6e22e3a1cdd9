"""My own optimizer and schedule, compared with LCAM on handwritten digits.

python -m train run examples/own_optimizer.py --seeds 0-9
"""

import optax
from flax import nnx
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from train import Comparison, Dataset, Split, arms, schedules


def digits() -> Dataset:
  """Images of 8 x 8 pixels, each a row."""
  data = load_digits()
  x, x_test, y, y_test = train_test_split(
    data.data / 16, data.target, random_state=0
  )
  return Dataset(
    'digits', Split(x, y), Split(x_test, y_test), tuple('0123456789')
  )


def mlp(num_classes: int, rngs: nnx.Rngs) -> nnx.Module:
  """One hidden layer."""
  hidden = nnx.Linear(64, 32, rngs=rngs)
  output = nnx.Linear(32, num_classes, rngs=rngs)
  return nnx.Sequential(hidden, nnx.relu, output)


def warm_up(steps: int) -> optax.Schedule:
  """Any schedule of Optax, over all steps of a run."""
  return optax.warmup_cosine_decay_schedule(0, 0.05, steps // 10, steps)


def clipped_adamw(
  learning_rate: optax.Schedule,
) -> optax.GradientTransformation:
  """Any optimizer of Optax; it decays weights itself."""
  adamw = optax.adamw(learning_rate, weight_decay=1e-3)
  return optax.chain(optax.clip_by_global_norm(1.0), adamw)


comparison = Comparison(
  name='digits',
  dataset=digits,
  network=mlp,
  epochs=10,
  batch_size=32,
  schedule=schedules.Optax(warm_up),
  # The third argument is its own highest learning rate.
  arms=(
    'fixed-0.9',
    'low0.857-high0.93',
    arms.Optax('my adamw', clipped_adamw, 0.01),
  ),
)
