"""Training on eight devices gives the numbers of one."""

import functools
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from tests.train.support import ROOT
from tests.train.system import eight_devices

pytestmark = pytest.mark.training
# Compiles in half the time; the arithmetic is the same.
FLAGS = '--xla_force_host_platform_device_count=8 --xla_backend_optimization_level=0'
LARGE = [pytest.param(network, marks=pytest.mark.slow) for network in ('m11', 'wrn', 'vit')]
NETWORKS = pytest.mark.parametrize('network', ['small', *LARGE])


@functools.cache
def found_with(network):
  """Returns what `eight_devices` prints."""
  done = subprocess.run(
    [sys.executable, '-m', eight_devices.__name__, network],
    env=os.environ | {'JAX_PLATFORMS': 'cpu', 'XLA_FLAGS': FLAGS},
    cwd=ROOT,
    check=True,
    stdout=subprocess.PIPE,
    text=True,
  )
  return json.loads(done.stdout)


def assert_close(records, expected):
  assert len(records) == len(expected) > 0
  np.testing.assert_allclose(records, expected, rtol=1e-5)


@NETWORKS
def test_eight_devices_train_as_one_does(network):
  one, eight = (found_with(network)[name] for name in ('one', 'eight'))
  assert_close(eight['records'], one['records'])
  assert eight['phases'] == one['phases']
  assert 0 < sum(one['phases']) < len(one['phases']), 'only one phase came'


@pytest.mark.parametrize('network', ['small', *LARGE[:2]])
def test_batch_norm_is_over_the_whole_batch(network):
  one, eight = (found_with(network)[name]['batch_statistics'] for name in ('one', 'eight'))
  assert len(one) == len(eight) > 0
  for expected, statistics in zip(one, eight, strict=True):
    # Means of activations may be near zero.
    np.testing.assert_allclose(statistics, expected, rtol=1e-4, atol=1e-5)


@NETWORKS
def test_devices_share_sums_and_nothing_else(network):
  assert found_with(network)['collectives'] == ['all-reduce']


@NETWORKS
def test_all_devices_hold_the_same_numbers(network):
  assert found_with(network)['eight']['replicas_agree']


# The eight devices of '8 to 1' stream the data.
@pytest.mark.parametrize('name', ['8 to 1', '1 to 8'])
def test_a_run_goes_on_with_another_number_of_devices(name):
  one, resumed = found_with('small')['one'], found_with('small')[name]
  assert resumed['start'] == 1
  assert_close(resumed['records'], one['records'][1:])
  assert resumed['phases'] == one['phases']


def test_as_many_devices_as_divide_the_batch_are_used_and_told():
  found = found_with('small')
  assert found['one']['where'] == ''
  assert found['eight']['where'] == 'On 8 devices, 2 rows of a batch on each.'
  assert found['chosen'] == [
    [8, 'On 8 devices, 2 rows of a batch on each.'],
    [5, 'Batch 50 on 8 devices: 5 are used, the most that divide it evenly.'],
    [1, 'Batch 13 on 8 devices: 1 is used, the most that divide it evenly.'],
    [4, 'Batch 12 on 5 devices: 4 are used, the most that divide it evenly.'],
  ]


@pytest.mark.parametrize(('number', 'sentence'), [(2, 'not 2: lower --devices'), (0, 'at least 1')])
def test_devices_that_there_are_not_are_refused(tmp_path, refused, number, sentence):
  assert sentence in refused('run', 'digits', '--devices', number, '--workdir', tmp_path)
