"""The training steps of all experiments, compiled for chips that are not here."""

import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]
PROGRAM = """
import jax, jax.export
from train.arms import Yoked
from train.costs import abstract_step
from train.devices import choose_devices
from train.experiments import EXPERIMENTS

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
      exported.add(step_of)
print(len(exported))
"""


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
