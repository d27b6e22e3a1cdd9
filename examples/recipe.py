"""LCAM in a whole recipe, from warm-up to a checkpoint in mid-epoch.

python examples/recipe.py
"""

import tempfile

import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from lcam_optax import lcam

images, labels = load_digits(return_X_y=True)
x, x_test, y, y_test = train_test_split(
  np.float32(images / 16), labels, train_size=1344, random_state=0
)
EPOCHS, BATCH_SIZE, MICRO_BATCHES = 8, 64, 4
STEPS_PER_EPOCH = len(x) // BATCH_SIZE  # updates, not micro-batches
STEPS = EPOCHS * STEPS_PER_EPOCH


def no_biases(params):
  return jax.tree.map(lambda array: array.ndim > 1, params)


learning_rate = optax.warmup_cosine_decay_schedule(
  init_value=0,
  peak_value=0.1,
  warmup_steps=STEPS_PER_EPOCH,
  decay_steps=STEPS,
)
optimizer = optax.chain(
  optax.clip_by_global_norm(0.5),  # before lcam: its trace is of clipped ones
  optax.add_decayed_weights(5e-4, mask=no_biases),
  # was: optax.sgd(learning_rate, momentum=0.9)
  lcam(learning_rate, 0.93, 0.857, steps_per_epoch=STEPS_PER_EPOCH),
)


def predict(params, images):
  hidden = jax.nn.relu(images @ params['hidden'] + params['hidden_bias'])
  return hidden @ params['output'] + params['output_bias']


def loss_fn(params, images, labels):
  logits = predict(params, images)
  losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
  return losses.mean()


def accumulate(params, batch, parts):
  """Returns the means of loss and gradient over parts of the batch."""

  def add(total, part):
    more = jax.value_and_grad(loss_fn)(params, *part)
    return optax.tree.add(total, more), None

  divided = jax.tree.map(lambda a: a.reshape(parts, -1, *a.shape[1:]), batch)
  zero = jnp.zeros([]), optax.tree.zeros_like(params)
  total, _ = jax.lax.scan(add, zero, divided)
  return optax.tree.scale(1 / parts, total)


@jax.jit(static_argnames='parts')
def train_step(params, ema, opt_state, batch, parts):
  loss, grads = accumulate(params, batch, parts)
  # new: value=loss, the mean over the whole batch
  updates, opt_state = optimizer.update(grads, opt_state, params, value=loss)
  params = optax.apply_updates(params, updates)
  ema = optax.incremental_update(params, ema, step_size=0.02)
  return (params, ema, opt_state), loss, optax.tree.norm(grads)


def start():
  """Returns the state before the first step, all of which is saved."""
  params = {
    'hidden': jax.random.normal(jax.random.key(0), (64, 32)) / 8,
    'hidden_bias': jnp.zeros(32),
    'output': jax.random.normal(jax.random.key(1), (32, 10)) / 8,
    'output_bias': jnp.zeros(10),
  }
  return params, params, optimizer.init(params)


def batch_of(step):
  """Returns a batch that depends on the step alone, not on steps before."""
  epoch, place = divmod(step, STEPS_PER_EPOCH)
  order = np.random.default_rng(epoch).permutation(len(x))
  rows = order[place * BATCH_SIZE : (place + 1) * BATCH_SIZE]
  return x[rows], y[rows]


def train(folder, stop=STEPS, parts=MICRO_BATCHES):
  """Trains from the newest checkpoint in the folder, or from the start.

  Returns the state, and of each step loss, momentum, phase and norm.
  """
  options = ocp.CheckpointManagerOptions(save_interval_steps=50)
  state, history = start(), []
  with ocp.CheckpointManager(folder, options=options) as checkpoints:
    done = checkpoints.latest_step() or 0
    if done:
      state = checkpoints.restore(done, args=ocp.args.StandardRestore(state))
    for step in range(done, stop):
      state, loss, norm = train_step(*state, batch_of(step), parts)
      momentum = optax.tree.get(state, 'momentum')
      phase = optax.tree.get(state, 'high_loss_phase')
      history.append([float(n) for n in (loss, momentum, phase, norm)])
      checkpoints.save(step + 1, args=ocp.args.StandardSave(state))
  return state, history


def main():
  """Returns what training without a stop, and with one, ends with."""
  with tempfile.TemporaryDirectory() as once:
    whole = train(once)
  with tempfile.TemporaryDirectory() as twice:
    train(twice, stop=110)  # the checkpoint of step 100 is in mid-epoch
    return whole, train(twice)


if __name__ == '__main__':
  (state, history), (resumed, _) = main()
  for name, weights in zip(('weights', 'EMA'), state[:2], strict=True):
    accuracy = np.mean(predict(weights, x_test).argmax(-1) == y_test)
    print(f'{name}: test accuracy {accuracy:.1%}')
  _, _, phases, norms = np.array(history[-STEPS_PER_EPOCH:]).T
  for phase, name in enumerate(('low', 'high')):
    norm = norms[phases == phase].mean()
    print(f'norm of gradients in the {name}-loss phase: {norm:.2f}')
  same = jax.tree.all(jax.tree.map(np.array_equal, state, resumed))
  print('the same bits after resuming:', same)
