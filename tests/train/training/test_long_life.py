"""What grows while a process trains run after run, and a run epoch after epoch."""

import os
import pathlib
import sys

import numpy as np
import pytest
from flax import nnx
from rich.console import Console

from train import Comparison, Dataset, Split
from train.command.progress import RunTable
from train.launch.run import run_comparison
from train.storage.tables import run_directory
from train.training.trainer import Settings

pytestmark = pytest.mark.slow
_PAGE = 4096


def tiny_data() -> Dataset:
  numbers = np.random.default_rng(0)
  inputs = numbers.normal(size=(40, 4)).astype('float32')
  split = Split(inputs, (inputs[:, 0] > 0).astype('int32'))
  return Dataset('tiny', split, split, ('below', 'above'))


def linear(num_classes: int, rngs: nnx.Rngs) -> nnx.Module:
  return nnx.Linear(4, num_classes, rngs=rngs)


def train(workdir: pathlib.Path, settings: Settings, **fields) -> None:
  comparison = Comparison(
    name='tiny', dataset=tiny_data, network=linear, batch_size=20, arms=('fixed-0.9',), **fields
  )
  run_comparison(comparison, workdir, Console(quiet=True), settings, RunTable)


def resident_mebibytes() -> float:
  return int(pathlib.Path('/proc/self/statm').read_text().split()[1]) * _PAGE / 2**20


@pytest.mark.skipif(not sys.platform.startswith('linux'), reason='looks into /proc')
def test_memory_and_open_files_stay_flat_over_300_runs(tmp_path):
  resident, files = [], []
  for part in range(3):
    seeds = tuple(range(100 * part, 100 * part + 100))
    train(tmp_path / str(part), Settings(), epochs=2, seeds=seeds)
    resident.append(resident_mebibytes())
    files.append(len(os.listdir('/proc/self/fd')))
  # The first hundred fill caches of JAX and Orbax.
  assert resident[2] - resident[1] < 30, resident
  assert files[2] <= files[0] + 3, files


def test_files_of_a_long_run_grow_with_its_rows(tmp_path):
  def sizes(epochs: int) -> dict[str, int]:
    workdir = tmp_path / str(epochs)
    train(workdir, Settings(500), epochs=epochs, seeds=(0,))
    directory = run_directory(workdir, 'fixed-0.9', 0)
    found = {path.name.partition('.out.')[0]: path.stat().st_size for path in directory.iterdir()}
    checkpoints = (directory / 'checkpoints').rglob('*')
    found['checkpoints'] = sum(path.stat().st_size for path in checkpoints if path.is_file())
    return found

  short, long = sizes(1000), sizes(2000)
  assert short.keys() == long.keys()
  for name, size in long.items():
    # Two checkpoints hold the rows of 500 and 1,000 epochs, or those of 1,500 and 2,000: 2.33.
    assert size < 2.5 * short[name] + 8192, name
