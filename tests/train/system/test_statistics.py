"""Intervals, p-values and their adjustment, against SciPy's and a second way to compute them."""

import math

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from scipy import stats

from train.reports.pooling import pooled_arms, two_way_residual
from train.system.statistics import Estimate, estimate, format_estimate, holm

ERRORS = {
  'a': {0: 5.0, 1: 5.4, 2: 4.9, 3: 5.2},
  'b': {0: 4.0, 1: 4.5, 2: 3.9, 3: 4.1},
  'c': {0: 5.1, 1: 5.2, 2: 5.0, 3: 5.3},
}


def test_the_mean_and_its_interval_are_scipys():
  values = np.array(list(ERRORS['a'].values()))
  interval = stats.t.interval(0.95, 3, values.mean(), stats.sem(values))
  np.testing.assert_allclose(estimate(values), (sum(interval) / 2, np.diff(interval)[0] / 2))


def test_an_estimate_of_equal_values_is_certain():
  assert estimate(np.array([2.0, 2.0, 2.0])) == (2.0, 0.0)


def test_the_residual_of_a_whole_table_is_that_of_the_analysis_of_variance():
  table = np.array([list(by_seed.values()) for by_seed in ERRORS.values()])
  rests = table - table.mean(1, keepdims=True) - table.mean(0) + table.mean()
  residual = two_way_residual(ERRORS)
  assert residual.degrees_of_freedom == (3 - 1) * (4 - 1)
  np.testing.assert_allclose(residual.sum_of_squares, (rests**2).sum())


def test_seeds_may_be_missing():
  # Another way to the same fit: the normal equations of differences to the first arm and seed.
  values = {'a': {0: 5.0, 1: 5.4, 2: 4.9}, 'b': {0: 4.0, 1: 4.5}, 'c': {1: 5.2, 2: 5.0, 7: 9.0}}
  cells = [(arm, seed, value) for arm, seeds in values.items() for seed, value in seeds.items()]
  columns = [lambda arm, seed: 1.0]
  columns += [lambda arm, seed, name=name: float(arm == name) for name in 'bc']
  columns += [lambda arm, seed, number=number: float(seed == number) for number in (1, 2, 7)]
  design = np.array([[column(arm, seed) for column in columns] for arm, seed, _ in cells])
  observed = np.array([value for _, _, value in cells])
  rests = observed - design @ np.linalg.solve(design.T @ design, design.T @ observed)
  residual = two_way_residual(values)
  assert residual.degrees_of_freedom == 8 - 3 - 4 + 1
  np.testing.assert_allclose(residual.sum_of_squares, rests @ rests)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(*[st.floats(0, 100)] * 2), min_size=2, max_size=6))
def test_two_arms_give_the_paired_t_test(pairs):
  first, second = np.array(pairs).T
  residual = two_way_residual({'a': dict(enumerate(first)), 'b': dict(enumerate(second))})
  assert residual.degrees_of_freedom == len(pairs) - 1
  standard_error = residual.standard_deviation * math.sqrt(2 / len(pairs))
  np.testing.assert_allclose(standard_error, stats.sem(first - second), rtol=1e-6, atol=1e-9)


def test_an_optimizer_of_another_kind_is_not_pooled():
  kinds = {'a': 'fixed', 'b': 'lcam', 'c': 'adam'}
  assert pooled_arms(ERRORS, kinds) == (['a', 'b'], [])


def scattered(scales, seeds=5):
  draw = np.random.default_rng(0)
  return {
    arm: dict(enumerate(30 + scale * draw.normal(size=seeds))) for arm, scale in scales.items()
  }


def test_an_arm_that_scatters_more_is_taken_out():
  values = scattered({'a': 1, 'b': 1, 'c': 1, 'wild': 40})
  assert pooled_arms(values, dict.fromkeys(values, 'lcam')) == (['a', 'b', 'c'], ['wild'])
  alike = scattered({'a': 1, 'b': 1, 'c': 1, 'd': 1})
  assert pooled_arms(alike, dict.fromkeys(alike, 'lcam')) == (list('abcd'), [])


def test_three_seeds_that_agree_by_luck_take_no_arm_out():
  values = {'a': {0: 1.0, 1: 2.0, 2: 3.0}, 'b': {0: 1.0, 1: 2.0, 2: 3.0}}
  values['c'] = {0: 1.5, 1: 2.0, 2: 3.5}
  assert pooled_arms(values, dict.fromkeys(values, 'fixed')) == (['a', 'b', 'c'], [])


def test_holms_adjustment():
  # Table of Holm's procedure by hand: the smallest times 4, the next times 3, never falling.
  np.testing.assert_allclose(holm([0.04, 0.01, 0.03, 0.005]), [0.06, 0.03, 0.06, 0.02])
  assert holm([0.9, 0.8]) == [1.0, 1.0]
  adjusted = holm([0.01, math.nan, 0.03])
  np.testing.assert_allclose(adjusted, [0.02, math.nan, 0.03])


@pytest.mark.parametrize(
  ('value', 'text'),
  [((1.234, 0.567), '1.23 ± 0.57'), ((1.234, math.inf), '1.23'), (None, '-')],
)
def test_estimates_as_text(value, text):
  assert format_estimate(value and Estimate(*value)) == text
