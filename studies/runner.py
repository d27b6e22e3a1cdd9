"""Trains hundreds of runs in one compiled program: a scan over steps, vectorized over seeds."""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, Int8

from studies.arms import Arm, Numbers, Rule, make_optimizer
from studies.network import initial_params, logits, losses
from studies.problems import Problem
from train.data.randomness import epoch_order

_SEEDS_AT_ONCE = 16  # their weights and traces fit in a cache of one core


class Results(NamedTuple):
  """The results of each run; the first axis of every field is that of the runs.

  Attributes:
    train_loss: Mean loss over the whole training set after the last step.
    loss_spread: Standard deviation of the losses of the training examples after the last step.
    test_loss: Mean loss over the test set.
    test_error: Share of wrong answers on the test set.
    phases: For every step, 1 in the high-loss phase, else 0.
    batch_losses: For every step, the loss of its batch before the update.
  """

  train_loss: Float[np.ndarray, ' runs']
  loss_spread: Float[np.ndarray, ' runs']
  test_loss: Float[np.ndarray, ' runs']
  test_error: Float[np.ndarray, ' runs']
  phases: Int8[np.ndarray, 'runs steps']
  batch_losses: Float[np.ndarray, 'runs steps']


class Runner:
  """Runs the arms of a problem at a batch size.

  Weights and batches depend on the seed alone, so that all arms have the same random numbers.
  """

  def __init__(self, problem: Problem, batch_size: int, epochs: int, seeds: Sequence[int]):
    """Loads the data and draws the batches.

    Args:
      problem: The problem.
      batch_size: Examples per step; a divisor of the number of training examples.
      epochs: Passes over the training examples.
      seeds: One run each; the partner of a run has the next seed, and that of the last the first.
    """
    examples = problem.load()
    self._data = jax.tree.map(
      jnp.asarray,
      (examples.inputs, examples.labels, examples.test_inputs, examples.test_labels),
    )
    number, features = examples.inputs.shape
    hidden = (problem.hidden,) if problem.hidden else ()
    self._sizes = (features, *hidden, problem.classes)
    self._seeds = jnp.asarray(seeds)
    self.steps_per_epoch = number // batch_size
    # The independent batches are those of later epochs, which are never trained.
    own, other = (
      _batches(self._seeds, range(first, first + epochs), number, batch_size)
      for first in (0, epochs)
    )
    self._batches, self._others = own, other

  @property
  def steps(self) -> int:
    """The number of steps of a run."""
    return self._batches.shape[1]

  def run(
    self,
    arm: Arm,
    rule: Rule,
    numbers: Numbers,
    partners: np.ndarray | None = None,
    restart: int | None = None,
  ) -> Results:
    """Trains an arm with every seed.

    Args:
      arm: The arm.
      rule: See :func:`studies.arms.make_optimizer`.
      numbers: Learning rate and momenta.
      partners: The phases of the partner arm's runs, by seed; run i replays those of run i + 1.
      restart: The number of steps after which the mean of the losses restarts; None is every epoch.

    Returns:
      The results, one per seed.
    """
    replayed = None if partners is None else jnp.roll(jnp.asarray(partners), -1, axis=0)
    others = self._others if arm.signal != 'own' and partners is None else None
    results = _run_many(
      arm.signal if partners is None else 'own',
      rule,
      restart or self.steps_per_epoch,
      self._sizes,
      Numbers(*map(jnp.float32, numbers)),
      self._data,
      (self._seeds, self._batches, others, replayed),
    )
    return Results(*jax.tree.map(np.asarray, results))


@partial(jax.jit, static_argnums=(1, 2, 3))
def _batches(
  seeds: Int[Array, ' runs'], epochs: range, examples: int, batch_size: int
) -> Int[Array, 'runs steps batch']:
  def of_seed(seed):
    orders = jnp.stack([epoch_order(seed, epoch, examples) for epoch in epochs])
    whole = examples // batch_size * batch_size
    return orders[:, :whole].reshape(-1, batch_size)

  return jax.lax.map(of_seed, seeds)


@partial(jax.jit, static_argnums=(0, 1, 2, 3))
def _run_many(signal, rule, restart, sizes, numbers, data, runs):
  inputs, labels, test_inputs, test_labels = data

  def loss_of(params, batch):
    return losses(params, inputs[batch], labels[batch]).mean()

  def run_one(run):
    seed, batches, others, phases = run
    optimizer = make_optimizer(rule, restart, numbers, phases)

    def step(carry, step_batches):
      params, state = carry
      batch, other = step_batches
      loss, grads = jax.value_and_grad(loss_of)(params, batch)
      if signal == 'own':
        value = loss
      else:
        other_loss = loss_of(params, other)
        value = other_loss if signal == 'other' else loss - other_loss
      updates, state = optimizer.update(grads, state, params, value=value)
      phase = optax.tree.get(state, 'high_loss_phase')
      return (optax.apply_updates(params, updates), state), (phase.astype(jnp.int8), loss)

    params = initial_params(jax.random.key(seed), sizes)
    carry = params, optimizer.init(params)
    (params, _), (used, batch_losses) = jax.lax.scan(step, carry, (batches, others))
    train_losses = losses(params, inputs, labels)
    wrong = jnp.argmax(logits(params, test_inputs), -1) != test_labels
    return (
      train_losses.mean(),
      train_losses.std(),
      losses(params, test_inputs, test_labels).mean(),
      wrong.mean(),
      used,
      batch_losses,
    )

  return jax.lax.map(run_one, runs, batch_size=_SEEDS_AT_ONCE)
