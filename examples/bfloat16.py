"""LCAM in bfloat16, with its trace in float32: handwritten digits.

python examples/bfloat16.py
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from lcam_optax import lcam

images, labels = load_digits(return_X_y=True)
x, x_test, y, y_test = train_test_split(
  images / 16, labels, train_size=1344, random_state=0
)
EPOCHS, BATCH_SIZE = 5, 64
STEPS_PER_EPOCH = len(x) // BATCH_SIZE

# was: optimizer = optax.sgd(0.05, 0.9, accumulator_dtype='float32')
optimizer = lcam(
  0.05,
  0.93,
  0.857,
  steps_per_epoch=STEPS_PER_EPOCH,
  accumulator_dtype='float32',
)


def predict(params, images):
  hidden = jax.nn.relu(images.astype(jnp.bfloat16) @ params['hidden'])
  return (hidden @ params['output']).astype(jnp.float32)


def loss_fn(params, images, labels):
  # in float32: bfloat16 has only two or three digits
  logits = predict(params, images)
  losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
  return losses.mean()


@jax.jit
def train_step(params, opt_state, images, labels):
  loss, grads = jax.value_and_grad(loss_fn)(params, images, labels)
  # new: value=loss
  updates, opt_state = optimizer.update(grads, opt_state, params, value=loss)
  return optax.apply_updates(params, updates), opt_state, loss


def main():
  """Returns the loss and the momentum of each step."""
  rng, history = np.random.default_rng(0), []
  shapes = {'hidden': (64, 32), 'output': (32, 10)}
  params = {k: jnp.bfloat16(rng.normal(0, 0.2, s)) for k, s in shapes.items()}
  opt_state = optimizer.init(params)
  for epoch in range(1, EPOCHS + 1):
    for rows in rng.permutation(len(x)).reshape(STEPS_PER_EPOCH, BATCH_SIZE):
      batch = x[rows], y[rows]
      params, opt_state, loss = train_step(params, opt_state, *batch)
      momentum = optax.tree.get(opt_state, 'momentum')
      history.append((float(loss), float(momentum)))
    accuracy = np.mean(predict(params, x_test).argmax(-1) == y_test)
    print(f'epoch {epoch}: loss {loss:.3f}, test accuracy {accuracy:.1%}')
  return history


if __name__ == '__main__':
  main()
