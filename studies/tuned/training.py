"""Trains runs that differ in learning rate, momenta and seed, 16 at a time in one program."""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, Int8

from studies.arms import Numbers
from studies.network import Params, initial_params, logits, losses
from studies.tuned.methods import Rule, make_optimizer
from train.data.randomness import epoch_order

_AT_ONCE = 16  # their weights and traces fit in a cache of one core


class Rows(NamedTuple):
  """Examples.

  Attributes:
    inputs: The inputs of each example.
    labels: Their classes.
  """

  inputs: Float[np.ndarray, 'examples features']
  labels: Int[np.ndarray, ' examples']


class Run(NamedTuple):
  """A run.

  Attributes:
    numbers: Learning rate and momenta.
    seed: Determines the initial weights and the batches.
  """

  numbers: Numbers
  seed: int


class Trained(NamedTuple):
  """The results of training; the first axis of every array is that of the runs.

  Attributes:
    params: The weights after half of the epochs and after all, along the second axis.
    phases: For every step, 1 in the high-loss phase, else 0; zeros if the rule has no phases.
  """

  params: Params
  phases: Int8[Array, 'runs steps']


class Scores(NamedTuple):
  """Errors and losses of runs, after half of their epochs and after all of them.

  Attributes:
    error: Share of wrong answers.
    loss: Mean cross-entropy.
  """

  error: Float[np.ndarray, 'runs 2']
  loss: Float[np.ndarray, 'runs 2']


class Trainer:
  """Trains on the given examples at a batch size; it never sees others."""

  def __init__(self, examples: Rows, batch_size: int, epochs: int, sizes: tuple[int, ...]):
    """Puts the examples in place.

    Args:
      examples: The training examples.
      batch_size: Examples per step; a divisor of their number.
      epochs: Passes over them; an even number.
      sizes: The sizes of the inputs, hidden layers and logits.
    """
    self._examples = jax.tree.map(jnp.asarray, examples)
    self._sizes = (len(examples.labels), batch_size, epochs, sizes)

  def train(
    self,
    rule: Rule,
    runs: Sequence[Run],
    replayed: Int8[Array, 'runs steps'] | None = None,
    decay: bool = False,
  ) -> Trained:
    """Trains runs of a rule.

    Args:
      rule: The rule.
      runs: The runs.
      replayed: The phases to replay; None to decide by the loss.
      decay: Whether the learning rate decays to zero as a cosine, instead of being constant.

    Returns:
      Weights and phases.
    """
    trained = []
    for first in range(0, len(runs), _AT_ONCE):
      rows = np.arange(first, first + _AT_ONCE)
      rows[rows >= len(runs)] = first  # always the same number, for one compiled program
      numbers = Numbers(*np.array([runs[row].numbers for row in rows], np.float32).T)
      start = _draw(*self._sizes, np.array([runs[row].seed for row in rows]))
      phases = None if replayed is None else replayed[rows]
      trained.append(_train(rule, decay, self._examples, numbers, start, phases))
    return jax.tree.map(lambda *arrays: jnp.concatenate(arrays)[: len(runs)], *trained)


def score(params: Params, rows: Rows) -> Scores:
  """Scores trained weights; those that are not finite, or worse than a guess, count as a guess.

  Args:
    params: The weights of :class:`Trained`.
    rows: Examples that were not trained on.

  Returns:
    The scores of all runs.
  """
  error, loss = _score(params, jnp.asarray(rows.inputs), jnp.asarray(rows.labels))
  classes = params[-1][1].shape[-1]
  finite = np.isfinite(loss)
  return Scores(
    np.where(finite, error, 1 - 1 / classes),
    np.minimum(np.where(finite, loss, np.inf), np.log(classes)),
  )


@partial(jax.jit, static_argnums=(0, 1, 2, 3))
def _draw(
  examples: int, batch_size: int, epochs: int, sizes: tuple[int, ...], seeds: Int[Array, ' runs']
) -> tuple[Params, Int[Array, 'runs epochs steps batch']]:
  """Draws initial weights and batches, apart from training, so that rules share this program."""

  def of_seed(seed):
    order_of = partial(epoch_order, seed, examples=examples)
    orders = jax.vmap(order_of)(jnp.arange(epochs))
    return initial_params(jax.random.key(seed), sizes), orders.reshape(epochs, -1, batch_size)

  return jax.vmap(of_seed)(seeds)


@partial(jax.jit, static_argnums=(0, 1))
def _train(
  rule: Rule,
  decay: bool,
  examples: Rows,
  numbers: Numbers,
  start: tuple[Params, Int[Array, 'runs epochs steps batch']],
  replayed: Int8[Array, 'runs steps'] | None,
) -> Trained:
  inputs, labels = examples

  def loss_of(params, batch):
    return losses(params, inputs[batch], labels[batch]).mean()

  def train_one(numbers, start, phases):
    params, batches = start
    epochs, steps_per_epoch, batch_size = batches.shape
    if decay:
      schedule = optax.cosine_decay_schedule(numbers.learning_rate, epochs * steps_per_epoch)
      numbers = numbers._replace(learning_rate=schedule)
    optimizer = make_optimizer(rule, steps_per_epoch, numbers, phases)

    def step(carry, batch):
      params, state = carry
      loss, grads = jax.value_and_grad(loss_of)(params, batch)
      updates, state = optimizer.update(grads, state, params, value=loss)
      phase = jnp.int8(optax.tree.get(state, 'high_loss_phase', 0))
      return (optax.apply_updates(params, updates), state), phase

    def half(carry, batches):
      carry, phases = jax.lax.scan(step, carry, batches)
      return carry, (carry[0], phases)

    halves = batches.reshape(2, -1, batch_size)
    _, (trained, phases) = jax.lax.scan(half, (params, optimizer.init(params)), halves)
    return Trained(trained, phases.reshape(-1))

  return jax.vmap(train_one)(numbers, start, replayed)


@jax.jit
def _score(params, inputs, labels):
  def of_weights(params):
    wrong = jnp.argmax(logits(params, inputs), -1) != labels
    return wrong.mean(), losses(params, inputs, labels).mean()

  return jax.lax.map(jax.vmap(of_weights), params)
