"""Measures the speed of the trainer's step with each network.

    python -m benchmarks.models [--networks WRN-10-1 M11] [--seconds 10]

Prints the examples a second of each network. On a CPU it also prints the speed-up of the wide
residual networks by an alternative that they do not use: the weight gradient of 3x3 convolutions as
one matrix product instead of XLA's convolution. Both take turns, step by step, under the same load.
"""

import dataclasses
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import tyro
from flax import nnx
from jax import lax

from benchmarks.training_step import (
  COMPARISONS,
  find_comparison,
  median_seconds,
  setting,
  training,
)
from train.problem.comparison import Comparison
from train.problem.networks import WideResNet


def main(networks: tuple[str, ...] = tuple(COMPARISONS), seconds: float = 10.0) -> None:
  """Prints examples a second and speed-ups.

  Args:
    networks: Which networks.
    seconds: How long each step is timed.
  """
  comparisons = [find_comparison(network) for network in networks]
  print(setting())
  for comparison in comparisons:
    name = comparison.name
    steps = [_step(comparison)]
    if jax.default_backend() == 'cpu' and isinstance(comparison.network, WideResNet):
      steps.append(_step(with_convolution(comparison, convolution_with_product)))
    plain, *tried = median_seconds(steps, seconds)
    print(f'{name:16}{comparison.batch_size / plain:8.0f} examples a second', flush=True)
    for product in tried:
      print(f'{name:16}{plain / product:8.2f} times as fast with one product', flush=True)


def _step(comparison: Comparison) -> Callable[[], None]:
  step = partial(training(comparison), 1)
  step()  # compiles
  return step


def with_convolution(comparison: Comparison, convolution: Callable) -> Comparison:
  """Returns the comparison with another convolution function in its wide residual network."""
  plain = comparison.network
  assert isinstance(plain, WideResNet)

  def network(num_classes: int, rngs: nnx.Rngs) -> nnx.Module:
    model = plain.build(num_classes, dtype=comparison.dtype, rngs=rngs)
    model.set_attributes(nnx.Conv, conv_general_dilated=convolution)
    return model

  return dataclasses.replace(comparison, network=network)


def convolution_with_product(inputs, kernel, strides, padding, **options):
  """Convolves; the weight gradient of a 3x3 kernel with stride 1 is one matrix product."""
  plain = partial(lax.conv_general_dilated, window_strides=strides, padding=padding, **options)
  if kernel.shape[:2] != (3, 3) or tuple(strides) != (1, 1):
    return plain(inputs, kernel)

  @jax.custom_vjp
  def convolve(inputs, kernel):
    return plain(inputs, kernel)

  def forward(inputs, kernel):
    return plain(inputs, kernel), (inputs, kernel)

  def backward(residuals, gradient):
    inputs, kernel = residuals
    _, transpose = jax.vjp(lambda inputs: plain(inputs, kernel), inputs)
    return *transpose(gradient), weight_gradient(inputs, gradient)

  convolve.defvjp(forward, backward)
  return convolve(inputs, kernel)


def weight_gradient(inputs: jax.Array, gradient: jax.Array) -> jax.Array:
  """Returns the gradient of a padded 3x3 kernel: 3 shifts along rows times 3 along columns.

  Args:
    inputs: The inputs of the convolution, of shape (batch, height, width, channels).
    gradient: The gradient of the outputs, of the same height and width.
  """
  left = jnp.concatenate([_shifted(inputs, 2, by) for by in (-1, 0, 1)], axis=-1)
  right = jnp.concatenate([_shifted(gradient, 1, -by) for by in (-1, 0, 1)], axis=-1)
  product = jnp.tensordot(left, right, axes=((0, 1, 2), (0, 1, 2)))
  product = product.reshape(3, inputs.shape[-1], 3, gradient.shape[-1])
  return product.transpose(2, 0, 1, 3)


def _shifted(x, axis, by):
  padding = [(0, 0, 0)] * x.ndim
  padding[axis] = (-by, by, 0)
  return lax.pad(x, jnp.zeros((), x.dtype), padding)


if __name__ == '__main__':
  tyro.cli(main)
