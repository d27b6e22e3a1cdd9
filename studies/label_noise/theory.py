r"""Predicts from losses how much wrong labels count with LCAM, and which direction pays.

LCAM gives the gradient of a batch the total weight ``S (1 + d (s - mean s))``, with ``d`` half the
difference of its momenta and ``s`` the side of the batch's loss (docs/theory.md). A wrong label has a
high loss, once a network has learnt the rest, and so it raises the loss of its batch: ``s`` is more often
+1 in its batches than in others. How much more follows from the share of wrong labels, the losses of
right and of wrong ones, and the size of the batch.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

Losses = Float[np.ndarray, ' examples']

_BATCHES = 40_000  # that are drawn


class Distributions(NamedTuple):
  """The losses of examples during a run, and how many of their labels are wrong.

  Attributes:
    share: The share of wrong labels.
    right: Losses of examples with right labels, or quantiles of them.
    wrong: The same with wrong labels.
  """

  share: float
  right: Losses
  wrong: Losses

  @property
  def mean(self) -> float:
    """The mean loss of all examples."""
    return float((1 - self.share) * self.right.mean() + self.share * self.wrong.mean())

  @property
  def wrong_above_mean(self) -> float:
    """The share of wrong labels among the examples with a loss above the mean.

    Example:
      >>> losses = np.array([0.0, 0.0, 0.0, 4.0]), np.array([4.0])
      >>> Distributions(0.2, *losses).wrong_above_mean
      0.5
    """
    wrong = self.share * np.mean(self.wrong > self.mean)
    right = (1 - self.share) * np.mean(self.right > self.mean)
    return float(wrong / (wrong + right)) if wrong else 0.0


def relative_weight(losses: Distributions, batch_size: int, delta: float) -> float:
  """Returns the mean weight of the gradient of a wrong label with LCAM, divided by that of all.

  Args:
    losses: The losses during the run.
    batch_size: Examples of a batch.
    delta: Half the difference of the momenta; below 0 if the low-loss phase has the higher one.

  Example:
    >>> certain = Distributions(0.2, np.array([0.1]), np.array([3.0]))
    >>> round(relative_weight(certain, 1, -0.475), 2)  # 1 - .475 * (1 - mean s), mean s is -.6
    0.24
  """
  random = np.random.default_rng(0)
  sums = np.zeros(_BATCHES)
  for _ in range(batch_size - 1):
    sums += _draw(random, losses)
  of_all = sums + _draw(random, losses)
  of_wrong = sums + random.choice(losses.wrong, _BATCHES)
  limit = batch_size * losses.mean
  return 1 + 2 * delta * float(np.mean(of_wrong > limit) - np.mean(of_all > limit))


def _draw(random: np.random.Generator, losses: Distributions) -> Float[np.ndarray, ' batches']:
  wrong = random.random(_BATCHES) < losses.share
  return np.where(
    wrong, random.choice(losses.wrong, _BATCHES), random.choice(losses.right, _BATCHES)
  )


def pays_low(losses: Distributions) -> bool:
  """Returns whether the high momentum belongs in the low-loss phase, by the rule of the study."""
  return losses.wrong_above_mean > 0.5


def turning_share(losses: Distributions) -> float:
  """Returns the share of wrong labels from which the high momentum belongs in the low-loss phase.

  Args:
    losses: The losses of a run whose losses would hardly change with the share.
  """
  shares = np.arange(0.001, 0.5, 0.001)
  above = [pays_low(losses._replace(share=share)) for share in shares]
  return float(shares[np.argmax(above)]) if any(above) else float('nan')


def largest_relative_weight(share: float, batch_size: int, delta: float) -> float:
  """Returns a bound of :func:`relative_weight` in large batches, whatever the losses are.

  A batch's loss is then nearly normal, a wrong label moves it by ``z / sqrt(batch_size)`` of its
  standard deviation, and ``z``, by how many standard deviations the mean loss of wrong labels is above
  the mean, is at most ``sqrt((1 - share) / share)``.
  """
  z = ((1 - share) / share) ** 0.5
  return 1 + delta * (2 / np.pi) ** 0.5 * z / batch_size**0.5
