"""The files of a run.

DIR/<arm>/seed-<n>/config.json    what was run
metrics.csv    one row per epoch; holds nothing that depends on the clock
timing.csv     one row per epoch; holds what does
checkpoints/   the newest states
events.*       the metrics for TensorBoard
"""

import csv
import dataclasses
import hashlib
import json
import math
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from tensorboardX import SummaryWriter

from train.errors import UserError
from train.experiments import Arm, Part


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


def run_config(part: Part, arm: Arm, seed: int, pretrained: pathlib.Path | None) -> dict[str, Any]:
  """Returns what determines the numbers of a run, as JSON-able values."""
  config = describe(part) | {'arm': dataclasses.asdict(arm), 'seed': seed}
  if pretrained is not None:
    with pretrained.open('rb') as file:
      config['pretrained_sha256'] = hashlib.file_digest(file, 'sha256').hexdigest()
  del config['arms'], config['seeds']
  return config


def describe(part: Part) -> dict[str, Any]:
  """Returns the configuration that the runs of a part share, as JSON-able values."""
  config = dataclasses.asdict(part)
  for told in ('summary', 'extra_arms', 'curves', 'reported', 'unknown'):
    del config[told]
  config['part'] = config.pop('name')
  config['arms'] = [arm.name for arm in part.arms]
  return json.loads(json.dumps(config))


def read_config(directory: pathlib.Path) -> dict[str, Any]:
  """Returns the configuration of a run; empty if it is missing or damaged."""
  try:
    return json.loads((directory / 'config.json').read_text())
  except (OSError, ValueError):
    return {}


def check_config(directory: pathlib.Path, config: Mapping[str, Any]) -> None:
  """Raises a ``UserError`` that names the differing fields if a directory has another config."""
  if not (directory / 'config.json').exists():
    return
  found = read_config(directory) or {'config.json': 'damaged'}
  differing = [key for key in {**found, **config} if found.get(key) != config.get(key)]
  if differing:
    fields = '; '.join(f'{key} was {found.get(key)}, is {config.get(key)}' for key in differing)
    raise UserError(
      f'{directory} holds a run of another configuration ({fields}): choose another --workdir.'
    )


class Recorder:
  """Writes the tables of one run, for people and for TensorBoard.

  Attributes:
    metrics: The rows of metrics.csv so far, as text.
    timing: The rows of timing.csv so far, as text.
  """

  def __init__(
    self,
    directory: pathlib.Path,
    config: Mapping[str, Any],
    metrics: Sequence[str] = (),
    timing: Sequence[str] = (),
  ):
    """Writes the configuration, and tables that hold the rows of the epochs already done.

    Args:
      directory: The directory of the run.
      config: See :func:`run_config`.
      metrics: Rows of metrics.csv that a checkpoint has kept.
      timing: Rows of timing.csv that a checkpoint has kept.
    """
    directory.mkdir(parents=True, exist_ok=True)
    self._directory = directory
    self.metrics = list(metrics)
    self.timing = list(timing)
    _replace(directory / 'config.json', json.dumps(config, indent=2) + '\n')
    _replace(directory / 'metrics.csv', _table(EpochRecord._fields, self.metrics))
    _replace(directory / 'timing.csv', _table(TIMING_COLUMNS, self.timing))
    self._events = SummaryWriter(str(directory), purge_step=len(self.metrics) + 1)

  def write(self, record: EpochRecord, seconds: float, steps: int) -> None:
    """Appends an epoch.

    Args:
      record: Its metrics.
      seconds: How long it took.
      steps: How many steps were taken in that time.
    """
    # 9 digits give a float32 back exactly.
    self.metrics.append(','.join(f'{value:.9g}' for value in record))
    self.timing.append(f'{record.epoch},{seconds:.3f},{steps / seconds:.2f}')
    # Last the table that tells whether a run is finished.
    for name, rows in (('timing.csv', self.timing), ('metrics.csv', self.metrics)):
      with (self._directory / name).open('a') as file:
        file.write(rows[-1] + '\n')
    for name, value in record._asdict().items():
      if name != 'epoch' and math.isfinite(value):
        self._events.add_scalar(name, value, record.epoch)

  def close(self) -> None:
    """Writes out what TensorBoard's file still lacks."""
    self._events.close()


def read_table(path: pathlib.Path, columns: Sequence[str]) -> dict[str, np.ndarray]:
  """Returns columns of a table of numbers.

  Raises:
    UserError: If the file is missing or damaged.
  """
  try:
    with path.open(newline='') as file:
      rows = list(csv.DictReader(file))
    return {name: np.array([float(row[name]) for row in rows]) for name in columns}
  except (OSError, ValueError, TypeError, KeyError) as error:  # a cell that is missing is None
    raise UserError(
      f'{path} cannot be read ({error}): delete it and run the experiment again, which goes on from '
      'the checkpoint and writes it anew.'
    ) from error


def progress_of(directory: pathlib.Path) -> tuple[int, bool]:
  """Returns how many epochs a run has recorded, and whether it diverged in the last of them.

  A table that cannot be read counts as none, because a run that goes on writes it anew.
  """
  try:
    losses = read_table(directory / 'metrics.csv', ['train_loss'])['train_loss']
  except UserError:
    return 0, False
  return len(losses), len(losses) > 0 and not np.isfinite(losses[-1])


def _table(columns: Sequence[str], rows: Sequence[str]) -> str:
  return '\n'.join([','.join(columns), *rows]) + '\n'


def _replace(path: pathlib.Path, text: str) -> None:
  temporary = path.with_name(f'.{path.name}')
  temporary.write_text(text)
  os.replace(temporary, path)
