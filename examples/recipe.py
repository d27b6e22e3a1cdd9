"""LCAM in a whole recipe: warm-up, cosine, clipping, weight decay, accumulation, EMA, checkpoints.

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

learning_rate = optax.warmup_cosine_decay_schedule(0.0, 0.1, STEPS_PER_EPOCH, STEPS)
optimizer = optax.chain(
  optax.clip_by_global_norm(0.5),  # before lcam, so that the trace holds clipped gradients
  optax.add_decayed_weights(5e-4, mask=lambda params: jax.tree.map(lambda p: p.ndim > 1, params)),
  # was: optax.sgd(learning_rate, momentum=0.9)
  lcam(learning_rate, 0.93, 0.857, steps_per_epoch=STEPS_PER_EPOCH, rule='algorithm1'),
)


def predict(params, images):
  hidden = jax.nn.relu(images @ params['hidden'] + params['hidden_bias'])
  return hidden @ params['output'] + params['output_bias']


def loss_fn(params, images, labels):
  logits = predict(params, images)
  return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()


def accumulate(params, images, labels, parts):
  """Returns the means of loss and gradient over the micro-batches, computed one after the other."""

  def add(total, batch):
    return optax.tree.add(total, jax.value_and_grad(loss_fn)(params, *batch)), None

  batches = (images.reshape(parts, -1, *images.shape[1:]), labels.reshape(parts, -1))
  total, _ = jax.lax.scan(add, (jnp.zeros([]), optax.tree.zeros_like(params)), batches)
  return optax.tree.scale(1 / parts, total)


@jax.jit(static_argnames='parts')
def train_step(state, images, labels, parts=MICRO_BATCHES):
  loss, grads = accumulate(state['params'], images, labels, parts)
  params, opt_state = state['params'], state['opt_state']
  # new: value=loss, the mean over the whole batch
  updates, opt_state = optimizer.update(grads, opt_state, params, value=loss)
  params = optax.apply_updates(params, updates)
  ema = optax.incremental_update(params, state['ema'], step_size=0.02)
  names = ('momentum', 'high_loss_phase')
  numbers = (loss, *(optax.tree.get(opt_state, name) for name in names), optax.tree.norm(grads))
  return {'params': params, 'ema': ema, 'opt_state': opt_state}, numbers


def start():
  params = {
    'hidden': jax.random.normal(jax.random.key(0), (64, 32)) / 8,
    'hidden_bias': jnp.zeros(32),
    'output': jax.random.normal(jax.random.key(1), (32, 10)) / 8,
    'output_bias': jnp.zeros(10),
  }
  return {'params': params, 'ema': params, 'opt_state': optimizer.init(params)}


def rows_of(step):
  """Returns the rows of a batch: a function of the step, which needs no place in the checkpoint."""
  epoch, place = divmod(step, STEPS_PER_EPOCH)
  return np.random.default_rng(epoch).permutation(len(x)).reshape(-1, BATCH_SIZE)[place]


def train(folder, stop=STEPS, parts=MICRO_BATCHES):
  """Trains from the newest checkpoint, if any; returns the state, and the numbers of each step."""
  options = ocp.CheckpointManagerOptions(save_interval_steps=50, max_to_keep=2)
  state, history = start(), []
  with ocp.CheckpointManager(folder, options=options) as checkpoints:
    if (done := checkpoints.latest_step()) is not None:
      state = checkpoints.restore(done, args=ocp.args.StandardRestore(state))
    for step in range(done or 0, stop):
      state, numbers = train_step(state, x[rows_of(step)], y[rows_of(step)], parts)
      history.append([float(number) for number in numbers])
      checkpoints.save(step + 1, args=ocp.args.StandardSave(state))
  return state, history


def main():
  """Returns the state and the history, trained without a stop and with one in mid-epoch."""
  with tempfile.TemporaryDirectory() as whole, tempfile.TemporaryDirectory() as stopped:
    train(stopped, stop=110)  # step 110 is in the 6th epoch; the newest checkpoint is of step 100
    return train(whole), train(stopped)


if __name__ == '__main__':
  (state, history), (resumed, _) = main()
  for name in ('params', 'ema'):
    accuracy = np.mean(predict(state[name], x_test).argmax(-1) == y_test)
    print(f'test accuracy of {name}: {accuracy:.1%}')
  _, _, high, norms = np.array(history[-STEPS_PER_EPOCH:]).T  # norms before clipping
  low, high = norms[high == 0].mean(), norms[high == 1].mean()
  print(f'gradient in the last epoch: {low:.2f} in low-loss phases, {high:.2f} in high-loss phases')
  print('the same bits after resuming:', jax.tree.all(jax.tree.map(np.array_equal, state, resumed)))
