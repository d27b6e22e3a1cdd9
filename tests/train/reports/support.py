"""Writes runs by hand, and reports on them."""

import io
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console

from train.problem.arms import arm_of_name
from train.reports import report
from train.storage.tables import metrics_columns


def write_run(
  workdir: pathlib.Path,
  arm: str,
  seed: int,
  error: float,
  epochs: int = 1,
  *,
  config: Mapping[str, Any] | None = None,
  train_loss: float = 1.5,
  test_loss: float = 1.5,
  seconds: Sequence[float] = (),
) -> pathlib.Path:
  """Writes the tables of a run whose last epoch has an error; the earlier ones have the same."""
  directory = workdir / arm / f'seed-{seed}'
  directory.mkdir(parents=True)
  column = (config or {}).get('about', {}).get('metric_column', 'test_error_percent')
  rows = [','.join(metrics_columns(column))]
  rows += [
    f'{epoch},{train_loss},{test_loss},{error},0.1,0.4,0.9,1' for epoch in range(1, epochs + 1)
  ]
  (directory / 'metrics.csv').write_text('\n'.join(rows) + '\n')
  timing = ['epoch,seconds,steps_per_second']
  timing += [f'{epoch},{second},8' for epoch, second in enumerate(seconds or [2.5] * epochs, 1)]
  (directory / 'timing.csv').write_text('\n'.join(timing) + '\n')
  if config is not None:
    (directory / 'config.json').write_text(json.dumps(config))
  return directory


def write_arms(
  workdir: pathlib.Path,
  errors: Mapping[str, Sequence[float]],
  config: Mapping[str, Any] | None = None,
) -> None:
  """Writes runs of one epoch, of the seeds 0, 1 and so on."""
  for arm, by_seed in errors.items():
    for seed, error in enumerate(by_seed):
      write_run(workdir, arm, seed, error, config=config and {**config, 'arm': _arm(arm)})


def _arm(name: str) -> dict[str, Any]:
  return arm_of_name(name).config()


def config_of_own(**about: Any) -> dict[str, Any]:
  """Returns the configuration of a run of a problem of one's own, but for its arm."""
  usual = {
    'title': 'prices: what do houses cost?',
    'network': 'perceptron',
    'schedule': 'learning rate 0.1 throughout',
    'baseline': 'fixed-0.9',
    'metric_column': 'test_squared_error',
    'metric_label': 'test squared error',
    'reported': '',
    'published_network': '',
    'curves': None,
  }
  setting = {'dataset': 'prices', 'epochs': 1, 'batch_size': 8, 'weight_decay': 0.0005}
  setting |= {'rule': 'algorithm1', 'train_examples': None, 'dtype': 'float32'}
  return {'format': 2, **setting, 'about': {**usual, **about}}


def first_format(arm: str, method: str, low: float, high: float, **fields: Any) -> dict[str, Any]:
  """Returns a configuration as version 0.1 wrote it."""
  momenta = {'low_loss_momentum': low, 'high_loss_momentum': high}
  return {
    'experiment': 'figure3',
    'part': 'cifar10',
    'dataset': 'cifar10',
    'network': {'kind': 'wide_resnet', 'depth': 10, 'width': 1, 'image_size': None},
    'schedule': {'kind': 'drops', 'init_value': 0.1, 'after': [0.2, 0.4], 'factor': 0.2},
    'epochs': 1,
    'batch_size': 128,
    'weight_decay': 0.0005,
    'rule': 'algorithm1',
    'train_examples': None,
    'dtype': 'float32',
    'arm': {'name': arm, 'method': method, 'learning_rate': None, 'weight_decay': None, **momenta},
    **fields,
  }


def report_text(workdir: pathlib.Path, width: int = 80) -> str:
  """Reports on a directory, and returns what was printed."""
  output = io.StringIO()
  report(workdir, Console(file=output, width=width))
  return output.getvalue()


def one_line(text: str) -> str:
  """Returns a text without line breaks."""
  return ' '.join(text.split())
