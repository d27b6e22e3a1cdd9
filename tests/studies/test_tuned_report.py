"""The report of the study of tuned methods, on results written by hand."""

import csv
import pathlib

import numpy as np
import pytest
from scipy import stats

from studies.tuned import definition
from studies.tuned.analysis import averaged, by_setting, near_ends, read_repeats, read_results
from studies.tuned.definition import FIXED, FIXED_12_FOLD, FIXED_AGAIN, LCAM, LCAM_BEST, Cell
from studies.tuned.followup import COLUMNS, DECAYED, followup_path
from studies.tuned.followup_report import against_yoked, read_followup, with_decay
from studies.tuned.report import write_report
from studies.tuned.run import TEST_COLUMNS, final_path

RANDOM = np.random.default_rng(0)
SETTINGS = definition.settings()
GOOD, BAD = LCAM[3].name, 'momo'
EFFECTS = {GOOD: -0.1, BAD: 0.2}
SEEDS = 3
COMMITTED = pathlib.Path(__file__).parents[2] / 'results' / 'tuned'


def errors_of(name, part):
  level = 0.2 if part == 'full' else 0.25
  return level * (1 + EFFECTS.get(name, 0)) * (1 + 0.01 * RANDOM.normal(size=SEEDS))


def write_cell(cell, directory):
  names = [method.name for method in definition.METHODS] + [FIXED_AGAIN, FIXED_12_FOLD]
  with final_path(cell, directory).open('w') as file:
    writer = csv.writer(file)
    writer.writerow(TEST_COLUMNS)
    for name in names:
      for part in definition.PARTS:
        # GOOD is the variant of the lowest validation loss in even repeats, the next one in odd.
        best = LCAM[3 + cell.repeat % 2].name
        validation_loss = 0.4 if name == best else 0.5
        point = int(np.argmin([x for x, _ in cell.unit_points(0)])) if name == BAD else 0
        for seed, error in enumerate(errors_of(name, part)):
          choice = (name, part, 0, point, 0.3, 0.8, validation_loss)
          writer.writerow((*choice, seed, error, 3 * error))
  with followup_path(cell, directory).open('w') as file:
    writer = csv.writer(file)
    writer.writerow(COLUMNS)
    arms = [(method.name, arm) for method in LCAM for arm in ('lcam', 'yoked')]
    for name, arm in [*arms, *((method.name, 'decay') for method in DECAYED)]:
      level = {'lcam': 1, 'yoked': 1.05, 'decay': 0.5}[arm]  # the yoked runs are worse
      for seed, error in enumerate(level * errors_of(name, 'full')):
        writer.writerow((name, arm, 0, 0.4, seed, error, 3 * error))


@pytest.fixture(scope='module')
def directory(tmp_path_factory):
  directory = tmp_path_factory.mktemp('cells')
  for cell in list(definition.cells())[:-1]:  # the last repeat is not complete
    write_cell(cell, directory)
  return directory


@pytest.fixture(scope='module')
def results(directory):
  return read_results(directory)


def mean_errors(directory, setting, name, part):
  means = []
  for repeat in range(definition.REPEATS - 1):
    with final_path(Cell(setting, repeat), directory).open() as file:
      rows = [row for row in csv.DictReader(file) if (row['method'], row['part']) == (name, part)]
    means.append(np.mean([float(row['test_error']) for row in rows]))
  return np.array(means)


def test_a_difference_is_relative_and_its_unit_is_the_repeat(directory, results):
  setting = SETTINGS[4]
  own, fixed = (mean_errors(directory, setting, name, 'full') for name in (GOOD, 'fixed'))
  expected = 100 * (own - fixed) / fixed.mean()
  np.testing.assert_allclose(results.difference(setting, GOOD), expected)
  tested = by_setting(results, 'test_error', 'full')[GOOD, setting]
  student = stats.ttest_1samp(expected, 0)
  interval = student.confidence_interval(0.95)
  mean, half_width = tested.estimate
  assert (mean - half_width, mean + half_width) == pytest.approx(tuple(interval))
  assert student.pvalue <= tested.adjusted_p <= 19 * 9 * student.pvalue
  half = mean_errors(directory, setting, GOOD, 'half')
  np.testing.assert_allclose(
    results.difference(setting, GOOD, part='half', against_part='full'),
    100 * (half - fixed) / fixed.mean(),
  )


def test_verdicts_are_those_that_were_put_in(results):
  for endpoint in definition.ENDPOINTS:
    for part in definition.PARTS:
      tested = averaged(results, endpoint, part)
      assert {name for name, one in tested.items() if one.shown} == {GOOD, BAD}
      assert tested[GOOD].estimate.mean == pytest.approx(-10, abs=1)
      assert tested[BAD].estimate.mean == pytest.approx(20, abs=1)
  assert len(by_setting(results, 'test_error', 'full')) == 19 * 9


def test_the_best_variant_is_chosen_by_validation_loss_in_every_repeat(results):
  best = results.tuned[SETTINGS[0], LCAM_BEST, 'full'].test_error
  variants = [results.tuned[SETTINGS[0], LCAM[i].name, 'full'].test_error for i in (3, 4)]
  np.testing.assert_array_equal(best[::2], variants[0][::2])
  np.testing.assert_array_equal(best[1::2], variants[1][1::2])


def test_the_followup_compares_with_yoked_runs_and_with_decay(directory, results):
  followup = read_followup(results, directory)
  assert followup.repeats == 11
  for endpoint in (0, 1):
    yoked = against_yoked(followup, endpoint)
    assert yoked[LCAM[0].name].estimate.mean == pytest.approx(-5, abs=0.5)
    assert yoked[GOOD].estimate.mean == pytest.approx(-5 * 0.9, abs=0.5)  # in percent of fixed
    assert all(one.shown for one in yoked.values())
    decay = with_decay(followup, endpoint)
    assert len(decay) == 4
    assert decay[BAD].estimate.mean == pytest.approx(20, abs=1)
    assert {name for name, one in decay.items() if one.shown} == {GOOD, BAD}
  without = followup.averaged((FIXED.name, 'decay'))
  np.testing.assert_allclose(without.mean(), -50, atol=0.5)


def test_choices_at_the_end_of_the_range_are_counted(results):
  (rate_low, rate_high), _ = near_ends(results, [BAD])
  assert (rate_low, rate_high) == (1, 0)


@pytest.mark.training
def test_the_report_says_what_was_put_in(directory, tmp_path):
  report = write_report(directory, tmp_path)
  assert report == (tmp_path / 'report.md').read_text()
  assert '11 of 12 repeats are done' in report
  assert f'1 of 12 variants are shown better than tuned fixed momentum ({GOOD})' in report
  assert f'0 are shown better than fixed momentum, and 1 worse ({BAD})' in report
  half = next(line for line in report.splitlines() if line.startswith(f'| {GOOD} | +'))
  assert float(half.split('|')[2].split('±')[0]) == pytest.approx(12.5, abs=1)  # 0.9 * 25 / 20
  fixed = next(line for line in report.splitlines() if line.startswith(f'| {FIXED.name} | +25'))
  assert fixed.endswith('| 0 of 9 | 9 of 9 |')
  assert '11 of 12 repeats are done. While' in report
  assert len(list(csv.DictReader((tmp_path / 'repeats.csv').open()))) == 9 * 11 * 23 * 2
  assert len(list(csv.DictReader((tmp_path / 'differences.csv').open()))) == 4 * 19 * 10
  for name in ('summary.png', 'differences.png'):
    assert (tmp_path / name).read_bytes().startswith(b'\x89PNG')


def test_the_committed_tables_agree():
  again = read_repeats(COMMITTED / 'repeats.csv')
  with (COMMITTED / 'differences.csv').open() as file:
    rows = [row for row in csv.DictReader(file) if row['problem'] == 'all']
  assert len(rows) == 19 * 4
  for row in rows:
    found = averaged(again, row['endpoint'], row['part'])[row['method']].estimate
    written = float(row['difference']), float(row['half_width'])
    assert tuple(found) == pytest.approx(written, rel=0.01, abs=0.01)
