"""The verdict of a report: a sentence for each LCAM, and what so many seeds can show."""

import re

import numpy as np
import pytest

from tests.train.reports.support import config_of_own, write_arms
from train.reports.contrasts import contrasts
from train.reports.read_runs import find_runs
from train.reports.verdict import verdict

NOISE = np.array([0.0, 0.2, -0.1, -0.2, 0.1, 0.15])


def said(tmp_path, means):
  """Returns the verdict on arms with these means, which scatter by a tenth."""
  errors = {arm: mean + np.roll(NOISE, turn) for turn, (arm, mean) in enumerate(means.items())}
  write_arms(tmp_path, errors, config_of_own(baseline='fixed-0.9'))
  found = find_runs(tmp_path)[tmp_path]
  return verdict(found, contrasts(found), '.2f')


def test_each_lcam_has_a_sentence_with_its_yoked_run(tmp_path):
  means = {'fixed-0.9': 6.0, 'low0.95-high0': 4.5, 'yoked0.95-0': 6.1, 'low0-high0.95': 6.02}
  better, other, smallest = said(tmp_path, means)
  assert re.fullmatch(
    r'LCAM with the high momentum in the low-loss phase \(low0.95-high0\): squared error 4.5\d '
    r'instead of 6.0\d \(fixed-0.9\): lower, shown; its yoked run 6.1\d: no difference shown. Against '
    r'its yoked run -1.60 ± 0.\d\d: lower, shown.',
    better,
  )
  assert re.fullmatch(r'LCAM .* high-loss phase .*: .*\(fixed-0.9\): no difference shown\.', other)
  assert smallest.startswith('The smallest difference that 6 seeds show here: 0.')


@pytest.mark.parametrize('factor', [0.98, 1.02])
def test_the_smallest_difference_is_just_shown(tmp_path, factor):
  means = {'fixed-0.9': 6.0, 'low0.95-high0': 5.0, 'yoked0.95-0': 6.0}
  smallest = float(said(tmp_path / 'first', means)[-1].split()[-1].rstrip('.'))
  means['low0.95-high0'] = 6 - factor * smallest
  write_arms(
    tmp_path / 'second',
    {arm: mean + np.roll(NOISE, turn) for turn, (arm, mean) in enumerate(means.items())},
    config_of_own(baseline='fixed-0.9'),
  )
  rows = contrasts(find_runs(tmp_path / 'second')[tmp_path / 'second']).rows
  (row,) = (row for row in rows if row.arm == 'low0.95-high0' and row.kind == 'baseline')
  assert (row.p < 0.05 / len(rows)) == (factor > 1)


def test_nothing_shown_is_one_sentence(tmp_path):
  arms = ('fixed-0.9', 'low0.9-high0.95', 'yoked0.9-0.95', 'low0.95-high0.9', 'yoked0.95-0.9')
  sentence, smallest = said(tmp_path, dict.fromkeys(arms, 5.0))
  assert sentence == 'No difference was shown between these 5 arms.'
  assert smallest.startswith('The smallest difference')
