"""Defines the methods to tune; all turn the same two searched numbers into optimizer numbers."""

import dataclasses
from typing import Literal, NamedTuple

import jax
import optax

from studies import arms
from studies.arms import Numbers

Rule = Literal['sgd', 'equation9', 'algorithm1', 'weights', 'momo']
LARGEST_MOMENTUM = 0.99


class Point(NamedTuple):
  """The two numbers that are tuned.

  Attributes:
    effective_rate: The learning rate divided by one minus the mean momentum: how far a gradient
      moves the weights in total.
    momentum: The mean momentum.
  """

  effective_rate: float
  momentum: float


@dataclasses.dataclass(frozen=True)
class Method:
  """A method of training with two numbers to tune.

  Attributes:
    name: Its name in tables.
    rule: The optimizer.
    delta: Half the difference of LCAM's momenta, or the strength of a reweighting; negative if the
      low-loss phase has the higher momentum or weight.
  """

  name: str
  rule: Rule
  delta: float = 0.0

  def numbers(self, point: Point) -> Numbers:
    """Returns the numbers of its optimizer at a point of the search."""
    high, low = point.momentum + self.delta, point.momentum - self.delta
    if self.rule in ('equation9', 'algorithm1'):
      high, low = (min(max(momentum, 0.0), LARGEST_MOMENTUM) for momentum in (high, low))
    if self.rule == 'momo':  # its trace is a mean of gradients, so this is the learning rate
      return Numbers(point.effective_rate, high, low)
    return Numbers(point.effective_rate * (1 - (high + low) / 2), high, low)


def make_optimizer(
  rule: Rule, steps_per_epoch: int, numbers: Numbers, phases: jax.Array | None = None
) -> optax.GradientTransformationExtraArgs:
  """Returns the optimizer of a rule.

  Args:
    rule: The rule; for those of LCAM and 'weights' see :func:`studies.arms.make_optimizer`.
    steps_per_epoch: The number of updates after which the mean of the losses restarts.
    numbers: The numbers, which may be traced; 'sgd' and 'momo' use the first momentum.
    phases: The phase of every step, to replay; None to decide by the loss.

  Returns:
    A transformation whose ``update`` needs ``value``.
  """
  if rule == 'sgd':
    sgd = optax.sgd(numbers.learning_rate, numbers.high_loss_momentum)
    return optax.with_extra_args_support(sgd)
  if rule == 'momo':
    return optax.contrib.momo(numbers.learning_rate, numbers.high_loss_momentum)
  return arms.make_optimizer(rule, steps_per_epoch, numbers, phases)
