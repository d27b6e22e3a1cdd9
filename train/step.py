"""One training step and one evaluation step, each a single jitted program.

The arms of an experiment share them: the momenta are arrays in the optimizer's state, so that a
program is compiled once for all arms and seeds. The steps are called from a Python loop because XLA
compiles a convolution inside a loop of its own to much slower code on CPU.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jaxtyping import Array, Float, Int

from train.data import Batch, Preprocessing, gather, step_key

Scalar = Float[Array, '']


class EpochSums(NamedTuple):
  """Sums over the steps of an epoch, kept on the device so that no step waits for the host.

  Attributes:
    steps: How many steps were added.
    loss: Sum of the batch losses. Their mean is what the authors log as an epoch's loss, although
      the last batch may be smaller than the others.
    high_loss_phase: How many steps ended in the high-loss phase.
    momentum: Sum of the momenta used.
    gradient_norm: Sum of the norms of the gradients, before weight decay.
    finite: How many steps were taken before the first whose loss is NaN or infinite.
  """

  steps: Int[Array, '']
  loss: Scalar
  high_loss_phase: Int[Array, '']
  momentum: Scalar
  gradient_norm: Scalar
  finite: Int[Array, '']

  @classmethod
  def zeros(cls) -> 'EpochSums':
    """Returns the sums of no steps, each a buffer of its own, so that they can be donated."""
    integers = ('steps', 'high_loss_phase', 'finite')
    dtypes = {name: jnp.int32 if name in integers else jnp.float32 for name in cls._fields}
    return cls(**{name: jnp.zeros([], dtype) for name, dtype in dtypes.items()})


class TrainState(NamedTuple):
  """All that a step changes.

  Attributes:
    params: The trainable parameters, an NNX state.
    rest: The other variables of the model, batch statistics for example.
    opt_state: The state of the optimizer.
    sums: Sums over the current epoch.
  """

  params: Any
  rest: Any
  opt_state: Any
  sums: EpochSums


class EvalSums(NamedTuple):
  """Sums over the test split: of the losses of the examples and of wrong answers."""

  loss: Scalar
  errors: Int[Array, '']


def make_loss(model: nnx.Module):
  """Returns the loss of a batch in training mode, to be differentiated.

  Args:
    model: The network; only its structure is used.

  Returns:
    ``loss_fn(params, rest, inputs, labels) -> (loss, rest)``: the mean cross-entropy, and the other
    variables as the batch leaves them.
  """
  model.train()
  graphdef, _, _ = nnx.split(model, nnx.Param, ...)

  def loss_fn(params, rest, inputs, labels):
    trained = nnx.merge(graphdef, params, rest, copy=True)
    logits = trained(inputs)
    _, _, rest = nnx.split(trained, nnx.Param, ...)
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    return losses.mean(), rest

  return loss_fn


def make_train_step(
  model: nnx.Module,
  optimizer: optax.GradientTransformationExtraArgs,
  preprocessing: Preprocessing,
):
  """Returns the jitted training step.

  Args:
    model: The network; only its structure is used.
    optimizer: Made by :func:`train.optimizer.make_optimizer`.
    preprocessing: Turns raw inputs into what the network takes.

  Returns:
    ``train_step(state, batch, seed, epoch, step) -> state``. The state is donated. ``seed``,
    ``epoch`` and ``step`` are integers that the augmentation is a pure function of.
  """
  loss_fn = make_loss(model)

  @partial(jax.jit, donate_argnums=0)
  def train_step(state: TrainState, batch: Batch, seed, epoch, step) -> TrainState:
    inputs, labels = gather(batch)
    inputs = preprocessing.train(step_key(seed, epoch, step), inputs)
    (loss, rest), grads = jax.value_and_grad(loss_fn, has_aux=True)(
      state.params, state.rest, inputs, labels
    )
    updates, opt_state = optimizer.update(grads, state.opt_state, state.params, value=loss)
    params = optax.apply_updates(state.params, updates)
    added = EpochSums(
      steps=1,
      loss=loss,
      # Adaptive optimizers have neither.
      high_loss_phase=optax.tree.get(opt_state, 'high_loss_phase', 0),
      momentum=optax.tree.get(opt_state, 'momentum', 0.0),
      gradient_norm=optax.tree.norm(grads),
      finite=jnp.isfinite(loss) & (state.sums.finite == state.sums.steps),
    )
    return TrainState(params, rest, opt_state, jax.tree.map(jnp.add, state.sums, added))

  return train_step


def make_eval_step(model: nnx.Module, preprocessing: Preprocessing):
  """Returns the jitted evaluation step.

  Args:
    model: The network; only its structure is used.
    preprocessing: Turns raw inputs into what the network takes.

  Returns:
    ``eval_step(params, rest, batch) -> EvalSums`` of the batch.
  """
  model.eval()
  graphdef, _, _ = nnx.split(model, nnx.Param, ...)

  @jax.jit
  def eval_step(params, rest, batch: Batch) -> EvalSums:
    inputs, labels = gather(batch)
    logits = nnx.merge(graphdef, params, rest)(preprocessing.evaluate(inputs))
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    return EvalSums(losses.sum(), (logits.argmax(-1) != labels).sum())

  return eval_step
