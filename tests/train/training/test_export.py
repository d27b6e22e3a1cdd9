"""The training steps of all experiments, lowered for chips that are not here: what costs there."""

import dataclasses
import functools
import os
import re
import subprocess
import sys

import pytest

from tests.train.support import ROOT, assert_state_is_donated, batch_arguments, operations
from train.command.costs import abstract_step
from train.problem.experiments import FIGURE_3, SPEECH, VIT_CIFAR10
from train.problem.networks import VitB16, WideResNet

pytestmark = pytest.mark.training
BATCH = 7  # no other size in the networks, so that it tells activations from weights
HIDDEN, HEADS = 768, 12
IMAGE = 48  # other than the data set's, so that images are resized
COMPARISONS = {
  'wrn': dataclasses.replace(FIGURE_3, network=WideResNet(16, 4)),
  'm11': SPEECH,
  'vit': dataclasses.replace(VIT_CIFAR10, network=VitB16(image_size=IMAGE)),
}
NETWORKS = pytest.mark.parametrize('network', COMPARISONS)
PLATFORMS = pytest.mark.parametrize('platform', ['cuda', 'tpu'])

# Channels stay the last axis of activations: batch, positions, channels. The third kind is the
# gradient of a kernel, which contracts the batch.
CHANNELS_LAST = {
  '[b, 0, 1, f]x[0, 1, i, o]->[b, 0, 1, f]',
  '[b, 0, 1, f]x[0, 1, o, i]->[b, 0, 1, f]',
  '[f, 0, 1, b]x[i, 0, 1, o]->[0, 1, b, f]',
  '[b, 0, f]x[0, i, o]->[b, 0, f]',
  '[b, 0, f]x[0, o, i]->[b, 0, f]',
  '[f, 0, b]x[i, 0, o]->[0, b, f]',
}
HOST = ('infeed', 'outfeed', 'send', 'recv', 'custom_call')

PROGRAM = """
import jax, jax.export
from tests.train.support import assert_state_is_donated, batch_arguments, operations
from train.problem.arms import Yoked
from train.command.costs import abstract_step
from train.system.devices import choose_devices
from train.problem.experiments import EXPERIMENTS

exported = set()
for comparisons in EXPERIMENTS.values():
  for comparison in comparisons:
    devices = choose_devices(comparison.batch_size)
    assert devices.count == (5 if comparison.batch_size % 8 else 8), comparison.batch_size
    for arm in comparison.arms:
      size = comparison.batch_size
      step_of = comparison.network, comparison.dataset.name, size, arm.program
      if step_of in exported or isinstance(arm, Yoked):  # which needs another run's phases
        continue
      step, state, batch = abstract_step(comparison, devices, arm)
      found = jax.export.export(step, platforms=['tpu'])(state, batch, 0, 0, 0)
      assert (found.platforms, found.nr_devices) == (('tpu',), devices.count)
      program = step.lower(state, batch, 0, 0, 0).as_text()
      scalars = 3 if comparison.dataset.kind == 'images' else 1
      assert_state_is_donated(program, state, batch_arguments(batch, scalars))
      assert not operations(program, 'custom_call')
      exported.add(step_of)
print(len(exported))
"""


@functools.cache
def step_of(network):
  """Returns a traced step that computes in bfloat16, and the shapes of its arguments."""
  comparison = dataclasses.replace(COMPARISONS[network], batch_size=BATCH, dtype='bfloat16')
  step, state, batch = abstract_step(comparison)
  return step.trace(state, batch, 0, 0, 0), state, batch


@functools.cache
def program_of(network, platform):
  traced, _, _ = step_of(network)
  return traced.lower(lowering_platforms=(platform,)).as_text()


@NETWORKS
@PLATFORMS
def test_convolutions_keep_channels_last(network, platform):
  found = operations(program_of(network, platform), 'convolution')
  assert len(found) >= 2
  for convolution in found:
    dimensions = re.search(r'dim_numbers = (.*?->\[.*?\])', convolution.line)
    assert dimensions[1] in CHANNELS_LAST, convolution.line


@NETWORKS
@PLATFORMS
def test_activations_are_not_transposed(network, platform):
  for transposed in operations(program_of(network, platform), 'transpose'):
    (tensor,) = transposed.operands
    if BATCH not in tensor.shape:
      continue  # weights
    assert network == 'vit', transposed.line
    # Attention computes head by head, and images are resized row by row; compilers choose layouts
    # in which most of these are free.
    in_heads = HEADS in tensor.shape and HIDDEN not in tensor.shape
    assert in_heads or tensor.shape == (IMAGE, BATCH, 3, IMAGE), transposed.line


@NETWORKS
@PLATFORMS
def test_products_are_of_bfloat16_where_it_was_asked_for(network, platform):
  program = program_of(network, platform)
  _, state, _ = step_of(network)
  features, classes = state.params['head']['kernel'].shape
  head = {(features, classes), (BATCH, classes), (BATCH, features)}
  products = operations(program, 'convolution') + operations(program, 'dot_general')
  wide = []
  for product in products:
    # The gradient of the softmax is float32, and rounded by the products that take it.
    rounds = 'lhs_precision_type = bf16, rhs_precision_type = bf16' in product.line
    if not rounds and any(operand.dtype != 'bf16' for operand in product.operands):
      wide.append(product)
  of_head = [p for p in wide if all(o.shape in head for o in p.operands)]
  assert len(of_head) == 3  # the last linear layer and its two gradients are float32 by design
  rest = [product for product in wide if product not in of_head]
  if network == 'vit':  # before the network, pixels are resized in float32: two thin products
    assert [max(o.shape) for p in rest for o in p.operands if len(o.shape) == 2] == [IMAGE] * 2
    rest = rest[2:]
  assert not rest
  assert len(products) > 25


@NETWORKS
@PLATFORMS
def test_steps_neither_ask_the_host_nor_compute_in_float64(network, platform):
  program = program_of(network, platform)
  assert not [operation.line for name in HOST for operation in operations(program, name)]
  assert 'stablehlo.custom_call' not in program
  assert 'callback' not in program
  assert 'f64' not in program


@NETWORKS
@PLATFORMS
def test_the_state_is_donated(network, platform):
  _, state, batch = step_of(network)
  scalars = 1 if network == 'm11' else 3  # audio is not augmented, so seed and epoch are not read
  assert_state_is_donated(program_of(network, platform), state, batch_arguments(batch, scalars))


@pytest.mark.slow
def test_every_experiment_exports_for_eight_chips_of_a_tpu():
  done = subprocess.run(
    [sys.executable, '-c', PROGRAM],
    env=os.environ
    | {'JAX_PLATFORMS': 'cpu', 'XLA_FLAGS': '--xla_force_host_platform_device_count=8'},
    cwd=ROOT,
    check=True,
    stdout=subprocess.PIPE,
    text=True,
  )
  assert int(done.stdout) > 10
