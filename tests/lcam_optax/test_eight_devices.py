"""Training on eight devices against NumPy, and what must be averaged over them."""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from tests.lcam_optax import eight_devices, reference

pytestmark = pytest.mark.training

ROOT = pathlib.Path(__file__).parents[2]
# Compiles in half the time; the arithmetic is the same.
FLAGS = '--xla_force_host_platform_device_count=8 --xla_backend_optimization_level=0'


@pytest.fixture(scope='module')
def trained():
  done = subprocess.run(
    [sys.executable, '-m', eight_devices.__name__],
    env=os.environ | {'JAX_PLATFORMS': 'cpu', 'XLA_FLAGS': FLAGS},
    cwd=ROOT,
    check=True,
    capture_output=True,
    text=True,
  )
  return json.loads(done.stdout)


def expected(optimizer, rule, lr=0.1):
  """Trains in NumPy; the losses depend on the parameters, so a batch is added at a time."""
  losses, batches = [], np.float64(eight_devices.INPUTS)

  def params_before(step):
    grads = iter(range(step))

    def gradient(params):
      inputs = batches[next(grads)]
      return 2 * inputs.T @ (inputs @ params - 1) / len(inputs)

    mean = {'rule': rule, 'steps_per_epoch': 4}
    momenta = reference.momenta(losses, high=0.9, low=0.3, **mean)
    loop = {'lcam': sgd, 'adam': reference.adam, 'lion': reference.lion}[optimizer]
    return [eight_devices.START, *loop(eight_devices.START, gradient, momenta, lr=lr)][-1]

  for step, inputs in enumerate(batches):
    losses.append(np.float32(np.mean((inputs @ params_before(step) - 1) ** 2)))
  return params_before(len(batches))


def sgd(params, gradient, momenta, *, lr):
  trace = 0.0
  for momentum in momenta:
    trace = gradient(params) + momentum * trace
    params = params - lr * trace
    yield params


def assert_all_are(replicas, params):
  assert len(replicas) == eight_devices.DEVICES
  for replica in replicas:
    assert replica == replicas[0]
  np.testing.assert_allclose(replicas[0], params, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('rule', eight_devices.RULES)
@pytest.mark.parametrize('optimizer', ['lcam', 'adam', 'lion'])
def test_jit_over_a_divided_batch(trained, optimizer, rule):
  assert_all_are(trained[f'jit {optimizer} {rule}'], expected(optimizer, rule))


@pytest.mark.parametrize('check_vma', [True, False])
def test_losses_gathered_inside_shard_map_give_the_weights_of_the_whole_batch(trained, check_vma):
  inputs = np.float64(eight_devices.INPUTS[0])
  errors = inputs @ eight_devices.START - 1
  side = np.where(errors**2 > (errors**2).mean(), 1, -1)
  weights = 1 - 0.475 * (side - side.mean())
  assert_all_are(trained[f'weights {check_vma}'], (weights * 2 * errors) @ inputs / len(inputs))


# In the order of the program: check_vma, is the loss averaged inside the function that is
# differentiated, is it averaged afterwards, are the gradients.


@pytest.mark.parametrize(
  'ways',
  [
    (True, True, False, True),  # as in docs/choosing.md, with both settings of check_vma
    (False, True, False, True),
    (True, True, True, True),
    (True, True, False, False),
    (False, False, True, True),
  ],
)
def test_shard_map_averaged_as_it_should_be(trained, ways):
  assert_all_are(trained[f'shard_map {" ".join(map(str, ways))}'], expected('lcam', 'equation9'))


@pytest.mark.parametrize(
  'ways',
  [
    (False, False, False, False),
    (False, False, False, True),  # the momenta differ, though the gradients do not
    (False, False, True, False),
    (False, True, False, False),
  ],
)
def test_without_check_vma_replicas_disagree_in_silence(trained, ways):
  replicas = np.array(trained[f'shard_map {" ".join(map(str, ways))}'])
  assert np.ptp(replicas, axis=0).max() > 0.1


@pytest.mark.parametrize('average_grads', [False, True])
def test_with_check_vma_a_loss_that_is_not_averaged_raises(trained, average_grads):
  result = trained[f'shard_map True False False {average_grads}']
  assert isinstance(result, str), 'no error'
  assert 'out_specs' in result


@pytest.mark.parametrize('average_grads', [False, True])
def test_with_check_vma_the_loss_averaged_afterwards_gives_a_sum_of_gradients(
  trained, average_grads
):
  params = expected('lcam', 'equation9', lr=0.1 * eight_devices.DEVICES)
  assert_all_are(trained[f'shard_map True False True {average_grads}'], params)
