"""Adam whose `b1` depends on the loss; other hyperparameters work alike.

python examples/adam_b1.py
"""

import jax
import numpy as np
import optax
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from lcam_optax import loss_phase_schedule

images, labels = load_digits(return_X_y=True)
x, x_test, y, y_test = train_test_split(
  np.float32(images / 16), labels, train_size=1344, random_state=0
)
EPOCHS, BATCH_SIZE = 5, 64
STEPS_PER_EPOCH = len(x) // BATCH_SIZE

# was: optimizer = optax.adam(3e-3, b1=0.9)
b1 = loss_phase_schedule(0.95, 0.85, steps_per_epoch=STEPS_PER_EPOCH)
optimizer = optax.inject_hyperparams(optax.adam)(3e-3, b1=b1)


def predict(params, images):
  return jax.nn.relu(images @ params['hidden']) @ params['output']


def loss_fn(params, images, labels):
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
  """Returns the loss and the b1 of each step."""
  rng, history = np.random.default_rng(0), []
  shapes = {'hidden': (64, 32), 'output': (32, 10)}
  params = {k: np.float32(rng.normal(0, 0.2, s)) for k, s in shapes.items()}
  opt_state = optimizer.init(params)
  for epoch in range(1, EPOCHS + 1):
    for rows in rng.permutation(len(x)).reshape(STEPS_PER_EPOCH, BATCH_SIZE):
      batch = x[rows], y[rows]
      params, opt_state, loss = train_step(params, opt_state, *batch)
      history.append((float(loss), float(opt_state.hyperparams['b1'])))
    accuracy = np.mean(predict(params, x_test).argmax(-1) == y_test)
    print(f'epoch {epoch}: loss {loss:.3f}, test accuracy {accuracy:.1%}')
  return history


if __name__ == '__main__':
  main()
