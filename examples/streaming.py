"""LCAM on data without epochs: the mean looks back over about 20 steps.

python examples/streaming.py
"""

import itertools

import jax
import numpy as np
import optax
from sklearn.datasets import load_digits

from lcam_optax import lcam

images, labels = load_digits(return_X_y=True)
x, y = np.float32(images / 16), labels

# was: optimizer = optax.sgd(0.05, momentum=0.9)
optimizer = lcam(0.05, 0.93, 0.857, mean_decay=1 - 1 / 20)


def stream(batch_size=64):
  rng = np.random.default_rng(0)
  while True:
    rows = rng.integers(len(x), size=batch_size)
    yield x[rows], y[rows]


def loss_fn(params, images, labels):
  logits = jax.nn.relu(images @ params['hidden']) @ params['output']
  losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
  return losses.mean()


@jax.jit
def train_step(params, opt_state, images, labels):
  loss, grads = jax.value_and_grad(loss_fn)(params, images, labels)
  # new: value=loss
  updates, opt_state = optimizer.update(grads, opt_state, params, value=loss)
  return optax.apply_updates(params, updates), opt_state, loss


def main(steps=400):
  """Returns the loss and the momentum of each step."""
  rng, history = np.random.default_rng(0), []
  shapes = {'hidden': (64, 32), 'output': (32, 10)}
  params = {k: np.float32(rng.normal(0, 0.2, s)) for k, s in shapes.items()}
  opt_state = optimizer.init(params)
  for batch in itertools.islice(stream(), steps):
    params, opt_state, loss = train_step(params, opt_state, *batch)
    momentum = optax.tree.get(opt_state, 'momentum')
    history.append((float(loss), float(momentum)))
    if len(history) % 100 == 0:
      high = np.mean([momentum > 0.9 for _, momentum in history[-100:]])
      print(
        f'step {len(history)}: loss {loss:.3f}, high in {high:.0%} of steps'
      )
  return history


if __name__ == '__main__':
  main()
