"""The files of a run: its configuration, its metrics and how long it took.

DIR/<arm>/seed-<n>/config.json    what was run
metrics.csv    one row per epoch; holds nothing that depends on the clock
timing.csv     one row per epoch; holds what does
"""

import csv
import dataclasses
import json
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from train.errors import UserError
from train.experiments import Arm, Experiment


class EpochRecord(NamedTuple):
  """The row of an epoch in metrics.csv.

  Attributes:
    epoch: The number of the epoch, from 1.
    train_loss: The mean of the losses of its batches.
    test_loss: The mean loss of the test examples after it.
    test_error_percent: The share of wrong answers among them.
    learning_rate: The learning rate of its last step.
    high_loss_share: The share of its steps that were in the high-loss phase.
    mean_momentum: The mean of the momenta that its steps used.
    gradient_norm: The mean over its steps of the norm of the gradient, before weight decay.
  """

  epoch: int
  train_loss: float
  test_loss: float
  test_error_percent: float
  learning_rate: float
  high_loss_share: float
  mean_momentum: float
  gradient_norm: float


TIMING_COLUMNS = ('epoch', 'seconds', 'steps_per_second')


def run_directory(workdir: pathlib.Path, arm: str, seed: int) -> pathlib.Path:
  """Returns the directory of one run."""
  return workdir / arm / f'seed-{seed}'


def run_config(experiment: Experiment, arm: Arm, seed: int) -> dict[str, Any]:
  """Returns what determines the numbers of a run, as JSON-able values."""
  config = dataclasses.asdict(experiment)
  for shared in ('summary', 'arms', 'seeds'):
    del config[shared]
  return json.loads(json.dumps(config | {'arm': dataclasses.asdict(arm), 'seed': seed}))


class RunRecorder:
  """Writes the files of one run."""

  def __init__(self, directory: pathlib.Path, config: Mapping[str, Any]):
    """Makes the directory, writes the configuration and starts the tables.

    Args:
      directory: The directory of the run.
      config: See :func:`run_config`.

    Raises:
      UserError: If the directory holds a run of another configuration.
    """
    directory.mkdir(parents=True, exist_ok=True)
    check_config(directory, config)
    (directory / 'config.json').write_text(json.dumps(config, indent=2) + '\n')
    self._metrics = directory / 'metrics.csv'
    self._timing = directory / 'timing.csv'
    self._metrics.write_text(','.join(EpochRecord._fields) + '\n')
    self._timing.write_text(','.join(TIMING_COLUMNS) + '\n')

  def write(self, record: EpochRecord, seconds: float, steps: int) -> None:
    """Appends an epoch to both tables."""
    # 9 digits give a float32 back exactly.
    _append(self._metrics, [f'{value:.9g}' for value in record])
    _append(self._timing, [record.epoch, f'{seconds:.3f}', f'{steps / seconds:.2f}'])


def check_config(directory: pathlib.Path, config: Mapping[str, Any]) -> None:
  """Raises a ``UserError`` that names the differing fields if a directory has another config."""
  path = directory / 'config.json'
  if not path.exists():
    return
  found = json.loads(path.read_text())
  differing = [key for key in {**found, **config} if found.get(key) != config.get(key)]
  if differing:
    fields = '; '.join(f'{key} was {found.get(key)}, is {config.get(key)}' for key in differing)
    raise UserError(
      f'{directory} holds a run of another configuration ({fields}): choose another --workdir.'
    )


def read_table(path: pathlib.Path) -> dict[str, np.ndarray]:
  """Returns the columns of a table of numbers."""
  with path.open(newline='') as file:
    rows = list(csv.DictReader(file))
  return {name: np.array([float(row[name]) for row in rows]) for name in (rows[0] if rows else ())}


def is_complete(directory: pathlib.Path, epochs: int) -> bool:
  """Returns whether a run has recorded its last epoch."""
  path = directory / 'metrics.csv'
  return path.exists() and len(read_table(path).get('epoch', ())) >= epochs


def _append(path: pathlib.Path, values: list) -> None:
  with path.open('a') as file:
    file.write(','.join(map(str, values)) + '\n')
