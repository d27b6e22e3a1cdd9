"""LCAM with Equinox: handwritten digits.

python examples/equinox_mlp.py
"""

import equinox as eqx
import jax
import numpy as np
import optax
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from lcam_optax import lcam

images, labels = load_digits(return_X_y=True)
x, x_test, y, y_test = train_test_split(
  np.float32(images / 16), labels, train_size=1344, random_state=0
)
EPOCHS, BATCH_SIZE = 5, 64
STEPS_PER_EPOCH = len(x) // BATCH_SIZE

# was: optimizer = optax.sgd(0.05, momentum=0.9)
optimizer = lcam(0.05, 0.93, 0.857, steps_per_epoch=STEPS_PER_EPOCH)


def loss_fn(model, images, labels):
  logits = jax.vmap(model)(images)
  losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
  return losses.mean()


@eqx.filter_jit
def train_step(model, opt_state, images, labels):
  loss, grads = eqx.filter_value_and_grad(loss_fn)(model, images, labels)
  params = eqx.filter(model, eqx.is_inexact_array)
  # new: value=loss
  updates, opt_state = optimizer.update(grads, opt_state, params, value=loss)
  return eqx.apply_updates(model, updates), opt_state, loss


def main():
  """Returns the loss and the momentum of each step."""
  model = eqx.nn.MLP(64, 10, width_size=32, depth=1, key=jax.random.key(0))
  opt_state = optimizer.init(eqx.filter(model, eqx.is_inexact_array))
  rng, history = np.random.default_rng(0), []
  for epoch in range(1, EPOCHS + 1):
    for rows in rng.permutation(len(x)).reshape(STEPS_PER_EPOCH, BATCH_SIZE):
      model, opt_state, loss = train_step(model, opt_state, x[rows], y[rows])
      momentum = optax.tree.get(opt_state, 'momentum')
      history.append((float(loss), float(momentum)))
    accuracy = np.mean(jax.vmap(model)(x_test).argmax(-1) == y_test)
    print(f'epoch {epoch}: loss {loss:.3f}, test accuracy {accuracy:.1%}')
  return history


if __name__ == '__main__':
  main()
