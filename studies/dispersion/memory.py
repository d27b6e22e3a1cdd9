"""What the running mean remembers: how much of the luck of a batch weighs its own gradient.

An addition to the theory, made after the cells of delta 0.25 on digits, digits-softmax and (batch
8 only) one-hot had been seen, in which ``equation9`` was not 0 but had the opposite sign of
``algorithm1``, and committed before the other cells were run: for those it is a prediction.

The loss is compared with a mean of the losses of the same epoch. A batch with bad luck raises that
mean, so that the next losses are more likely to be low; and since an epoch visits every example
once, what remains is easier too. With ``L`` the lucks of an epoch of ``n`` batches (variance 1,
correlation ``-1 / (n - 1)``), the phase of step t is the sign of ``L_t - mean(L_1 .. L_t)``, whose
covariance with ``L_j`` is ``sqrt(2 / pi) * rho(t, j)``, ``rho`` their correlation. The phase of step
t multiplies the trace when the gradient of step j <= t has the weight ``c**(t - j)`` in it with
``algorithm1``, and ``c**(t - j - 1)``, j < t, with ``equation9``. The sums of these, averaged over
the epoch, say how much of ``delta / sqrt(B)`` is left; the rest of the theory stays.

Prediction: the contrasts of the three rules, each divided by its share, are the same.
"""

from typing import NamedTuple

import numpy as np


class Shares(NamedTuple):
  """The share of a batch's luck that weights its own gradient, for each rule; 1 without memory.

  Attributes:
    algorithm1: See :func:`lcam_optax.lcam`.
    equation9: See :func:`lcam_optax.lcam`; 0 without memory.
    weights: See :func:`studies.arms.make_optimizer`.
  """

  algorithm1: float
  equation9: float
  weights: float


def shares_of_luck(steps_per_epoch: int, momentum: float, restart: int | None = None) -> Shares:
  """Returns the shares for a mean that restarts every epoch, or more often.

  Args:
    steps_per_epoch: The number of batches in an epoch, at least 2, without replacement.
    momentum: The mean momentum, c.
    restart: The number of batches after which the mean restarts, a divisor of ``steps_per_epoch``;
      None is the epoch.

  Returns:
    The shares.

  Example:
    >>> [round(share, 2) for share in shares_of_luck(8, 0.7)]
    [0.44, -0.53, 0.81]
  """
  n = steps_per_epoch
  lucks = np.full((n, n), -1 / (n - 1))  # the covariances of the lucks
  np.fill_diagonal(lucks, 1)
  step = np.arange(n)
  first = step - step % (restart or n)  # the first batch in the mean of each step
  held = (step >= first[:, None]) & (step <= step[:, None])
  excess = np.eye(n) - held / held.sum(1, keepdims=True)
  deviations = np.sqrt(np.diag(excess @ lucks @ excess.T).clip(0))
  decided = held.sum(1) > 1  # the first loss is a tie
  correlations = np.zeros((n, n))
  correlations[decided] = (excess @ lucks)[decided] / deviations[decided, None]
  age = step[:, None] - step
  kept = np.where(age >= 0, momentum ** np.maximum(age, 0), 0)  # weight of gradient j in trace t
  before = np.where(age >= 1, momentum ** np.maximum(age - 1, 0), 0)  # in the trace before t
  return Shares(
    algorithm1=float((correlations * kept).sum() / n),
    equation9=float((correlations * before).sum() / n),
    weights=float(np.diag(correlations).sum() / n),
  )
