"""What tests of runs at the same time share: a small problem, and commands in processes."""

import os
import pathlib
import subprocess
import sys
import time
from collections.abc import Callable

ROOT = pathlib.Path(__file__).parents[2]
LCAM, YOKED = 'low0.5-high0.9', 'yoked0.5-0.9'

# Steps are quick and epochs many, so that there is something to interrupt.
PROBLEM = f"""
import numpy as np
from flax import nnx
from train import Comparison, Dataset, Split

inputs = np.random.default_rng(0).normal(size=(400, 3))
labels = (inputs.sum(1) > 0).astype(int)


def data():
  return Dataset('sums', Split(inputs, labels), Split(inputs[:20], labels[:20]), ('low', 'high'))


def network(num_classes, rngs):
  return nnx.Linear(3, num_classes, rngs=rngs)


comparison = Comparison(
  name='sums', dataset=data, network=network, epochs=EPOCHS, batch_size=8, seeds=(0, 1),
  arms=('{LCAM}', '{YOKED}'),
)
"""


def write_problem(folder: pathlib.Path, epochs: int = 3) -> pathlib.Path:
  """Writes a file that defines a comparison of four runs, two of which replay the others."""
  path = folder / 'sums.py'
  path.write_text(PROBLEM.replace('EPOCHS', str(epochs)))
  return path


def start(*arguments, **environment) -> subprocess.Popen:
  """Starts ``python -m train run ...`` in a process of its own."""
  return subprocess.Popen(
    [sys.executable, '-m', 'train', 'run', *map(str, arguments)],
    cwd=ROOT,
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
    env={**os.environ, **environment},
  )


def tables(workdir: pathlib.Path) -> dict[str, bytes]:
  """Returns the tables of all runs that hold nothing of the clock."""
  return {
    str(path.relative_to(workdir)): path.read_bytes()
    for name in ('metrics.csv', 'phases.csv')
    for path in sorted(workdir.glob(f'*/seed-*/{name}'))
  }


def checkpoints_in(workdir: pathlib.Path) -> set[pathlib.Path]:
  """Returns the directories of the runs that have a checkpoint."""
  return {
    pathlib.Path(path).parent
    for path, names, _ in os.walk(workdir)
    if os.path.basename(path) == 'checkpoints' and any(name.isdigit() for name in names)
  }


def wait_until(condition: Callable[[], object], process: subprocess.Popen) -> None:
  """Waits until something is the case while a command runs.

  Raises:
    AssertionError: If the command ended before.
  """
  deadline = time.monotonic() + 240
  while not condition():
    assert process.poll() is None, process.communicate()
    assert time.monotonic() < deadline, 'it takes too long'
    time.sleep(0.02)
