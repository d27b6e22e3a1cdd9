"""Figure 4 on real CIFAR-100, from what TFDS has prepared to the report."""

import os
import pathlib

import pytest

from tests.train.support import run_command
from train.storage.tables import read_table


@pytest.mark.slow
def test_figure_4_from_tfds_to_the_report(tmp_path):
  pytest.importorskip('tensorflow_datasets')
  prepared = pathlib.Path(os.environ.get('TFDS_DATA_DIR', '~/tensorflow_datasets')).expanduser()
  if not (prepared / 'cifar100').is_dir():
    pytest.skip('TFDS has not prepared cifar100')
  data = tmp_path / 'data'
  data.mkdir()
  (data / 'cifar100').symlink_to(prepared / 'cifar100')
  output = run_command(
    *('run', 'figure4', '--depth', 10, '--width', 1, '--epochs', 3, '--train-examples', 5_000),
    *('--arms', 'fixed-0.9', 'low0.95-high0.9', 'yoked', '--seeds', 0, 1),
    *('--data-dir', data, '--workdir', tmp_path / 'runs'),
  )
  assert 'its yoked run' in output
  assert (tmp_path / 'runs' / 'curves.png').exists()
  for arm in ('fixed-0.9', 'low0.95-high0.9', 'yoked0.95-0.9'):
    path = tmp_path / 'runs' / arm / 'seed-1' / 'metrics.csv'
    errors = read_table(path, ['test_error_percent'])['test_error_percent']
    assert 50 < errors[-1] < 97  # chance is 99
