"""Defines the methods that are tuned and compared; all have one number to tune, the effective rate."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from studies.arms import Numbers, Optimizer, Rule
from studies.label_noise import losses
from studies.problems import Problem
from train import cross_entropy
from train.problem.comparison import PerExample
from train.training.trainer import Start

MOMENTUM = 0.9


@dataclasses.dataclass(frozen=True)
class Method:
  """A method of training.

  Attributes:
    name: Its name in tables; those of the trainer's arms where it is one of them.
    rule: The optimizer.
    low: The momentum in the low-loss phase; the only one of optimizers without phases.
    high: The momentum in the high-loss phase.
    strength: The third number of the optimizer.
    loss: The loss that it is trained with: '' for that of the problem.
    partner: The name of the method whose phases it replays, for a yoked method.
    scale: What the effective rate is multiplied by, for methods with other units.
    early: Whether each run is stopped at the epoch with the lowest error on validation examples.
  """

  name: str
  rule: Rule = 'algorithm1'
  low: float = MOMENTUM
  high: float = MOMENTUM
  strength: float = 0.0
  loss: str = ''
  partner: str = ''
  scale: float = 1.0
  early: bool = False

  def start(self, rate: float, seed: int, phases: np.ndarray | None = None) -> Start:
    """Returns a run.

    Args:
      rate: The effective rate: the learning rate divided by one minus the mean of the momenta.
      seed: Its seed.
      phases: The phases to replay.
    """
    effective = 1 if self.rule == 'adam' else 1 - (self.low + self.high) / 2
    learning_rate = rate * self.scale * effective
    numbers = Numbers(learning_rate, self.high, self.low)
    replays = bool(self.partner)
    arm = Optimizer(self.rule, numbers, replays=replays, decays=True, strength=self.strength)
    return Start(arm, seed, phases)

  def loss_on(self, problem: Problem) -> PerExample:
    """Returns the loss of each example that it is trained with."""
    plain = loss_of(problem)
    kind, _, number = self.loss.partition('-')
    if kind == 'gce':
      return losses.generalised_cross_entropy(float(number))
    if kind == 'tilted':
      return losses.tilted(plain, -float(number))
    if kind == 'smoothed':
      return losses.smoothed_cross_entropy(float(number))
    return losses.huber(float(number)) if kind == 'huber' else plain


def loss_of(problem: Problem) -> PerExample:
  """Returns the loss of a problem."""
  return losses.half_squared_error if problem.classes == 1 else cross_entropy


def pair_methods(low: float, high: float, rule: Rule = 'algorithm1') -> Sequence[Method]:
  """Returns LCAM with two momenta, and its yoked control."""
  end = '' if rule == 'algorithm1' else f'-{rule}'
  name = f'low{low:g}-high{high:g}{end}'
  yoked = Method(f'yoked{low:g}-{high:g}{end}', rule, low, high, partner=name)
  return Method(name, rule, low, high), yoked
