"""The same losses on eight devices as on one, with `jit` and with `shard_map`."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from tests.examples.support import FOLDER, ROOT, columns, losses_on_one_device
from tests.lcam_optax import reference

pytestmark = pytest.mark.training
# Compiles in half the time; the arithmetic is the same.
FLAGS = '--xla_force_host_platform_device_count=8 --xla_backend_optimization_level=0'
NAMES = ('data_parallel_jit', 'data_parallel_shard_map')
PROGRAM = """
import contextlib, io, json, runpy, sys
with contextlib.redirect_stdout(io.StringIO()) as printed:
  histories = [runpy.run_path(path)['main']() for path in sys.argv[1:]]
print(json.dumps([histories, printed.getvalue()]))
"""


@pytest.fixture(scope='module')
def trained():
  done = subprocess.run(
    [sys.executable, '-c', PROGRAM, *(str(FOLDER / f'{name}.py') for name in NAMES)],
    env=os.environ | {'JAX_PLATFORMS': 'cpu', 'XLA_FLAGS': FLAGS},
    cwd=ROOT,
    check=True,
    capture_output=True,
    text=True,
  )
  return json.loads(done.stdout)


@pytest.mark.parametrize('which', range(len(NAMES)), ids=NAMES)
def test_eight_devices_take_the_steps_of_one(trained, which):
  histories, printed = trained
  assert printed.count('on 8 devices') == 10
  losses, momenta = columns(histories[which])
  expected = reference.momenta(losses, rule='algorithm1', high=0.93, low=0.857, steps_per_epoch=21)
  np.testing.assert_allclose(momenta, expected, rtol=1e-6)
  np.testing.assert_allclose(losses, losses_on_one_device(), rtol=1e-2)
