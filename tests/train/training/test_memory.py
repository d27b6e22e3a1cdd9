"""What is told of the memory that a training takes."""

import re
from functools import partial

import jax
import jax.numpy as jnp
import pytest

from tests.train.support import run_command
from train.data import find_source, inputs
from train.system.devices import ONE_DEVICE
from train.training import memory
from train.training.memory import memory_of


@partial(jax.jit, donate_argnums=0)
def step(state, batch):
  return state + batch.sum()


PARTS = ('inputs', 'labels')
STATE = jax.ShapeDtypeStruct((1_000_000,), jnp.float32)
BATCH = jax.ShapeDtypeStruct((250_000,), jnp.float32)


@pytest.fixture(scope='module')
def program():
  return step.lower(STATE, BATCH).compile()


def test_what_is_donated_is_counted_once(program):
  found = memory_of(program, STATE, find_source('digits'))
  assert found.state == 4_000_000
  assert 5_000_000 <= found.step < 5_100_000


def test_data_are_those_that_are_loaded(program):
  source = find_source('digits')
  dataset = source.load()
  arrays = [getattr(split, part) for split in (dataset.train, dataset.test) for part in PARTS]
  assert memory_of(program, STATE, source).data == sum(array.nbytes for array in arrays)


@pytest.mark.parametrize(('spare', 'resident'), [(0, 1797), (-1, 797)])
def test_devices_with_memory_of_their_own_hold_what_is_not_streamed(
  program, monkeypatch, spare, resident
):
  example = 8 * 8 * 3 + 4
  for module in (inputs, memory):
    monkeypatch.setattr(module, 'device_memory', lambda: 4 * 1000 * example + spare)
  monkeypatch.setattr(jax, 'default_backend', lambda: 'gpu')
  found = memory_of(program, STATE, find_source('digits'))
  assert found.resident == resident * example
  assert not found.fits
  lines = found.describe(ONE_DEVICE, 'fixed-0.9', ('fixed-0.9', 0))
  assert lines[0].startswith('memory of this device (cpu): at least 4.77 MiB for a training step ')
  assert ' step of fixed-0.9, 3.81 MiB of it the state, and ' in lines[0]
  assert ' for the data: more than its 766 KiB' in lines[0]
  assert lines[1] == (
    'memory of the host: 344 KiB for the data, up to 11.4 MiB while a checkpoint is written'
  )


def test_a_cpu_reads_data_where_they_are(program):
  found = memory_of(program, STATE, find_source('cifar10'))
  assert found.resident == 0
  assert found.fits
  assert found.data == 60_000 * (32 * 32 * 3 + 4)


def test_named_experiments_are_listed_with_their_memory():
  output = ' '.join(run_command('list', 'figure4').split())
  number = r'([\d.]+)'
  found = re.search(
    rf'memory of this device \(cpu\): at least {number} GiB for a training step of '
    rf'fixed-0.9, {number} MiB of it the state memory of the host: 176 MiB for the data',
    output,
  )
  step, state = map(float, found.groups())
  # Parameters and their trace, and the statistics of 25 batch norms.
  assert 2 * 4 * 36_536_884 / 2**20 <= state < 280
  # At least what enters the 25 convolutions of 3x3 of the network's width, for the gradient.
  assert 4 * 128 * 8 * (32**2 * 160 + 16**2 * 320 + 8**2 * 640) / 2**30 < step < 20
  assert '36,536,884 parameters; 12 runs of 58,650 steps and 215 PFLOP' in output
  assert 'hours' not in output.split('--arms')[0]


def test_a_step_that_does_not_fit_is_not_timed(monkeypatch):
  monkeypatch.setattr(memory, 'memory_limit', lambda: 2**20)
  output = ' '.join(run_command('list', '--probe', 'quickstart').split())
  assert 'of it the state: more than its 1 MiB memory of the host' in output
  assert 'hours here' not in output
