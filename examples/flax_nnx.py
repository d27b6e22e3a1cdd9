"""LCAM with Flax NNX, whose `nnx.Optimizer` passes the loss on.

python examples/flax_nnx.py
"""

import numpy as np
import optax
from flax import nnx
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from lcam_optax import lcam

images, labels = load_digits(return_X_y=True)
x, x_test, y, y_test = train_test_split(
  np.float32(images / 16), labels, train_size=1344, random_state=0
)
EPOCHS, BATCH_SIZE = 5, 64
STEPS_PER_EPOCH = len(x) // BATCH_SIZE


def loss_fn(model, images, labels):
  losses = optax.softmax_cross_entropy_with_integer_labels(
    model(images), labels
  )
  return losses.mean()


@nnx.jit
def train_step(model, optimizer, images, labels):
  loss, grads = nnx.value_and_grad(loss_fn)(model, images, labels)
  # new: value=loss
  optimizer.update(model, grads, value=loss)
  return loss


def main():
  """Returns the loss and the momentum of each step."""
  rngs = nnx.Rngs(0)
  model = nnx.Sequential(
    nnx.Linear(64, 32, rngs=rngs), nnx.relu, nnx.Linear(32, 10, rngs=rngs)
  )
  # was: tx = optax.sgd(0.05, momentum=0.9)
  tx = lcam(0.05, 0.93, 0.857, steps_per_epoch=STEPS_PER_EPOCH)
  optimizer = nnx.Optimizer(model, tx, wrt=nnx.Param)
  rng, history = np.random.default_rng(0), []
  for epoch in range(1, EPOCHS + 1):
    for rows in rng.permutation(len(x)).reshape(STEPS_PER_EPOCH, BATCH_SIZE):
      loss = train_step(model, optimizer, x[rows], y[rows])
      momentum = optax.tree.get(optimizer.opt_state, 'momentum')
      history.append((float(loss), float(momentum)))
    accuracy = np.mean(model(x_test).argmax(-1) == y_test)
    print(f'epoch {epoch}: loss {loss:.3f}, test accuracy {accuracy:.1%}')
  return history


if __name__ == '__main__':
  main()
