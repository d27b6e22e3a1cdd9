"""LCAM on several devices with `jax.jit`: the loss is the whole batch's.

XLA_FLAGS=--xla_force_host_platform_device_count=8 \
  python examples/data_parallel_jit.py
"""

import jax
import numpy as np
import optax
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P
from sklearn.datasets import load_digits

from lcam_optax import lcam

images, labels = load_digits(return_X_y=True)
x, y = np.float32(images[:1344] / 16), labels[:1344]
EPOCHS, BATCH_SIZE = 5, 64  # a multiple of the number of devices
STEPS_PER_EPOCH = len(x) // BATCH_SIZE

# was: optimizer = optax.sgd(0.05, momentum=0.9)
optimizer = lcam(0.05, 0.93, 0.857, steps_per_epoch=STEPS_PER_EPOCH)
mesh = jax.make_mesh((jax.device_count(),), ('data',), (AxisType.Auto,))
replicated, divided = NamedSharding(mesh, P()), NamedSharding(mesh, P('data'))


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


def main():
  """Returns the loss and the momentum of each step."""
  rng, history = np.random.default_rng(0), []
  shapes = {'hidden': (64, 32), 'output': (32, 10)}
  params = {k: np.float32(rng.normal(0, 0.2, s)) for k, s in shapes.items()}
  params, opt_state = jax.device_put(
    (params, optimizer.init(params)), replicated
  )
  for epoch in range(1, EPOCHS + 1):
    for rows in rng.permutation(len(x)).reshape(STEPS_PER_EPOCH, BATCH_SIZE):
      batch = jax.device_put((x[rows], y[rows]), divided)
      params, opt_state, loss = train_step(params, opt_state, *batch)
      momentum = optax.tree.get(opt_state, 'momentum')
      history.append((float(loss), float(momentum)))
    print(f'epoch {epoch}: loss {loss:.3f}, on {jax.device_count()} devices')
  return history


if __name__ == '__main__':
  main()
