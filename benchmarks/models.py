"""Measures the speed of a training step: python -m benchmarks.models [seconds for each number].

Prints the examples a second of each network, and on a CPU the speed-up by two candidates that the
networks do not use:

* the weight gradient of 3x3 convolutions as one matrix product, in the place of XLA's convolution;
* huge memory pages (`GLIBC_TUNABLES=glibc.malloc.hugetlb=1`, set before Python starts; Linux).

What is compared takes turns, step by step or process by process, so that both meet the same load.
"""

import os
import statistics
import subprocess
import sys
import time
from functools import partial

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax import lax

import models

# name: network, shape of a batch
_NETWORKS = {
  'WRN-10-1': (partial(models.WideResNet, 10, 1, 10), (128, 32, 32, 3)),
  'WRN-16-1': (partial(models.WideResNet, 16, 1, 10), (128, 32, 32, 3)),
  'WRN-16-4': (partial(models.WideResNet, 16, 4, 10), (128, 32, 32, 3)),
  'M11': (partial(models.M11, 10), (128, 8000)),
  'ViT-Ti/16': (partial(models.vit_ti16, 10), (8, 224, 224, 3)),
}


def make_step(name, convolution=None):
  """Returns a function that does one step of SGD with momentum and waits for it."""
  make, shape = _NETWORKS[name]
  model = make(rngs=nnx.Rngs(0))
  if convolution is not None:
    model.set_attributes(nnx.Conv, conv_general_dilated=convolution)
  graphdef, params, rest = nnx.split(model, nnx.Param, ...)
  optimizer = optax.sgd(0.1, momentum=0.9)
  inputs = jax.random.normal(jax.random.key(0), shape)
  labels = jnp.arange(shape[0]) % 10

  def loss_fn(params, rest):
    model = nnx.merge(graphdef, params, rest, copy=True)
    loss = optax.softmax_cross_entropy_with_integer_labels(model(inputs), labels).mean()
    return loss, nnx.split(model, nnx.Param, ...)[2]

  @partial(jax.jit, donate_argnums=(0, 1, 2))
  def step(params, rest, state):
    gradients, rest = jax.grad(loss_fn, has_aux=True)(params, rest)
    updates, state = optimizer.update(gradients, state, params)
    return optax.apply_updates(params, updates), rest, state

  carry = params, rest, optimizer.init(params)

  def run():
    nonlocal carry
    carry = jax.block_until_ready(step(*carry))

  run()
  return run


def median_seconds(runs, seconds):
  """Times `runs` in turn for `seconds` each; returns the median of each."""
  times = [[] for _ in runs]
  end = time.perf_counter() + seconds * len(runs)
  while time.perf_counter() < end or len(times[0]) < 3:
    for run, measured in zip(runs, times, strict=True):
      start = time.perf_counter()
      run()
      measured.append(time.perf_counter() - start)
  return [statistics.median(measured) for measured in times]


def convolution_with_product(inputs, kernel, strides, padding, **options):
  """A convolution whose weight gradient, if it is 3x3 of stride 1, is one matrix product."""
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


def weight_gradient(inputs, gradient):
  """The gradient of a padded 3x3 kernel: 3 shifts along the rows times 3 along the columns."""
  left = jnp.concatenate([_shifted(inputs, 2, by) for by in (-1, 0, 1)], axis=-1)
  right = jnp.concatenate([_shifted(gradient, 1, -by) for by in (-1, 0, 1)], axis=-1)
  product = jnp.tensordot(left, right, axes=((0, 1, 2), (0, 1, 2)))
  product = product.reshape(3, inputs.shape[-1], 3, gradient.shape[-1])
  return product.transpose(2, 0, 1, 3)


def _shifted(x, axis, by):
  padding = [(0, 0, 0)] * x.ndim
  padding[axis] = (-by, by, 0)
  return lax.pad(x, jnp.zeros((), x.dtype), padding)


def seconds_in_a_process(name, seconds, tunables):
  """Times the step of `name` in a Python of its own."""
  environment = {**os.environ, 'GLIBC_TUNABLES': tunables}
  command = [sys.executable, '-m', 'benchmarks.models', str(seconds), name]
  return float(subprocess.check_output(command, env=environment, text=True))


def main(seconds=10.0, only=None):
  """Prints all numbers, or the seconds of a step of the network `only`."""
  if only is not None:
    print(median_seconds([make_step(only)], seconds)[0])
    return
  for name, (_, shape) in _NETWORKS.items():
    (step_seconds,) = median_seconds([make_step(name)], seconds)
    print(f'{name:10} {shape[0] / step_seconds:8.0f} examples a second', flush=True)
  if jax.default_backend() != 'cpu':
    return
  for name in ('WRN-10-1', 'WRN-16-1', 'WRN-16-4'):
    plain, product = median_seconds(
      [make_step(name), make_step(name, convolution_with_product)], seconds
    )
    print(f'{name:10} {plain / product:8.2f} times as fast with one product', flush=True)
  for name in ('WRN-10-1', 'WRN-16-4', 'M11'):
    ratios = [
      seconds_in_a_process(name, seconds, 'glibc.malloc.hugetlb=0')
      / seconds_in_a_process(name, seconds, 'glibc.malloc.hugetlb=1')
      for _ in range(3)
    ]
    print(f'{name:10} {statistics.median(ratios):8.2f} times as fast with huge pages', flush=True)


if __name__ == '__main__':
  main(*map(float, sys.argv[1:2]), *sys.argv[2:3])
