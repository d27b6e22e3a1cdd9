"""Defines the losses of each example that rivals are trained with."""

import functools

import jax
import jax.numpy as jnp
import optax

from train import cross_entropy
from train.problem.comparison import PerExample


def half_squared_error(outputs: jax.Array, targets: jax.Array) -> jax.Array:
  """Returns half the squared error of each example of a regression."""
  return (outputs[:, 0] - targets) ** 2 / 2


def absolute_error(outputs: jax.Array, targets: jax.Array) -> jax.Array:
  """Returns the absolute error of each example of a regression."""
  return jnp.abs(outputs[:, 0] - targets)


@functools.cache
def generalised_cross_entropy(q: float) -> PerExample:
  """Returns the loss ``(1 - p**q) / q``, p the probability of the label.

  References:
    Zhang and Sabuncu, Generalized Cross Entropy Loss for Training Deep Neural Networks with Noisy
    Labels, NeurIPS 2018.
  """
  return tilted(cross_entropy, -q)


@functools.cache
def tilted(loss: PerExample, t: float) -> PerExample:
  """Returns ``(exp(t * loss) - 1) / t``, whose gradient :func:`studies.arms.tilt` completes."""

  def tilted_loss(outputs: jax.Array, targets: jax.Array) -> jax.Array:
    return jnp.expm1(t * loss(outputs, targets)) / t

  return tilted_loss


@functools.cache
def smoothed_cross_entropy(share: float) -> PerExample:
  """Returns the cross-entropy with labels of which a share is spread over all classes."""

  def smoothed_loss(logits: jax.Array, labels: jax.Array) -> jax.Array:
    uniform = -jax.nn.log_softmax(logits).mean(-1)
    return (1 - share) * cross_entropy(logits, labels) + share * uniform

  return smoothed_loss


@functools.cache
def huber(delta: float) -> PerExample:
  """Returns Huber's loss, quadratic up to ``delta`` and linear from there."""

  def huber_loss(outputs: jax.Array, targets: jax.Array) -> jax.Array:
    return optax.huber_loss(outputs[:, 0], targets, delta=delta)

  return huber_loss
