"""LCAM with `optax.microbatching`, which averages gradients and losses.

python examples/microbatching.py
"""

import jax
import numpy as np
import optax
from sklearn.datasets import load_digits

from lcam_optax import lcam

images, labels = load_digits(return_X_y=True)
x, y = np.float32(images[:1344] / 16), labels[:1344]
EPOCHS, BATCH_SIZE, MICRO_BATCH_SIZE = 5, 64, 16
STEPS_PER_EPOCH = len(x) // BATCH_SIZE

# was: optimizer = optax.sgd(0.05, momentum=0.9)
optimizer = lcam(0.05, 0.93, 0.857, steps_per_epoch=STEPS_PER_EPOCH)


def loss_fn(params, images, labels):
  logits = jax.nn.relu(images @ params['hidden']) @ params['output']
  losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
  return losses.mean()


value_and_grad = optax.microbatching.microbatch(
  jax.value_and_grad(loss_fn),
  argnums=(1, 2),
  microbatch_size=MICRO_BATCH_SIZE,
  accumulator=optax.microbatching.AccumulationType.MEAN,
)


@jax.jit
def train_step(params, opt_state, images, labels):
  loss, grads = value_and_grad(params, images, labels)
  # new: value=loss
  updates, opt_state = optimizer.update(grads, opt_state, params, value=loss)
  return optax.apply_updates(params, updates), opt_state, loss


def main():
  """Returns the loss and the momentum of each step."""
  rng, history = np.random.default_rng(0), []
  shapes = {'hidden': (64, 32), 'output': (32, 10)}
  params = {k: np.float32(rng.normal(0, 0.2, s)) for k, s in shapes.items()}
  opt_state = optimizer.init(params)
  for epoch in range(1, EPOCHS + 1):
    for rows in rng.permutation(len(x)).reshape(STEPS_PER_EPOCH, BATCH_SIZE):
      batch = x[rows], y[rows]
      params, opt_state, loss = train_step(params, opt_state, *batch)
      momentum = optax.tree.get(opt_state, 'momentum')
      history.append((float(loss), float(momentum)))
    print(f'epoch {epoch}: loss {loss:.3f}')
  return history


if __name__ == '__main__':
  main()
