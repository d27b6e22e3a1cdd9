"""Runs the arms of a problem with the same seeds, and scores them."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int8

from studies.arms import Arm, Numbers, Optimizer, Rule
from studies.problems import Problem
from studies.training import Engine, score
from train import Split
from train.training.trainer import Start


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
    """Loads the data.

    Args:
      problem: The problem.
      batch_size: Examples per step; a divisor of the number of training examples.
      epochs: Passes over the training examples.
      seeds: One run each; the partner of a run has the next seed, and that of the last the first.
    """
    examples = problem.load()
    self._problem, self._seeds = problem, seeds
    self._train = Split(examples.inputs, examples.labels)
    self._test = Split(examples.test_inputs, examples.test_labels)
    sizes = problem.sizes(examples.inputs.shape[1])
    self._engine = Engine(self._train, sizes, batch_size, epochs)
    self.steps_per_epoch = self._engine.steps_per_epoch
    self.steps = epochs * self.steps_per_epoch

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
    replays = partners is not None
    others = arm.signal != 'own' and not replays
    optimizer = Optimizer(
      rule,
      numbers,
      replays=replays,
      restart=restart,
      signal=arm.signal if others else 'own',
      problem=self._problem if others else None,
    )
    phases = [None] * len(self._seeds) if partners is None else np.roll(partners, -1, axis=0)
    starts = [Start(optimizer, *run) for run in zip(self._seeds, phases, strict=True)]
    trained = self._engine.train(starts)
    assert trained.phases is not None
    train, test = (score(trained.params, split) for split in (self._train, self._test))
    ends = train.loss, train.spread, test.loss, test.error
    return Results(*ends, trained.phases, trained.batch_losses)
