"""The environment of the shell changes no number of the trainer, or is refused in a sentence."""

import os
import subprocess
import sys

import pytest

from tests.train.support import ROOT, run_command

pytestmark = pytest.mark.training
RUN = ('run', 'digits', '--arms', 'fixed-0.9', '--seeds', '0', '--epochs', '1')
SMALL = ('--train-examples', '40', '--batch-size', '20')


def run(workdir, **environment):
  done = subprocess.run(
    [sys.executable, '-m', 'train', *RUN, *SMALL, '--workdir', str(workdir)],
    cwd=ROOT,
    env={**os.environ, **environment},
    capture_output=True,
    text=True,
  )
  return done.returncode, done.stderr


@pytest.mark.slow
def test_settings_of_jax_and_matplotlib_change_no_byte(tmp_path):
  several = {
    'JAX_DEBUG_NANS': '1',
    'JAX_DEFAULT_PRNG_IMPL': 'rbg',
    'JAX_DISABLE_JIT': '1',
    'JAX_DISABLE_MOST_OPTIMIZATIONS': '1',
    'JAX_ENABLE_X64': '1',
    'JAX_NUMPY_DTYPE_PROMOTION': 'strict',
    'JAX_NUMPY_RANK_PROMOTION': 'raise',
    'JAX_RANDOM_SEED_OFFSET': '3',
    'JAX_THREEFRY_PARTITIONABLE': '0',
    'JAX_TRANSFER_GUARD': 'disallow',
    'MPLBACKEND': 'module://matplotlib_inline.backend_inline',
  }
  run_command(*RUN, *SMALL, '--workdir', tmp_path / 'usual')
  assert run(tmp_path / 'other', **several) == (0, '')
  usual, other = (
    (tmp_path / name / 'fixed-0.9' / 'seed-0' / 'metrics.csv').read_bytes()
    for name in ('usual', 'other')
  )
  assert usual == other


@pytest.mark.parametrize(
  ('name', 'value', 'sentence'),
  [
    ('JAX_ENABLE_X64', 'nonsense', 'JAX refuses a variable of the environment: invalid'),
    ('JAX_PLATFORMS', 'nonsense', 'JAX finds no device with JAX_PLATFORMS=nonsense'),
    ('XLA_FLAGS', '--xla_nonsense=1', 'XLA refuses XLA_FLAGS=--xla_nonsense=1'),
  ],
)
def test_what_cannot_work_is_one_sentence(tmp_path, name, value, sentence):
  status, errors = run(tmp_path, **{name: value})
  assert status == 2
  (line,) = errors.splitlines()
  assert line.startswith(sentence)
