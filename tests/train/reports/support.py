"""Writes runs by hand, and reports on them."""

import io
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any
from unittest import mock

from rich.console import Console

from train.problem.arms import arm_of_name
from train.reports import report
from train.storage.tables import metrics_columns
from train.system.errors import UserError


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
  """Writes a run whose last epoch has an error; the earlier ones have the same.

  Its configuration is that of a problem of one's own with wrong answers, if none is given; arm and
  seed are those of the run, if it has none.
  """
  directory = workdir / arm / f'seed-{seed}'
  directory.mkdir(parents=True)
  config = {'arm': _arm(arm), 'seed': seed, **(config or {**config_of_errors(), 'epochs': epochs})}
  rows = [','.join(metrics_columns(config['about']['metric_column']))]
  rows += [
    f'{epoch},{train_loss},{test_loss},{error},0.1,0.4,0.9,1' for epoch in range(1, epochs + 1)
  ]
  (directory / 'metrics.csv').write_text('\n'.join(rows) + '\n')
  timing = ['epoch,seconds,steps_per_second']
  timing += [f'{epoch},{second},8' for epoch, second in enumerate(seconds or [2.5] * epochs, 1)]
  (directory / 'timing.csv').write_text('\n'.join(timing) + '\n')
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
      write_run(workdir, arm, seed, error, config=config)


def _arm(name: str) -> dict[str, Any]:
  try:
    return arm_of_name(name).config()
  except UserError:  # an arm of the user's
    return {'name': name, 'kind': 'own'}


def config_of_own(**about: Any) -> dict[str, Any]:
  """Returns the configuration of runs of a problem of one's own, without arm and seed."""
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
    'code_sha256': None,
  }
  return {
    'experiment': '',
    'part': 'prices',
    'dataset': 'prices',
    'data_sha256': None,
    'program': {'sha256': 'abc', 'jax': '0.10.2'},
    'network': {'kind': 'own', 'name': 'perceptron'},
    'loss': 'cross_entropy',
    'metric': 'squared_error',
    'schedule': {'kind': 'constant', 'init_value': 0.1},
    'epochs': 1,
    'batch_size': 8,
    'weight_decay': 0.0005,
    'rule': 'algorithm1',
    'train_examples': None,
    'dtype': 'float32',
    'partner_seed': None,
    'about': {**usual, **about},
  }


def config_of_errors(**about: Any) -> dict[str, Any]:
  """Returns the same of a problem whose metric is wrong answers."""
  metric = {'metric_column': 'test_error_percent', 'metric_label': 'test error (%)'}
  return {**config_of_own(**metric, **about), 'metric': 'wrong_answer'}


def report_text(workdir: pathlib.Path, width: int = 80) -> str:
  """Reports on a directory, and returns what was printed."""
  output = io.StringIO()
  report(workdir, Console(file=output, width=width))
  return output.getvalue()


def printed_report(workdir: pathlib.Path, width: int = 80) -> str:
  """Returns what a report prints, without drawing the plots and the page."""
  with (
    mock.patch('train.reports.plots.draw_curves'),
    mock.patch('train.reports.plots.write_png'),
    mock.patch('train.reports.page.write_page'),
  ):
    return report_text(workdir, width)


def one_line(text: str) -> str:
  """Returns a text without line breaks."""
  return ' '.join(text.split())
