"""LCAM with Flax Linen and a `TrainState` that passes the loss on.

python examples/flax_linen.py
"""

import jax
import numpy as np
import optax
from flax import linen as nn
from flax.training.train_state import TrainState
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from lcam_optax import lcam

images, labels = load_digits(return_X_y=True)
x, x_test, y, y_test = train_test_split(
  np.float32(images / 16), labels, train_size=1344, random_state=0
)
EPOCHS, BATCH_SIZE = 5, 64
STEPS_PER_EPOCH = len(x) // BATCH_SIZE


class LossTrainState(TrainState):  # new: TrainState drops the loss
  def apply_gradients(self, *, grads, value, **changes):
    updates, opt_state = self.tx.update(
      grads, self.opt_state, self.params, value=value
    )
    params = optax.apply_updates(self.params, updates)
    return self.replace(
      step=self.step + 1, params=params, opt_state=opt_state, **changes
    )


@jax.jit
def train_step(state, images, labels):
  def loss_fn(params):
    logits = state.apply_fn(params, images)
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    return losses.mean()

  loss, grads = jax.value_and_grad(loss_fn)(state.params)
  # new: value=loss
  return state.apply_gradients(grads=grads, value=loss), loss


def main():
  """Returns the loss and the momentum of each step."""
  model = nn.Sequential([nn.Dense(32), nn.relu, nn.Dense(10)])
  # was: tx = optax.sgd(0.05, momentum=0.9)
  tx = lcam(0.05, 0.93, 0.857, steps_per_epoch=STEPS_PER_EPOCH)
  params = model.init(jax.random.key(0), x[:1])
  state = LossTrainState.create(apply_fn=model.apply, params=params, tx=tx)
  rng, history = np.random.default_rng(0), []
  for epoch in range(1, EPOCHS + 1):
    for rows in rng.permutation(len(x)).reshape(STEPS_PER_EPOCH, BATCH_SIZE):
      state, loss = train_step(state, x[rows], y[rows])
      momentum = optax.tree.get(state.opt_state, 'momentum')
      history.append((float(loss), float(momentum)))
    accuracy = np.mean(model.apply(state.params, x_test).argmax(-1) == y_test)
    print(f'epoch {epoch}: loss {loss:.3f}, test accuracy {accuracy:.1%}')
  return history


if __name__ == '__main__':
  main()
