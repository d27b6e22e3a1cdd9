"""Predicts the first and second moments on a noisy quadratic, step by step.

The loss of an example x is ``sum_i h_i (theta_i - x_i)**2 / 2`` with ``x_i`` normal of mean 0 and
variance ``1 / h_i``, so that the modes differ only in their stiffness. docs/theory.md has the
derivation.
"""

import dataclasses
import math
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float

Modes = Float[np.ndarray, ' modes']


@dataclasses.dataclass(frozen=True)
class Quadratic:
  """A noisy quadratic and how it is minimized.

  Attributes:
    stiffness: Learning rate times the second derivative of each mode; the learning rate is 1.
    batch_size: Examples per step.
    mean_momentum: c.
    delta: The high-loss momentum is ``c + delta``, the low-loss momentum ``c - delta``.
    rule: See :func:`lcam_optax.lcam`.
    steps: The number of steps.
  """

  stiffness: tuple[float, ...]
  batch_size: int
  mean_momentum: float
  delta: float
  rule: Literal['algorithm1', 'equation9']
  steps: int

  @property
  def start(self) -> Modes:
    """The start of every run, at which the loss of each mode is twice that of its noise."""
    return np.sqrt(2 / np.asarray(self.stiffness))

  @property
  def critical_stiffness(self) -> float:
    """The stiffness above which modes are underdamped: they oscillate."""
    return (1 - math.sqrt(self.mean_momentum)) ** 2


QUADRATIC = Quadratic(
  stiffness=tuple(np.geomspace(0.0007, 0.5, 9).tolist()),
  batch_size=8,
  mean_momentum=0.7,
  delta=0.25,
  rule='algorithm1',
  steps=200,
)  # of the study


class Moments(NamedTuple):
  """Moments before every step.

  Attributes:
    mean: The mean of the parameters.
    square: The mean of their squares.
  """

  mean: Float[np.ndarray, 'steps modes']
  square: Float[np.ndarray, 'steps modes']


def predict(problem: Quadratic, *, yoked: bool = False) -> Moments:
  """Returns the moments that the theory predicts.

  It assumes that the phase ``s`` is the sign of the luck of the batch, independent of all earlier
  ones, and that its covariances with the gradient are those of a normal variable.

  Args:
    problem: The quadratic.
    yoked: Whether the phase is that of another run, without covariance with the gradient.
  """
  h = np.asarray(problem.stiffness)
  c, d, batch = problem.mean_momentum, problem.delta, problem.batch_size
  theta, trace = problem.start, np.zeros_like(h)  # means
  a, b, m = theta**2, np.zeros_like(h), np.zeros_like(h)  # of theta^2, theta * trace, trace^2
  s_trace, s_square = np.zeros_like(h), np.zeros_like(h)  # of s * trace, s * trace^2
  s_cross = np.zeros_like(h)  # of s * theta * trace
  means, squares = [], []
  for _ in range(problem.steps):
    means.append(theta)
    squares.append(a)
    # E[s e] = k theta, E[s e^2] = q, with e the noise of the gradient and sigma the spread.
    sigma = math.sqrt(float(np.sum(h * a)) + len(h) / 2)
    k = 0 * h if yoked else math.sqrt(2 / math.pi / batch) * h / sigma
    q = k / batch
    if problem.rule == 'algorithm1':  # beta = c + d * s of the step before
      beta_trace = c * trace + d * s_trace
      cross = c * b + d * s_cross
      beta_square = (c**2 + d**2) * m + 2 * c * d * s_square
      extra = 0.0
    else:  # beta = c + d * s of this step, which correlates with its noise
      beta_trace, cross, beta_square = c * trace, c * b, (c**2 + d**2) * m
      extra = 2 * d * k * b
    trace = h * theta + beta_trace
    m = h**2 * a + h / batch + 2 * h * cross + beta_square + extra
    at_theta = h * a + cross  # of theta * trace, both of this step
    s_trace, s_square, s_cross = k * theta, 2 * k * at_theta + q, k * a
    theta, b, a = theta - trace, at_theta - m, a - 2 * at_theta + m
    # theta is now that of the next step, so s * theta * trace must be, too.
    s_cross = s_cross - s_square
  return Moments(np.array(means), np.array(squares))
