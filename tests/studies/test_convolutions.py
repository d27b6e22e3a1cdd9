"""The confirmation with convolutions: its plan, and its report on tables written by hand."""

import csv

import numpy as np
import pytest
from scipy import stats

from studies.convolutions import definition, report
from studies.convolutions.definition import DIRECTIONS, RULES, comparisons
from train.storage.tables import metrics_columns, run_directory

RANDOM = np.random.default_rng(0)


def write_run(directory, comparison, *values):
  """Writes the table of a finished run whose last test loss and metric are given."""
  columns = metrics_columns(comparison.metric_column)
  rows = [dict.fromkeys(columns, 1.0) | {'epoch': 1 + n} for n in range(comparison.epochs)]
  rows[-1] |= dict(zip(('test_loss', comparison.metric_column), values, strict=True))
  directory.mkdir(parents=True)
  with (directory / 'metrics.csv').open('w', newline='') as file:
    writer = csv.DictWriter(file, columns)
    writer.writeheader()
    writer.writerows(rows)


@pytest.fixture
def spreads(tmp_path):
  """Writes all runs but one, and returns the spreads of the first rule."""
  spreads = {}
  for comparison in comparisons():
    for arm in comparison.arms:
      for seed in comparison.seeds:
        directory = run_directory(tmp_path / comparison.name, arm.name, seed)
        if comparison.name not in RULES:
          write_run(directory, comparison, 3.0, 80 + RANDOM.normal())
          continue
        if comparison.name == 'equation9' and seed == 3 and arm.name.startswith('yoked'):
          continue  # not finished
        loss, spread = 1.5 + 0.1 * RANDOM.normal(), 1 + 0.1 * RANDOM.normal()
        write_run(directory, comparison, loss, loss**2 + spread**2)
        spreads[comparison.name, arm.name, seed] = spread
  return spreads


def test_contrasts_are_half_the_difference_of_the_directions(tmp_path, spreads):
  written = report.write_report(tmp_path, tmp_path / 'out')
  values = []
  for sign, direction in zip((0.5, -0.5), DIRECTIONS.values(), strict=True):
    own, yoked = (
      np.array([spreads['algorithm1', arm.name, seed] for seed in range(12)])
      for arm in (direction.lcam, direction.yoked)
    )
    values.append(sign * (own - yoked) / yoked.mean())
  contrast = 100 * sum(values)
  half_width = stats.t.ppf(0.975, 11) * contrast.std(ddof=1) / 12**0.5
  line = next(line for line in written.splitlines() if 'algorithm1 | spread' in line)
  assert f'{contrast.mean():+.2f} ± {half_width:.2f}' in line
  assert '109 of 111 runs are finished' in written
  assert '| 11 |' in next(line for line in written.splitlines() if 'equation9 | spread' in line)
  rows = list(csv.DictReader((tmp_path / 'out' / 'runs.csv').open()))
  assert len(rows) == 2 * 96 + 15


def test_the_runs_are_those_that_were_registered():
  confirmation, other, small = comparisons()
  assert {confirmation.rule, other.rule} == set(RULES)
  for comparison in (confirmation, other):
    assert comparison.batch_size == 8
    assert len(comparison.seeds) == 12
    assert [arm.name for arm in comparison.arms] == [
      *('low0.45-high0.95', 'yoked0.45-0.95'),
      *('low0.95-high0.45', 'yoked0.95-0.45'),
    ]
  assert small.rule == 'algorithm1'
  assert small.batch_size == 128
  assert len(small.arms) == 5
  assert definition.squared_loss(np.zeros((1, 2)), np.array([0])) == pytest.approx(np.log(2) ** 2)
