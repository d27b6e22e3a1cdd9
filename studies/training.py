"""Trains the runs of a study as lanes of the trainer's engine, in memory, and scores their weights."""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Float, Int8

from studies.network import Params, Perceptron, logits
from train import Comparison, Dataset, Split, cross_entropy, wrong_answer
from train.data import Batch
from train.problem.comparison import PerExample
from train.training.lanes import USUAL_LANES, LanePrograms, Lanes
from train.training.trainer import Start, Trainer


class Trained(NamedTuple):
  """The results of training; the first axis of every array is that of the runs.

  Attributes:
    earlier: The weights after each of the earlier epochs that were asked for.
    params: The weights after the last step.
    phases: For every step, 1 in the high-loss phase, else 0; None if the optimizer has no phases.
    batch_losses: For every step, the loss of its batch before the update.
  """

  earlier: tuple[Params, ...]
  params: Params
  phases: Int8[np.ndarray, 'runs steps'] | None
  batch_losses: Float[np.ndarray, 'runs steps']


class Scores(NamedTuple):
  """How well the weights of each run do on some examples.

  Attributes:
    loss: Mean loss, by default the cross-entropy.
    spread: Standard deviation of the losses.
    error: Mean error, by default the share of wrong answers.
  """

  loss: Float[np.ndarray, ' runs']
  spread: Float[np.ndarray, ' runs']
  error: Float[np.ndarray, ' runs']


class Engine:
  """Trains on the given examples at a batch size; it never sees others."""

  def __init__(
    self,
    examples: Split,
    sizes: tuple[int, ...],
    batch_size: int,
    epochs: int,
    loss: PerExample = cross_entropy,
    earlier: tuple[int, ...] = (),
  ):
    """Puts the examples in place.

    Args:
      examples: The training examples.
      sizes: The sizes of the inputs, hidden layers and logits.
      batch_size: Examples per step; a divisor of their number.
      epochs: Passes over them.
      loss: The loss of each example.
      earlier: The numbers of epochs after which weights are kept, besides those at the end.
    """
    self._data = Batch(jnp.asarray(examples.inputs), jnp.asarray(examples.labels))
    self._programs = _programs(
      len(examples), examples.labels.dtype.name, sizes, batch_size, epochs, loss
    )
    self._epochs, self._earlier = epochs, earlier
    self.steps_per_epoch = len(examples) // batch_size

  def train(self, starts: Sequence[Start]) -> Trained:
    """Trains runs whose arms differ in their numbers only.

    Args:
      starts: An arm, a seed and the phases to replay, for each run.

    Returns:
      Weights and phases.
    """
    parts = [
      self._train_at_once(starts[first : first + USUAL_LANES])
      for first in range(0, len(starts), USUAL_LANES)
    ]
    return jax.tree.map(lambda *arrays: np.concatenate(arrays)[: len(starts)], *parts)

  def _train_at_once(self, starts: Sequence[Start]) -> Trained:
    lanes = Lanes(self._programs, starts, self._data)
    state, earlier, phases = lanes.state, [], []
    for epoch in range(self._epochs):
      if epoch in self._earlier:
        earlier.append(_copy(state.params['layers']))  # the state is donated
      *_, (state, _) = lanes.train(state, epoch, 0)
      phases.append(_copy(state.sums.phases))
    kept = optax.tree.get(state.opt_state, 'batch_losses')
    used = None if phases[0] is None else np.concatenate(phases, axis=1)
    return jax.device_get(Trained(tuple(earlier), state.params['layers'], used, kept))


def score(
  params: Params,
  examples: Split,
  loss: PerExample = cross_entropy,
  error: PerExample = wrong_answer,
) -> Scores:
  """Scores trained weights.

  Args:
    params: The weights of :class:`Trained`.
    examples: The examples.
    loss: The loss of each example.
    error: The error of each example.

  Returns:
    The scores of each run.
  """
  return Scores(*jax.device_get(_score(params, examples.inputs, examples.labels, loss, error)))


@functools.cache
def _programs(
  number: int,
  label_dtype: str,
  sizes: tuple[int, ...],
  batch_size: int,
  epochs: int,
  loss: PerExample,
) -> LanePrograms:
  """Returns the programs for all examples of this number and size."""
  nothing = Split(np.zeros((number, sizes[0]), np.float32), np.zeros(number, label_dtype))
  # The targets of a regression are no classes.
  classes = tuple(map(str, range(sizes[-1]))) if sizes[-1] > 1 else ()
  comparison = Comparison(
    name='study',
    dataset=Dataset('study', nothing, nothing, classes),
    network=lambda num_classes, rngs: Perceptron(sizes, rngs),
    epochs=epochs,
    batch_size=batch_size,
    loss=loss,
    metric=wrong_answer if classes else loss,
  )
  programs = LanePrograms(Trainer(comparison, comparison.load()), USUAL_LANES)
  # What starts runs is called for each 16 of them, hundreds of times in a study.
  programs.jit_once = programs.jit
  programs.draw = programs.jit(programs.weights)
  return programs


def _copy(tree: Any) -> Any:
  return jax.tree.map(jnp.copy, tree)


@functools.partial(jax.jit, static_argnums=(3, 4))
def _score(params, inputs, labels, loss, error):
  def of_run(params):
    outputs = logits(params, inputs)
    values = loss(outputs, labels)
    return values.mean(), values.std(), error(outputs, labels).mean()

  return jax.lax.map(of_run, params, batch_size=USUAL_LANES)
