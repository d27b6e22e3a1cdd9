"""What the plots show."""

import numpy as np
import pytest
from matplotlib import image

from tests.train.reports.support import config_of_own, report_text, write_arms, write_run
from train.problem.arms import OTHERS, arm_of_name
from train.reports.contrasts import contrasts
from train.reports.curves import MOST_DIVERGED, panels, published_curves
from train.reports.last_values import last_values
from train.reports.plots import draw_curves
from train.reports.read_runs import find_runs
from train.reports.styles import BLACK, style_of
from train.reports.tables import arm_rows


def found_last_values(found):
  return last_values(found, arm_rows(found), contrasts(found).rows, '.2f')


def drawn(workdir, published=None):
  found = find_runs(workdir)[workdir]
  last = found_last_values(found)
  return draw_curves(found, panels(found, published or {}), last, 'a small network on nothing')


def style(name):
  return style_of(name, arm_of_name(name).config())


def test_an_arm_keeps_its_colour_in_every_report(tmp_path):
  write_arms(tmp_path / 'one', {'fixed-0.9': [1.0], 'low0.9-high0.95': [1.0]}, config_of_own())
  write_arms(
    tmp_path / 'two', {'adam': [1.0], 'low0.9-high0.95': [1.0]}, config_of_own(baseline='adam')
  )
  colours = [
    {line.get_color() for line in drawn(tmp_path / folder).axes[0].lines}
    for folder in ('one', 'two')
  ]
  assert style('low0.9-high0.95').color in colours[0] & colours[1]
  assert style('fixed-0.9').color == BLACK


def test_arms_look_different():
  names = ['fixed-0.9', 'fixed-0.95']
  for low, high in ((0.9, 0.95), (0.857, 0.93)):
    names += [f'low{low}-high{high}', f'low{high}-high{low}']
    names += [f'yoked{low}-{high}', f'coin{low}-{high}', f'adam-low{low}-high{high}']
  names += [arm.name for arm in OTHERS]
  assert len(set(map(style, names))) == len(names)


def test_the_look_of_an_unknown_arm_is_the_same_in_every_process():
  assert style_of('my arm', {'kind': 'own'}) == ('#56B4E9', (0, (1.2, 1.2)), '')


@pytest.mark.parametrize(('seeds', 'lines', 'bands'), [(1, 1, 0), (2, 2, 0), (3, 1, 1)])
def test_few_seeds_are_drawn_as_runs(tmp_path, seeds, lines, bands):
  for seed in range(seeds):
    write_run(tmp_path, 'fixed-0.9', seed, 5.0 + seed, epochs=3)
  errors = drawn(tmp_path).axes[0]
  assert len(errors.lines) == lines
  assert len(errors.collections) == bands


def test_of_many_arms_the_last_interval_is_drawn_and_no_bands(tmp_path):
  arms = ['fixed-0.9', 'fixed-0.95', 'low0.9-high0.95', 'low0.95-high0.9', 'adam', 'lion']
  for arm in arms:
    for seed in range(3):
      write_run(tmp_path, arm, seed, 5.0 + seed, epochs=3)
  errors = drawn(tmp_path).axes[0]
  assert len(errors.containers) == len(arms)
  for bar in errors.containers:
    ((_, low), (_, high)) = bar.lines[2][0].get_segments()[0]
    # Student's t with two degrees of freedom, of a standard deviation of one
    np.testing.assert_allclose([low, high], 6 + 4.30265 / np.sqrt(3) * np.array([-1, 1]), rtol=1e-5)
  assert [type(shape).__name__ for shape in errors.collections] == ['LineCollection'] * len(arms)


def test_a_mean_leaves_a_diverged_run_out(tmp_path):
  for seed, (error, loss) in enumerate([(4.0, 1.0), (5.0, 1.0), (6.0, 1.0), (90.0, float('nan'))]):
    write_run(tmp_path, 'fixed-0.9', seed, error, epochs=2, train_loss=loss)
  mean, lost = drawn(tmp_path).axes[0].lines
  np.testing.assert_allclose(mean.get_ydata(), [5.0, 5.0])
  np.testing.assert_allclose(lost.get_ydata(), [90.0, 90.0])


def test_of_many_diverged_runs_a_few_are_drawn_and_the_axes_fit_the_others(tmp_path):
  write_arms(tmp_path, {'fixed-0.9': [4.0, 5.0, 6.0]})
  for seed in range(3, 20):
    write_run(tmp_path, 'fixed-0.9', seed, 90.0, train_loss=float('nan'))
  errors = drawn(tmp_path).axes[0]
  assert len(errors.lines) == 1 + MOST_DIVERGED
  assert errors.get_ylim()[1] < 10
  assert errors.get_xlim()[0] == pytest.approx(1, abs=0.1)


def test_the_last_values_of_many_seeds_are_histograms(tmp_path):
  seeds = 12
  errors = {
    'fixed-0.9': np.arange(seeds) + 5.0,
    'low0.9-high0.95': 4 + np.arange(seeds)[::-1] * 0.5,
  }
  write_arms(tmp_path, {arm: of_arm[:10] for arm, of_arm in errors.items()})
  assert len(drawn(tmp_path).axes) == 4
  for arm, of_arm in errors.items():
    for seed in range(10, seeds):
      write_run(tmp_path, arm, seed, of_arm[seed])
  found = find_runs(tmp_path)[tmp_path]
  values, differences = found_last_values(found)
  for one in values.arms:
    counts = np.histogram(errors[one.arm], values.edges)[0]
    np.testing.assert_array_equal(one.counts, counts)
    assert one.counts.sum() == seeds
  (one,) = differences.arms
  paired = errors['low0.9-high0.95'] - errors['fixed-0.9']
  np.testing.assert_array_equal(one.counts, np.histogram(paired, differences.edges)[0])
  (row,) = contrasts(found).rows
  assert one.estimate == row.estimate
  assert f'(n={seeds})\nHolm p ' in one.words
  assert len(drawn(tmp_path).axes) == 6


@pytest.mark.parametrize(
  ('values', 'bins'),
  [
    ([2.0] * 20, 1),
    ([2.0] * 19 + [2.5], 2),
    (np.arange(100) / 7, 34),  # three of the steps of a seventh in each
    ([*np.random.default_rng(0).normal(size=200), 1e6], 40),  # one is far beyond
  ],
)
def test_every_seed_is_in_a_histogram(tmp_path, values, bins):
  write_arms(tmp_path, {'fixed-0.9': values})
  (drawn,) = found_last_values(find_runs(tmp_path)[tmp_path])
  (one,) = drawn.arms
  assert one.counts.sum() == len(values)
  assert len(one.counts) == bins
  assert ('also count 1 beyond' in drawn.label) == (max(values) > 1e3)
  if bins == 34:
    assert set(one.counts[:-1]) == {3}


def test_title_and_setting_are_in_the_figure(tmp_path):
  write_arms(tmp_path, {'fixed-0.9': [1.0]}, config_of_own())
  header = drawn(tmp_path).get_suptitle()
  assert header.splitlines() == ['prices: what do houses cost?', 'a small network on nothing']


def test_the_papers_curves_have_panels_of_their_own(tmp_path):
  config = config_of_own(published_network='WRN-28-10')
  write_arms(tmp_path, {'fixed-0.9': [30.0], 'coin0.9-0.95': [30.0]}, config)
  published = published_curves('figure3', 'cifar10')
  published['test_squared_error'] = published.pop('test_error_percent')
  figure = drawn(tmp_path, published)
  assert len(figure.axes) == 6
  assert all(len(axis.lines) == 2 for axis in figure.axes[:2])
  (curve,) = (line for line in figure.axes[2].lines if len(line.get_xdata()) > 2)
  np.testing.assert_array_equal(
    curve.get_xdata(), published['test_squared_error']['fixed-0.9'][:, 0]
  )
  assert 'WRN-28-10' in figure.axes[2].get_title(loc='left')
  assert any('from epoch 62 on' in text.get_text() for text in figure.axes[2].texts)


@pytest.mark.training
def test_the_picture_is_written(tmp_path):
  write_arms(tmp_path, {'fixed-0.9': [5.0, 6.0]})
  report_text(tmp_path)
  pixels = image.imread(tmp_path / 'curves.png')
  assert min(pixels.shape[:2]) > 400
  assert len(np.unique(pixels.reshape(-1, pixels.shape[-1]), axis=0)) > 10


def test_a_run_that_diverged_at_once_can_be_drawn(tmp_path):
  write_run(tmp_path, 'fixed-0.9', 0, float('nan'), train_loss=float('nan'))
  assert 'diverged' in report_text(tmp_path)
