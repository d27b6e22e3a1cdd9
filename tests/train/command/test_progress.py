"""What progress looks like on terminals of any width, and in a file."""

import io
import re

import pytest
from rich.console import Console

from train.command import progress
from train.command.progress import RunTable, shortened
from train.launch.rows import Row, numbers_words


def on_terminal(width, *rows, said=''):
  """Returns the lines that a terminal of a width shows while runs are trained."""
  output = io.StringIO()
  terminal = {'force_terminal': True, 'force_interactive': True, 'color_system': 'standard'}
  with RunTable(Console(file=output, width=width, height=16, **terminal), rows) as table:
    table.say(said)
  plain = re.sub(r'\x1b\[[0-9;?]*[A-Za-z]', '', output.getvalue()).replace('\r', '\n')
  return [line.rstrip() for line in plain.splitlines() if line.strip()]


def trained(name, epoch=4, epochs=150):
  numbers = f'{numbers_words(1.2345, "test error (%)", 34.5)}  153.2 steps/s'
  return Row(name, epochs, 'compiling ...', epoch, numbers, moving=True)


@pytest.mark.parametrize('width', [60, 80, 120])
def test_a_terminal_shows_run_epoch_numbers_and_a_bar_of_all(width):
  lines = on_terminal(width, trained('low0.857-high0.93 seed 12'), Row('fixed-0.9 seed 1', 150))
  head, run, other, bar, summary = lines[-5:]
  assert head.split() == ['run', 'epoch']
  assert re.match(r'low0\.857-high0\.93 seed 12 +4/150 +loss 1\.2345 ', run)
  assert re.match(r'fixed-0\.9 seed 1 +0/150 +waits for its turn', other)
  assert re.fullmatch(r'[━╸╺]+', bar)
  assert summary == 'all runs  epoch 4/300  0 of 2 ended, 1 trained now'
  assert max(map(len, lines)) <= width


@pytest.mark.parametrize('width', [60, 120])
def test_a_terminal_shows_as_many_runs_as_there_is_room_for(width):
  rows = [Row(f'low0.857-high0.93 seed {seed}', 10) for seed in range(30)]
  for row in rows[:20]:
    row.epoch = 10
    row.end('finished')
  rows[25] = trained('low0.857-high0.93 seed 25', epochs=10)
  shown = on_terminal(width, *rows)
  assert len(shown) <= 16
  assert re.match(r'low0\.857-high0\.93 seed 25 +4/10 +loss 1\.2345 ', shown[1])
  assert shown[-1] == 'all runs  epoch 204/300  20 of 30 ended, 1 trained now'


def test_a_narrow_terminal_breaks_no_word():
  sentence = 'low0.857-high0.93 seed 12  epoch 4/4  loss 1.2345  test error 34.50 %'
  lines = on_terminal(60, trained('x'), said=sentence)
  said = lines.index('low0.857-high0.93 seed 12  epoch 4/4  loss 1.2345  test')
  assert lines[said + 1] == 'error 34.50 %'


def test_a_long_name_is_shortened_before_its_seed():
  run = on_terminal(60, trained('schedule-free-adam-low0.857-high0.93 seed 3'))[-3]
  assert run.startswith('schedule')
  assert re.search(r'…seed 3 +4/150 ', run)
  assert shortened('adam seed 1', 11) == 'adam seed 1'


def test_a_file_has_a_line_for_each_sentence_and_now_and_then_one_of_all(monkeypatch):
  output = io.StringIO()
  with RunTable(Console(file=output), [trained('[x] seed 1')]) as table:
    table.say('[x] seed 0: finished before')
    table.refresh()
    monkeypatch.setattr(progress, '_SECONDS_BETWEEN_LINES', -1)
    table.refresh()
  assert output.getvalue() == (
    '[x] seed 0: finished before\n'
    '[x] seed 1  epoch 4/150  loss 1.2345  test error 34.50 %  153.2 steps/s\n'
    'all runs  epoch 4/150  0 of 1 ended, 1 trained now\n'
  )


def test_the_time_left_follows_the_epochs_so_far(monkeypatch):
  clock = [100.0]
  monkeypatch.setattr(progress.time, 'monotonic', lambda: clock[0])
  row = Row('fixed-0.9 seed 1', 10)
  table = RunTable(Console(file=io.StringIO()), [row])
  clock[0], row.epoch = 3700.0, 5
  assert table._summary().endswith('1:00:00 left')
