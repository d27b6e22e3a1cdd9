"""What a report prints and writes of runs that were written by hand."""

import csv
import errno
import io
import json
import pathlib
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from rich.console import Console
from scipy import stats

from tests.train.reports.support import (
  config_of_errors,
  config_of_own,
  one_line,
  printed_report,
  report_text,
  write_arms,
  write_run,
)
from train.reports import report
from train.reports.contrasts import contrasts
from train.reports.curves import panels
from train.reports.plots import plot_differences
from train.reports.read_runs import find_runs
from train.system.errors import UserError

SLOW = pytest.mark.slow
RESULTS = pathlib.Path(__file__).parents[3] / 'results'
ERRORS = {
  'fixed-0.9': [5.0, 5.4, 4.9, 5.2],
  'better': [4.0, 4.5, 3.9, 4.1],
  'same': [5.1, 5.2, 5.0, 5.3],
}


@pytest.fixture
def output(tmp_path):
  write_arms(tmp_path, ERRORS)
  return printed_report(tmp_path)


def cells(output, arm, table=0):
  """Returns the cells of the first row of an arm in the table of arms (0) or contrasts (1)."""
  part = re.split(r'^arm ', output, flags=re.MULTILINE)[1 + table]
  line = next(line for line in part.splitlines() if line.startswith(f'{arm} '))
  return re.split(' {2,}', line.strip())


def test_mean_and_interval(output):
  interval = stats.t.interval(0.95, 3, np.mean(ERRORS['better']), stats.sem(ERRORS['better']))
  half_width = (interval[1] - interval[0]) / 2
  assert cells(output, 'better')[1:3] == [
    '4',
    f'{np.mean(ERRORS["better"]):.2f} ± {half_width:.2f}',
  ]


def test_an_unknown_arm_is_compared_by_a_paired_t_test(output):
  test = stats.ttest_rel(ERRORS['better'], ERRORS['fixed-0.9'])
  interval = test.confidence_interval()
  mean, half_width = sum(interval) / 2, (interval.high - interval.low) / 2
  same = stats.ttest_rel(ERRORS['same'], ERRORS['fixed-0.9'])
  assert test.pvalue < same.pvalue
  assert cells(output, 'better', table=1)[1:] == [
    *('fixed-0.9', 'baseline', '4', f'{mean:+.2f} ± {half_width:.2f}'),
    f'{2 * test.pvalue:.3f}'.replace('0.000', '<0.001'),
  ]


def test_words(output):
  text = one_line(output)
  assert re.search(
    r'A lower error was shown for: better against fixed-0\.9 \(by 1\.00 ± 0\.\d\d points\)\.', text
  )
  assert 'No difference was shown for: same against fixed-0.9.' in text
  assert text.index('was shown for') < text.index('arm n error %')  # the verdict is first


def test_arms_that_do_not_differ_are_one_sentence(tmp_path):
  errors = [5.0, 5.4, 4.9, 5.2]
  arms = ['fixed-0.9', 'one', 'two', 'three']
  write_arms(tmp_path, {arm: np.roll(errors, place) for place, arm in enumerate(arms)})
  said = 'No difference was shown between these 4 arms.'
  assert said in one_line(printed_report(tmp_path))


def test_one_seed_shows_nothing(tmp_path):
  write_run(tmp_path, 'fixed-0.9', 0, 5.0)
  write_run(tmp_path, 'better', 0, 1.0)
  output = printed_report(tmp_path)
  assert cells(output, 'better')[2] == '1.00'
  assert cells(output, 'better', table=1)[-2:] == ['-4.00', '-']
  said = 'One seed cannot tell a difference from noise (run more) for: better against fixed-0.9.'
  assert said in one_line(output)


def test_seeds_that_agree_to_the_last_digit_show_nothing(tmp_path):
  write_arms(tmp_path, {'fixed-0.9': [5.1, 5.4, 4.9], 'better': [4.1, 4.4, 3.9]})
  assert '3 seeds cannot tell a difference from noise (run more) for: better' in one_line(
    printed_report(tmp_path)
  )


def test_an_arm_without_a_baseline(tmp_path):
  write_run(tmp_path, 'better', 0, 1.0)
  assert 'no run of fixed-0.9 on the same seeds' in one_line(printed_report(tmp_path))


def test_only_the_same_seeds_are_compared(tmp_path):
  write_arms(tmp_path, {'fixed-0.9': [5.0, 5.4, 9.9], 'better': [4.0, 4.0]})
  assert cells(printed_report(tmp_path), 'better', table=1)[4].startswith('-1.20 ±')


def test_unfinished_runs_are_left_out_and_named(tmp_path):
  config = {**config_of_errors(), 'epochs': 3}
  write_run(tmp_path, 'fixed-0.9', 0, 5.0, epochs=3, config=config)
  write_run(tmp_path, 'fixed-0.9', 1, 90.0, epochs=1, config=config)
  output = printed_report(tmp_path)
  assert cells(output, 'fixed-0.9')[1:3] == ['1', '5.00']
  assert 'fixed-0.9: unfinished (1 of 3 epochs) with seed 1; not in the mean' in one_line(output)


def test_many_seeds_are_named_by_their_ranges(tmp_path):
  write_arms(tmp_path, {'fixed-0.9': [5.0, *[float('nan')] * 100, 6.0, float('nan')]})
  said = 'is NaN or infinite with seed 1-100, 102; not in the mean'
  assert said in one_line(printed_report(tmp_path))


@pytest.mark.parametrize('loss', ['train_loss', 'test_loss'])
def test_a_run_that_ended_without_a_result_is_not_averaged(tmp_path, loss):
  write_arms(tmp_path, {'fixed-0.9': [5.0, 6.0]})
  write_run(tmp_path, 'fixed-0.9', 2, 90.0, **{loss: float('nan')})
  output = printed_report(tmp_path)
  assert cells(output, 'fixed-0.9')[1] == '2'
  assert cells(output, 'fixed-0.9')[2].startswith('5.50 ±')
  said = 'diverged' if loss == 'train_loss' else 'is NaN or infinite'
  assert f'{said} with seed 2; not in the mean' in one_line(output)


def test_the_folder_of_an_arm_is_no_working_directory(tmp_path):
  write_run(tmp_path, 'better', 0, 1.0)
  with pytest.raises(UserError, match='holds no runs'):
    printed_report(tmp_path / 'better')
  assert not (tmp_path / 'report.md').exists()


def test_a_run_knows_how_many_epochs_it_should_have(tmp_path):
  config = {**config_of_errors(), 'epochs': 9}
  write_run(tmp_path, 'fixed-0.9', 0, 5.0, epochs=2, config=config)
  output = printed_report(tmp_path)
  assert cells(output, 'fixed-0.9')[1:3] == ['0', 'unfinished']
  assert '(2 of 9 epochs)' in output


def test_runs_of_different_settings_are_named(tmp_path):
  for arm, epochs in (('fixed-0.9', 1), ('fixed-0.95', 2)):
    config = {**config_of_own(), 'epochs': epochs}
    write_run(tmp_path, arm, 0, 5.0, epochs=epochs, config=config)
  with pytest.raises(UserError, match=r'runs that differ in epochs, 1 or 2 .*not comparable'):
    printed_report(tmp_path)


@pytest.mark.parametrize('damage', [b'epoch,seconds\n1,abc\n', b'epoch\n1\n', b'\xff\xfe'])
@pytest.mark.parametrize('table', ['metrics.csv', 'timing.csv'])
def test_a_damaged_table_is_named(tmp_path, table, damage):
  (write_run(tmp_path, 'fixed-0.9', 0, 5.0) / table).write_bytes(damage)
  with pytest.raises(UserError, match=f'{table} cannot be read'):
    printed_report(tmp_path)


def test_runs_without_an_epoch_are_no_runs(tmp_path):
  write_run(tmp_path, 'fixed-0.9', 0, 5.0, epochs=0)
  with pytest.raises(UserError, match='holds no runs with a finished epoch'):
    printed_report(tmp_path)


@pytest.mark.parametrize(
  ('seconds', 'shown'),
  [([[30.0, 2.0, 4.0], [50.0, 6.0, 8.0]], '5.00'), ([[30.0], [50.0]], '40.00')],
)
def test_the_first_epoch_which_compiles_is_not_in_the_time(tmp_path, seconds, shown):
  for seed, of_run in enumerate(seconds):
    write_run(tmp_path, 'fixed-0.9', seed, 5.0, epochs=len(of_run), seconds=of_run)
  assert cells(printed_report(tmp_path), 'fixed-0.9')[-1] == shown


@pytest.mark.parametrize('width', [60, 80, 200])
def test_no_number_and_no_head_is_cut(tmp_path, width):
  names = ('fixed-0.9', 'low0.857-high0.93', 'yoked0.857-0.93', 'lion-low0.857-high0.93')
  write_arms(
    tmp_path,
    {name: [35.0, 35.5, 36.0 + len(name)] for name in names},
    config_of_errors(),
  )
  output = printed_report(tmp_path, width)
  assert '…' not in output
  assert max(map(len, output.split('Curves:')[0].splitlines())) <= width
  for words in ('error %', 's/epoch', 'difference', 'Holm p', '±'):
    assert words in output
  assert re.search(
    r'^(low0\.857-high0\.93|low0\.857-) +yoked0\.857-(0\.93)? ', output, re.MULTILINE
  )


def test_long_names_are_broken_between_their_parts(tmp_path):
  names = ('fixed-0.9', 'low0.857-high0.93', 'low0.93-high0.857', 'lion-low0.857-high0.93')
  write_arms(tmp_path, {name: [35.0, 35.5, 36.0 + len(name)] for name in names}, config_of_own())
  lines = [line.rstrip() for line in printed_report(tmp_path, 60).splitlines()]
  assert any(line.startswith('lion-low0.857-high0.93  ') for line in lines)  # fits there
  (place,) = (place for place, line in enumerate(lines) if line == 'lion-low0.857-')
  assert re.match(r'high0\.93 +fixed-0\.9 +3 +\+', lines[place + 1])


@pytest.mark.parametrize('terminal', [False, True])
def test_without_colour_there_is_none(tmp_path, monkeypatch, terminal):
  monkeypatch.setenv('NO_COLOR', '1')
  write_arms(tmp_path, ERRORS)
  output = io.StringIO()
  report(tmp_path, Console(file=output, width=60, force_terminal=terminal))
  codes = set(re.findall(r'\x1b\[([\d;]*)m', output.getvalue()))
  assert codes <= ({'0', '1', '2', '3'} if terminal else set())  # bold, dim, italic


def test_a_metric_of_ones_own_has_its_name_and_digits(tmp_path):
  errors = {'fixed-0.9': [0.00312, 0.00305, 0.00321], 'low0.9-high0.95': [0.00212, 0.00205, 0.0022]}
  write_arms(tmp_path, errors, config_of_own())
  output = printed_report(tmp_path)
  assert 'squared error' in output
  assert 'error %' not in output
  assert 'prices: what do houses cost?' in output
  assert cells(output, 'fixed-0.9')[2].startswith('0.003127 ± ')
  said = 'squared error 0.002123 instead of 0.003127 (fixed-0.9): lower, shown.'
  assert said in one_line(output)
  with (tmp_path / 'report.csv').open() as file:
    rows = list(csv.DictReader(file))
  np.testing.assert_allclose(float(rows[0]['test_squared_error']), np.mean(errors['fixed-0.9']))
  np.testing.assert_allclose(float(rows[1]['difference']), -0.00100333, rtol=1e-5)


def test_the_same_arm_with_other_settings_is_not_averaged(tmp_path):
  for seed, rate in enumerate((0.1, 0.2)):
    config = {**config_of_own(), 'schedule': {'kind': 'constant', 'init_value': rate}}
    write_run(tmp_path, 'fixed-0.9', seed, 5.0, config=config)
  with pytest.raises(UserError, match=r'schedule\.init_value, 0\.1 or 0\.2') as raised:
    printed_report(tmp_path)
  assert 'fixed-0.9/seed-0 and fixed-0.9/seed-1' in str(raised.value)


@pytest.mark.parametrize('name', ['seed-abc', 'seed-0 copy', 'seed-00', 'seed-1'])
def test_what_is_not_a_run_is_left_out_and_named(tmp_path, name):
  config = {**config_of_own(), 'seed': 0}
  directory = write_run(tmp_path, 'fixed-0.9', 0, 5.0, config=config)
  shutil.copytree(directory, directory.with_name(name))
  output = printed_report(tmp_path)
  assert cells(output, 'fixed-0.9')[1] == '1'
  assert f'fixed-0.9/{name} is left out' in one_line(output)


@pytest.mark.parametrize(
  'damage',
  [
    *('', '[]', '{', 'null', '\x00', '{"epochs": 1}', None),
    *({'epochs': 'many'}, {'arm': {'name': 'fixed-0.9'}}, {'about': {'title': 3}}, {'newer': True}),
    {'arm': {'name': 'fixed-0.9', 'kind': 'fixed', 'momentum': 'x'}},
  ],
)
def test_a_run_without_a_readable_configuration_is_named(tmp_path, damage):
  write_arms(tmp_path, {'fixed-0.9': [5.0, 6.0]})
  path = tmp_path / 'fixed-0.9' / 'seed-1' / 'config.json'
  if damage is None:
    path.unlink()
  elif isinstance(damage, str):
    path.write_text(damage)
  else:
    path.write_text(json.dumps({**json.loads(path.read_text()), **damage}))
  with pytest.raises(UserError, match=r'config\.json is missing or damaged: .* run') as raised:
    printed_report(tmp_path)
  assert str(path) in str(raised.value)


@pytest.mark.parametrize('text', ['', '[]', '{', 'null', '\x00', '{"versions": 3}'])
def test_a_damaged_environment_does_not_matter(tmp_path, text):
  write_arms(tmp_path, {'fixed-0.9': [5.0, 6.0]})
  for path in tmp_path.glob('*/seed-*'):
    (path / 'environment.json').write_text(text)
  assert cells(printed_report(tmp_path), 'fixed-0.9')[2].startswith('5.50 ±')


@pytest.mark.parametrize(
  'name',
  [
    *(
      'fixed-0.9/seed-0/metrics.csv',
      'fixed-0.9/seed-0/config.json',
      'fixed-0.9/seed-0/SHA256SUMS',
    ),
    *('fixed-0.9/seed-0/environment.json', 'report.md', 'curves.png', 'contrasts.csv'),
  ],
)
@pytest.mark.parametrize('kind', ['folder', 'loop'])
def test_what_is_no_file_is_one_sentence(tmp_path, name, kind):
  directory = write_run(tmp_path, 'fixed-0.9', 0, 5.0)
  path = tmp_path / name
  path.unlink(missing_ok=True)
  if kind == 'folder':
    path.mkdir()
  else:
    path.symlink_to(path)
  if kind == 'loop' and path.parent == tmp_path:  # a link makes room for the file
    assert report_text(tmp_path)
    return
  with pytest.raises(UserError, match='cannot be ') as raised:
    report_text(tmp_path)
  assert str(path) in str(raised.value)
  assert '\n' not in str(raised.value)
  assert directory.exists()


def test_a_disk_that_fills_is_told(tmp_path, monkeypatch):
  write_run(tmp_path, 'fixed-0.9', 0, 5.0)
  write = pathlib.Path.write_bytes

  def fail(path, data):
    if 'curves.png' in path.name:
      write(path, data[:10])
      raise OSError(errno.ENOSPC, 'No space left on device')
    return write(path, data)

  monkeypatch.setattr(pathlib.Path, 'write_bytes', fail)
  with pytest.raises(UserError, match=f'The disk of {tmp_path} is full'):
    report_text(tmp_path)
  assert not list(tmp_path.glob('.curves*'))


def test_names_are_printed_as_they_are(tmp_path):
  config = config_of_own(title='[bold]my :smile: net[/bold]')
  write_run(tmp_path / '[red]', 'fixed-0.9', 0, 5.0, config=config)
  output = printed_report(tmp_path / '[red]')
  assert '[bold]my :smile: net[/bold]' in output
  assert str(tmp_path / '[red]' / 'curves.png') in output
  assert '\x1b' not in output


def test_the_report_holds_setting_and_versions(tmp_path):
  directory = write_run(tmp_path, 'fixed-0.9', 0, 5.0, config=config_of_own())
  environment = {'commit': 'a' * 40, 'changed': True, 'versions': {'jax': '0.10.2'}}
  environment |= {'device_kind': 'cpu', 'device_count': 2, 'machine': 'x86_64'}
  (directory / 'environment.json').write_text(json.dumps(environment))
  write_run(tmp_path, 'fixed-0.9', 1, 5.0, config=config_of_own())
  printed_report(tmp_path)
  text = (tmp_path / 'report.md').read_text()
  assert '* schedule: learning rate 0.1 throughout\n' in text
  assert '* weight decay: 0.0005\n' in text
  assert '* rule: algorithm1\n' in text
  expected = 'jax 0.10.2, 2 x cpu, commit aaaaaaaaaaaa with changes (1 of 2 runs)'
  assert f'* made with: {expected}\n* made with: not recorded (1 of 2 runs)\n' in text
  assert '| fixed-0.9 | 2 |' in text


def test_without_any_record_it_does_not_say_what_it_was_made_with(tmp_path):
  write_arms(tmp_path, {'fixed-0.9': [5.0, 6.0]})
  printed_report(tmp_path)
  assert 'made with' not in (tmp_path / 'report.md').read_text()


def test_lcam_without_its_yoked_run_claims_nothing(tmp_path):
  for arm, said in (('fixed-0.9', False), ('low0.9-high0.95', True), ('yoked0.9-0.95', False)):
    write_arms(tmp_path, {arm: [5.0, 6.0]})
    output = one_line(printed_report(tmp_path))
    assert ('Without yoked runs of low0.9-high0.95,' in output) == said


@pytest.mark.training
@pytest.mark.parametrize(
  'folder',
  [
    *('figure3', 'speech'),
    pytest.param('figure3-balanced', marks=SLOW),
  ],
)
def test_every_result_can_be_reported(folder, tmp_path):
  output = one_line(report_text(shutil.copytree(RESULTS / folder, tmp_path / folder)))
  assert 'fixed-0.9' in output
  for path in (RESULTS / folder).rglob('report.md'):
    copy = tmp_path / folder / path.relative_to(RESULTS / folder)
    assert copy.read_text() == path.read_text()
  if folder == 'figure3':
    assert 'WRN-10-1 on cifar10, first 10,000 examples; 25 epochs; batch 128; float32;' in output
    assert 'The paper, with WRN-28-10: best: low0.9-high0.95.' in output


def test_tensorboard_is_named_where_its_events_are(tmp_path):
  directory = write_run(tmp_path, 'fixed-0.9', 0, 5.0)
  assert 'tensorboard --logdir' not in printed_report(tmp_path)
  (directory / 'events.out.tfevents.1').touch()
  assert f'tensorboard --logdir {tmp_path} (pip install tensorboard)' in printed_report(tmp_path)


def test_several_parts_are_compared_in_one_table_and_plot(tmp_path):
  for part in ('one', 'deeper/two'):
    write_arms(tmp_path / part, ERRORS)
  write_run(tmp_path / 'single', 'better', 0, 1.0)
  write_run(tmp_path / 'single', 'fixed-0.9', 0, 1.0)
  assert 'Differences of all parts' in report_text(tmp_path)
  with (tmp_path / 'differences.csv').open() as file:
    rows = list(csv.DictReader(file))
  assert [(row['part'], row['arm'], row['seeds']) for row in rows] == [
    (part, arm, '4') for part in ('deeper/two', 'one') for arm in ('better', 'same')
  ]
  interval = stats.ttest_rel(ERRORS['better'], ERRORS['fixed-0.9']).confidence_interval()
  np.testing.assert_allclose(float(rows[0]['difference']), sum(interval) / 2)
  np.testing.assert_allclose(float(rows[0]['half_width']), (interval.high - interval.low) / 2)
  assert (tmp_path / 'differences.png').read_bytes().startswith(b'\x89PNG')


def test_runs_of_one_experiment_in_several_folders_are_told_apart(tmp_path):
  title = 'prices: what do houses cost?'
  for folder in ('first', 'later/again'):
    write_run(tmp_path / folder, 'fixed-0.9', 0, 1.0, config=config_of_own(title=title))
    assert title in printed_report(tmp_path / folder).splitlines()
  printed = printed_report(tmp_path).splitlines()
  assert {f'{title} (first)', f'{title} (later/again)'} <= set(printed)
  assert title not in printed


@pytest.mark.training
def test_importing_the_reports_changes_nothing_and_draws_nothing():
  code = 'import sys, train.reports; assert "matplotlib" not in sys.modules'
  code += '; import train.reports.plots; assert "matplotlib.pyplot" not in sys.modules'
  subprocess.run([sys.executable, '-c', code], check=True)


def test_runs_that_are_equal_number_by_number_give_no_interval(tmp_path):
  write_arms(tmp_path, {'fixed-0.9': [5.0, 5.0, 5.0], 'low0.9-high0.95': [4.0, 4.0, 4.0]})
  output = printed_report(tmp_path)
  assert cells(output, 'fixed-0.9')[1:3] == ['3', '5.00']
  assert 'fixed-0.9: its 3 runs are equal, number by number, and tell no interval' in one_line(
    output
  )
  assert 'was shown' not in output.replace('No difference', '')


def test_where_more_is_better_reports_say_so(tmp_path):
  higher = config_of_own(metric_column='test_AUC', metric_label='test AUC')
  higher |= {'metric': 'AUC', 'higher_is_better': True, 'epochs': 2}
  values = {'fixed-0.9': (0.70, 0.73, 0.71), 'low0.9-high0.95': (0.81, 0.83, 0.82)}
  for arm, by_seed in values.items():
    for seed, value in enumerate(by_seed):
      path = write_run(tmp_path / 'auc', arm, seed, value, 2, config=higher) / 'metrics.csv'
      path.write_text(path.read_text().replace(f'1,1.5,1.5,{value}', '1,1.5,1.5,0.9', 1))
  output = one_line(printed_report(tmp_path))
  assert 'AUC 0.8200 instead of 0.7133 (fixed-0.9): higher, shown.' in output
  assert 'above zero the arm is better' in output
  assert '* metric: test AUC, higher is better' in (tmp_path / 'auc' / 'report.md').read_text()
  with (tmp_path / 'auc' / 'report.csv').open() as file:
    assert [float(row['best_test_AUC']) for row in csv.DictReader(file)] == [0.9, 0.9]
  found = find_runs(tmp_path)[tmp_path / 'auc']
  first, *_ = panels(found, {})
  assert (first.label, first.logarithmic) == ('test AUC (higher is better)', False)
  figure = plot_differences({'auc': ('', contrasts(found).rows)}, found.metric)
  assert '(right of zero the first is better)' in figure.axes[0].get_xlabel()
  write_arms(tmp_path / 'error', ERRORS)
  assert 'below zero (of AUC above zero) the arm is better' in one_line(printed_report(tmp_path))


def test_a_tiny_metric_is_printed_with_its_digits(tmp_path):
  write_arms(tmp_path, {'fixed-0.9': [5.1e-15, 5.3e-15]}, config=config_of_own())
  assert cells(printed_report(tmp_path), 'fixed-0.9')[2].startswith('5.2')
  assert 'e-15' in printed_report(tmp_path)


def test_runs_of_other_environments_are_named(tmp_path):
  write_arms(tmp_path, {'fixed-0.9': [5.0, 6.0]})
  for path, flag in zip(sorted(tmp_path.glob('*/seed-*')), (None, 'high'), strict=True):
    settings = {'jax_default_matmul_precision': flag}
    (path / 'environment.json').write_text(json.dumps({'settings': settings}))
  said = one_line(printed_report(tmp_path))
  assert 'environments (jax_default_matmul_precision None or high): their numbers may' in said


@pytest.mark.parametrize(
  ('one', 'other', 'said'),
  [
    ({}, {'together': 'together/a', 'lanes': 16}, 'trained alone or in 16 lanes of one program'),
    (
      {'together': 'together/a', 'lanes': 8},
      {'together': 'together/b', 'lanes': 16},
      'trained in 8 lanes of one program or in 16 lanes of one program',
    ),
    ({'together': 'together/a', 'lanes': 16}, {'together': 'together/b', 'lanes': 16}, ''),
    (
      {},
      {'earlier': [{'together': 'together/a', 'lanes': 8}]},
      'trained alone or in 8 lanes of one program',
    ),
  ],
)
def test_runs_that_were_trained_together_differ_by_their_lanes_only(tmp_path, one, other, said):
  write_arms(tmp_path, {'fixed-0.9': [5.0, 6.0]})
  for path, found in zip(sorted(tmp_path.glob('*/seed-*')), (one, other), strict=True):
    (path / 'environment.json').write_text(json.dumps({'device_kind': 'cpu', **found}))
  output = one_line(printed_report(tmp_path))
  assert ('different environments' in output) == bool(said)
  assert f'({said}): their numbers may differ by rounding' in output or not said
  made = (tmp_path / 'report.md').read_text().count('* made with: ')
  assert made == (2 if said and 'earlier' not in other else 1)
