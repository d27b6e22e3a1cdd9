"""Training on eight devices gives the numbers of one."""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from tests.train import eight_devices

ROOT = pathlib.Path(__file__).parents[3]
# Compiles in half the time; the arithmetic is the same.
FLAGS = '--xla_force_host_platform_device_count=8 --xla_backend_optimization_level=0'
NETWORKS = pytest.mark.parametrize('network', eight_devices.NETWORKS)


@pytest.fixture(scope='module')
def found():
  done = subprocess.run(
    [sys.executable, '-m', eight_devices.__name__],
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
def test_eight_devices_train_as_one_does(found, network):
  one, eight = found[network]['one'], found[network]['eight']
  assert_close(eight['records'], one['records'])
  assert eight['phases'] == one['phases']
  assert 0 < sum(one['phases']) < len(one['phases']), 'only one phase came'


@pytest.mark.parametrize('network', ['wrn', 'm11'])
def test_batch_norm_is_over_the_whole_batch(found, network):
  one, eight = (found[network][name]['batch_statistics'] for name in ('one', 'eight'))
  assert len(one) == len(eight) > 0
  for expected, statistics in zip(one, eight, strict=True):
    # Means of activations may be near zero.
    np.testing.assert_allclose(statistics, expected, rtol=1e-4, atol=1e-5)


@NETWORKS
def test_devices_share_sums_and_nothing_else(found, network):
  assert found[network]['collectives'] == ['all-reduce']


@NETWORKS
def test_all_devices_hold_the_same_numbers(found, network):
  assert found[network]['eight']['replicas_agree']


def test_streamed_data_give_the_same_numbers(found):
  assert_close(found['streamed']['records'], found['vit']['one']['records'])
  assert found['streamed']['phases'] == found['vit']['one']['phases']


@pytest.mark.parametrize('name', ['8 to 1', '1 to 8'])
def test_a_run_goes_on_with_another_number_of_devices(found, name):
  assert found[name]['start'] == 1
  assert_close(found[name]['records'], found['vit']['one']['records'][1:])
  assert found[name]['phases'] == found['vit']['one']['phases']


def test_as_many_devices_as_divide_the_batch_are_used_and_told(found):
  assert found['vit']['one']['where'] == ''
  assert found['vit']['eight']['where'] == 'On 8 devices, 2 rows of a batch on each.'
  assert found['chosen'] == [
    [8, 'On 8 devices, 2 rows of a batch on each.'],
    [5, 'Batch 50 on 8 devices: 5 are used, the most that divide it evenly.'],
    [1, 'Batch 13 on 8 devices: 1 is used, the most that divide it evenly.'],
    [4, 'Batch 12 on 5 devices: 4 are used, the most that divide it evenly.'],
  ]


@pytest.mark.parametrize(('number', 'sentence'), [(2, 'not 2: lower --devices'), (0, 'at least 1')])
def test_devices_that_there_are_not_are_refused(tmp_path, refused, number, sentence):
  assert sentence in refused('run', 'quickstart', '--devices', number, '--workdir', tmp_path)
