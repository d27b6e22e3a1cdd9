"""The published curves, and which reports show them."""

import numpy as np
import pytest
from matplotlib import image

from tests.train.reports.support import config_of_errors, report_text, write_run
from train.problem.experiments import EXPERIMENTS
from train.reports.curves import published_curves


def test_curves_of_every_part_that_names_some():
  for part in EXPERIMENTS['figure3'] + EXPERIMENTS['figure4'] + EXPERIMENTS['figure5']:
    curves = published_curves(*part.about.curves)['test_error_percent']
    assert set(curves) == {arm.name for arm in part.arms}
    for curve in curves.values():
      assert (np.diff(curve[:, 0]) >= 0).all()
      assert ((curve[:, 1] > 3) & (curve[:, 1] < 100)).all()


def test_the_best_arm_of_figure_3_is_the_papers():
  curves = published_curves('figure3', 'cifar10')['test_error_percent']
  last = {arm: curve[-20:, 1].mean() for arm, curve in curves.items()}
  assert min(last, key=last.get) == 'low0.9-high0.95'


@pytest.mark.parametrize(
  ('dataset', 'network', 'rows'),
  [('cifar10', 'WRN-28-10', 3), ('digits', 'WRN-28-10', 2), ('cifar10', 'WRN-10-1', 2)],
)
def test_the_plot_shows_them_below_runs_of_the_same_data_and_network(
  tmp_path, dataset, network, rows
):
  about = {'curves': ['figure3', 'cifar10'], 'published_network': 'WRN-28-10', 'network': network}
  config = {**config_of_errors(**about), 'dataset': dataset}
  write_run(tmp_path, 'fixed-0.9', 0, 5.0, config=config)
  report_text(tmp_path)
  height, width, _ = image.imread(tmp_path / 'curves.png').shape
  assert height / width == pytest.approx((0.8 + 3.7 * rows) / 11, abs=0.01)
