"""The published curves, and how the plot shows them."""

import numpy as np
from matplotlib import image

from tests.train.command_line import run_command
from train.experiments import EXPERIMENTS
from train.published import published_curves


def test_curves_of_every_part_that_names_some():
  for part in EXPERIMENTS['figure3'] + EXPERIMENTS['figure4'] + EXPERIMENTS['figure5']:
    curves = published_curves(*part.curves)['test_error_percent']
    assert set(curves) == {arm.name for arm in part.arms}
    for curve in curves.values():
      assert (np.diff(curve[:, 0]) >= 0).all()
      assert ((curve[:, 1] > 3) & (curve[:, 1] < 100)).all()


def test_the_best_arm_of_figure_3_is_the_papers():
  curves = published_curves('figure3', 'cifar10')['test_error_percent']
  last = {arm: curve[-20:, 1].mean() for arm, curve in curves.items()}
  assert min(last, key=last.get) == 'low0.9-high0.95'


def test_the_plot_shows_them_beside_the_runs(tmp_path):
  options = ('--depth', 10, '--width', 1, '--seeds', 0, '--arms', 'fixed-0.9', '--epochs', 2)
  small = ('--dataset', 'digits', '--train-examples', 100, '--batch-size', 50)
  run_command('run', 'figure3', *options, *small, '--workdir', tmp_path)
  without = image.imread(tmp_path / 'curves.png')  # the digits are not the paper's data
  config = tmp_path / 'fixed-0.9' / 'seed-0' / 'config.json'
  config.write_text(config.read_text().replace('"dataset": "digits"', '"dataset": "cifar10"'))
  run_command('report', tmp_path)
  with_curves = image.imread(tmp_path / 'curves.png')
  assert with_curves.shape != without.shape or (with_curves != without).any()
