"""What progress looks like on terminals of any width, and in a file."""

import io
import re

import pytest
from rich.console import Console

from train.command.progress import RunProgress, shortened
from train.storage.tables import EpochRecord

RECORD = EpochRecord(4, 1.2345, 1.0, 34.5, 0.1, 0.4, 0.9, 1.0)


def on_terminal(width, name='low0.857-high0.93 seed 12', epochs=150):
  """Returns the lines that a terminal of a width shows while a run is trained."""
  output = io.StringIO()
  terminal = {'force_terminal': True, 'force_interactive': True, 'color_system': 'standard'}
  with RunProgress(
    Console(file=output, width=width, **terminal), runs=15, epochs=epochs
  ) as progress:
    progress.start_run(name, 3)
    progress.epoch(RECORD, 153.2)
  plain = re.sub(r'\x1b\[[0-9;?]*[A-Za-z]', '', output.getvalue()).replace('\r', '\n')
  return [line.rstrip() for line in plain.splitlines()]


@pytest.mark.parametrize('width', [60, 80, 120])
def test_a_terminal_shows_run_bar_epoch_time_left_and_numbers(width):
  total, run, numbers = on_terminal(width)[-3:]
  assert re.fullmatch(r'all runs .*[━╸╺].* epoch 4/2250 +\d+:\d\d:\d\d *', total)
  assert re.fullmatch(r'low0\.857-high0\.93 seed 12 .*[━╸╺].* epoch 4/150 +\d+:\d\d:\d\d *', run)
  assert numbers.strip() == 'loss 1.2345  test error 34.50 %  153.2 steps/s'
  assert max(map(len, (total, run, numbers))) <= width


def test_a_narrow_terminal_breaks_no_word():
  lines = on_terminal(60, epochs=4)
  said = lines.index('low0.857-high0.93 seed 12  epoch 4/4  loss 1.2345  test')
  assert lines[said + 1] == 'error 34.50 %  153.2 steps/s'


def test_a_long_name_is_shortened_before_its_seed():
  run = on_terminal(60, 'schedule-free-adam-low0.857-high0.93 seed 3')[-2]
  assert run.startswith('schedule')
  assert re.search(r'…seed 3 .* epoch 4/150 +\d', run)
  assert shortened('adam seed 1', 11) == 'adam seed 1'


def in_file(epochs, **options):
  output = io.StringIO()
  with RunProgress(Console(file=output), 2, epochs, **options) as progress:
    progress.skip_run('[x] seed 0: finished before')
    progress.start_run('[x] seed 1', 0)
    for epoch in range(1, epochs + 1):
      progress.epoch(RECORD._replace(epoch=epoch), 153.2)
  return output.getvalue()


def test_a_file_has_a_line_at_the_end_of_each_run():
  assert in_file(2) == (
    '[x] seed 0: finished before\n'
    '[x] seed 1  epoch 2/2  loss 1.2345  test error 34.50 %  153.2 steps/s\n'
  )


def test_a_metric_has_its_own_name():
  assert 'test squared error 34.5 ' in in_file(1, metric_label='test squared error')


def test_a_run_that_diverges_in_its_last_epoch_ends_once():
  with RunProgress(Console(file=io.StringIO()), 1, 4) as progress:
    progress.start_run('fixed-0.9 seed 1', 3)
    progress.epoch(RECORD._replace(train_loss=float('nan')), 1.0)
    progress.end_run()
