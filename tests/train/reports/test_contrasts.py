"""Which arms are set against which, and by which interval."""

import csv
import math

import numpy as np
import pytest
from scipy import stats

from tests.train.reports.support import (
  config_of_errors,
  config_of_own,
  printed_report,
  write_arms,
  write_run,
)
from train.reports.contrasts import contrasts
from train.reports.read_runs import find_runs
from train.reports.words import outcomes

OWN = {
  'fixed-0.95': [5.0, 5.6, 4.8, 5.1],
  'low0.9-high0.95': [4.0, 4.5, 3.9, 4.2],
  'low0.95-high0.9': [4.9, 5.5, 4.8, 4.7],
  'yoked0.9-0.95': [4.1, 4.9, 3.8, 4.4],
  'coin0.9-0.95': [4.2, 4.3, 3.95, 4.3],
  'coin0.857-0.93': [5.0, 5.1, 5.2, 5.3],
  'adam': [9.0, 3.0, 30.0, 6.0],
}


def found_contrasts(workdir):
  return contrasts(find_runs(workdir)[workdir])


def test_an_lcam_is_set_against_its_controls_first(tmp_path):
  write_arms(tmp_path, OWN, config_of_own(baseline='fixed-0.95'))
  rows = found_contrasts(tmp_path).rows
  pair = 'low0.9-high0.95'
  assert [(row.kind, row.other) for row in rows if row.arm == pair] == [
    ('yoked', 'yoked0.9-0.95'),
    ('coin', 'coin0.9-0.95'),
    ('direction', 'low0.95-high0.9'),
    ('baseline', 'fixed-0.95'),
  ]
  # The other direction has no control here, and is not set against the first again.
  others = {row.arm: (row.kind, row.other) for row in rows if row.arm != pair}
  assert others == {
    arm: ('baseline', 'fixed-0.95') for arm in OWN if arm not in (pair, 'fixed-0.95')
  }


def test_arms_with_names_of_their_own_are_known_by_their_momenta(tmp_path):
  arms = {
    'low0.9-high0.95': ('lcam', 0.9, 0.95),
    'swapped': ('lcam', 0.95, 0.9),
    'coin': ('coin', 0.9, 0.95),
    'coin0.857-0.93': ('coin', 0.857, 0.93),
  }
  for name, (kind, low, high) in arms.items():
    arm = {'name': name, 'kind': kind, 'low_loss_momentum': low, 'high_loss_momentum': high}
    for seed in range(3):
      write_run(tmp_path, name, seed, 4 + seed * high, config={**config_of_errors(), 'arm': arm})
  assert [(row.kind, row.arm, row.other) for row in found_contrasts(tmp_path).rows] == [
    ('coin', 'low0.9-high0.95', 'coin'),
    ('direction', 'low0.9-high0.95', 'swapped'),
  ]


def test_the_momenta_arms_share_a_residual_and_others_have_their_own(tmp_path):
  write_arms(tmp_path, OWN, config_of_own(baseline='fixed-0.95'))
  found = found_contrasts(tmp_path)
  assert set(found.pooled) == set(OWN) - {'adam'}
  table = np.array([OWN[arm] for arm in found.pooled])
  rests = table - table.mean(1, keepdims=True) - table.mean(0) + table.mean()
  freedom = (6 - 1) * (4 - 1)
  standard_error = math.sqrt((rests**2).sum() / freedom) * math.sqrt(2 / 4)
  (row,) = (row for row in found.rows if row.kind == 'yoked')
  t = np.mean(np.subtract(OWN['low0.9-high0.95'], OWN['yoked0.9-0.95'])) / standard_error
  assert (row.method, row.degrees_of_freedom) == ('pooled', freedom)
  np.testing.assert_allclose(row.half_width, stats.t.ppf(0.975, freedom) * standard_error)
  np.testing.assert_allclose(row.p, 2 * stats.t.sf(abs(t), freedom))
  (adam,) = (row for row in found.rows if row.arm == 'adam')
  assert adam.method == 'paired'
  np.testing.assert_allclose(adam.p, stats.ttest_rel(OWN['adam'], OWN['fixed-0.95']).pvalue)


def test_two_arms_have_the_paired_t_test(tmp_path):
  errors = {arm: OWN[arm] for arm in ('fixed-0.95', 'low0.9-high0.95')}
  write_arms(tmp_path, errors, config_of_own(baseline='fixed-0.95'))
  (row,) = found_contrasts(tmp_path).rows
  test = stats.ttest_rel(errors['low0.9-high0.95'], errors['fixed-0.95'])
  np.testing.assert_allclose([row.p, row.holm_p], test.pvalue)
  interval = test.confidence_interval()
  np.testing.assert_allclose(row.half_width, (interval.high - interval.low) / 2)


def test_three_lucky_seeds_make_no_narrow_interval(tmp_path):
  # The noise comparison at batch size 256 of the first results: -0.20 ± 0.06 by the paired t test.
  errors = {
    'fixed-0.9': [71.79, 71.46, 70.31],
    'low0.9-high0.95': [71.56, 71.25, 70.14],
    'coin0.9-0.95': [72.05, 70.86, 70.53],
  }
  write_arms(tmp_path, errors, config_of_errors())
  (lucky,) = (
    row
    for row in found_contrasts(tmp_path).rows
    if row.arm == 'low0.9-high0.95' and row.kind == 'baseline'
  )
  paired = stats.ttest_rel(errors['low0.9-high0.95'], errors['fixed-0.9'])
  assert paired.pvalue < 0.05
  assert lucky.half_width > 0.3
  assert not lucky.shown


def test_shown_is_what_the_adjustment_leaves(tmp_path):
  write_arms(tmp_path, OWN, config_of_own(baseline='fixed-0.95'))
  printed_report(tmp_path)
  with (tmp_path / 'contrasts.csv').open() as file:
    rows = list(csv.DictReader(file))
  assert {row['kind'] for row in rows} == {'yoked', 'coin', 'direction', 'baseline'}
  p_values = sorted(float(row['p']) for row in rows)
  np.testing.assert_allclose(
    min(float(row['holm_p']) for row in rows), min(1, len(rows) * p_values[0])
  )
  found = find_runs(tmp_path)[tmp_path]
  for row in contrasts(found).rows:
    for holm_p in (0.04, 0.06):
      (sentence,) = outcomes([row._replace(holm_p=holm_p)], found.metric, '.2f')
      assert sentence.startswith('A ') == (holm_p < 0.05)
      alone = 'though the interval alone excludes zero' in sentence
      assert alone == (row.p < 0.05 < holm_p)


@pytest.mark.parametrize('baseline', ['adam', 'fixed-0.95'])
def test_the_baseline_is_the_comparisons_own(tmp_path, baseline):
  write_arms(tmp_path, OWN, config_of_own(baseline=baseline))
  others = {row.other for row in found_contrasts(tmp_path).rows if row.kind == 'baseline'}
  assert others == {baseline}
  assert next(iter(find_runs(tmp_path)[tmp_path].runs)) == baseline
