"""LCAM saved and restored with Orbax: trace, running mean and phase go on.

python examples/save_and_restore.py
"""

import tempfile

import jax
import numpy as np
import optax
import orbax.checkpoint as ocp
from sklearn.datasets import load_digits

from lcam_optax import lcam

images, labels = load_digits(return_X_y=True)
x, y = np.float32(images[:1344] / 16), labels[:1344]
# was: optimizer = optax.sgd(0.05, momentum=0.9)
optimizer = lcam(0.05, 0.93, 0.857, steps_per_epoch=len(x) // 64)


def loss_fn(params, images, labels):
  logits = jax.nn.relu(images @ params['hidden']) @ params['output']
  losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
  return losses.mean()


@jax.jit
def train_step(params, opt_state, images, labels):
  loss, grads = jax.value_and_grad(loss_fn)(params, images, labels)
  # new: value=loss
  updates, opt_state = optimizer.update(grads, opt_state, params, value=loss)
  return optax.apply_updates(params, updates), opt_state


def start():
  shapes = {'hidden': (64, 32), 'output': (32, 10)}
  params = {
    k: jax.random.normal(jax.random.key(0), shape) / 8
    for k, shape in shapes.items()
  }
  return params, optimizer.init(params)


def train(params, opt_state, steps):
  for step in steps:
    rows = np.random.default_rng(step).integers(len(x), size=64)
    params, opt_state = train_step(params, opt_state, x[rows], y[rows])
  return params, opt_state


def main():
  """Returns what training without and with a restart ends with."""
  with (
    tempfile.TemporaryDirectory() as folder,
    ocp.StandardCheckpointer() as checkpointer,
  ):
    checkpointer.save(f'{folder}/30', train(*start(), range(30)))
    checkpointer.wait_until_finished()
    restored = checkpointer.restore(f'{folder}/30', jax.eval_shape(start))
  return train(*start(), range(60)), train(*restored, range(30, 60))


if __name__ == '__main__':
  same = jax.tree.map(np.array_equal, *main())
  print('equal to the last bit:', all(jax.tree.leaves(same)))
