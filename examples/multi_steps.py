"""LCAM with gradients accumulated by `optax.MultiSteps`, and a mistake.

`MultiSteps` passes on only the loss of the last micro-batch, so
pass the mean over those so far.

python examples/multi_steps.py
"""

import functools

import jax
import numpy as np
import optax
from sklearn.datasets import load_digits

from lcam_optax import lcam

images, labels = load_digits(return_X_y=True)
x, y = np.float32(images[:1344] / 16), labels[:1344]
EPOCHS, MICRO_BATCHES, MICRO_BATCH_SIZE = 5, 4, 16
# Updates, not micro-batches.
UPDATES_PER_EPOCH = len(x) // (MICRO_BATCHES * MICRO_BATCH_SIZE)

# was: optimizer = optax.sgd(0.05, momentum=0.9)
optimizer = lcam(0.05, 0.93, 0.857, steps_per_epoch=UPDATES_PER_EPOCH)
optimizer = optax.MultiSteps(optimizer, every_k_schedule=MICRO_BATCHES)


def loss_fn(params, images, labels):
  logits = jax.nn.relu(images @ params['hidden']) @ params['output']
  losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
  return losses.mean()


@functools.partial(jax.jit, static_argnames='wrong')
def train_step(params, opt_state, mean, images, labels, wrong=False):
  loss, grads = jax.value_and_grad(loss_fn)(params, images, labels)
  # new: the mean over the micro-batches so far
  mean += (loss - mean) / (opt_state.mini_step + 1)
  value = loss if wrong else mean
  # new: value=mean
  updates, opt_state = optimizer.update(grads, opt_state, params, value=value)
  return optax.apply_updates(params, updates), opt_state, mean


def main(wrong=False):
  """Returns the mean loss and the momentum of each update."""
  rng, history, mean = np.random.default_rng(0), [], 0.0
  shapes = {'hidden': (64, 32), 'output': (32, 10)}
  params = {k: np.float32(rng.normal(0, 0.2, s)) for k, s in shapes.items()}
  opt_state = optimizer.init(params)
  for _ in range(EPOCHS):
    order = rng.permutation(len(x))
    for rows_of_update in order.reshape(-1, MICRO_BATCHES, MICRO_BATCH_SIZE):
      for rows in rows_of_update:
        params, opt_state, mean = train_step(
          params, opt_state, mean, x[rows], y[rows], wrong
        )
      momentum = optax.tree.get(opt_state, 'momentum')
      history.append((float(mean), float(momentum)))
  return history


if __name__ == '__main__':
  differ = np.not_equal(main(), main(wrong=True))[:, 1].mean()
  print(
    f'with the last loss, not the mean, {differ:.0%} of the momenta differ'
  )
