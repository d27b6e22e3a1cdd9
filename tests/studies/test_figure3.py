"""The study of figure 3: its plan, its clockwork, its report, and a rehearsal of all of it."""

import csv
import itertools
import json
import os
import signal
import sys
import threading
import time

import numpy as np
import pytest
from rich.console import Console

from studies.figure3 import packing, run
from studies.figure3.__main__ import main
from studies.figure3.definition import ARMS, FULL, REHEARSAL, YOKED, factor, rise
from studies.figure3.report import write_report
from train.command.arguments import read_command
from train.command.commands import COMMANDS, Quickstart
from train.data import cache, find_source
from train.data.dataset import DataError
from train.data.tfds_source import cache_folder
from train.problem.changes import changed_comparisons
from train.problem.networks import WideResNet
from train.storage.configuration import run_config
from train.storage.tables import metrics_columns, run_directory
from train.system.errors import UserError


def comparison_of(size):
  """Returns what the trainer makes of the arguments of the study."""
  options = read_command(['run', *size.arguments], COMMANDS, Quickstart(), '')
  return changed_comparisons(options.name, options.changes)[0]


def test_the_runs_are_those_that_were_registered():
  comparison = comparison_of(FULL)
  assert comparison.experiment == 'figure3'
  assert comparison.network == WideResNet(16, 4)
  assert (comparison.epochs, comparison.batch_size, comparison.dtype) == (150, 128, 'bfloat16')
  assert comparison.train_examples is None
  assert [arm.name for arm in comparison.arms] == [*ARMS, *YOKED]
  assert comparison.baseline == 'fixed-0.9'
  assert FULL.runs == 24


def test_the_rise_compares_the_last_epochs_of_a_stage_with_its_middle():
  errors = np.full(150, 99.0)
  errors[71:81] = 4.0
  errors[86:91] = 4.5
  assert rise(errors) == pytest.approx(0.5)
  assert factor(errors) == pytest.approx(4.5 / 4)
  short = np.arange(float(REHEARSAL.epochs))
  assert rise(short) == 1


@pytest.mark.parametrize(
  ('seconds', 'runs', 'best'),
  [
    (np.inf, 24, 4),  # the fastest
    (200, 24, 1),  # with two at a time none would end
    (300, 24, 2),
    (600, 4, 4),
    (600, 2, 2),  # there are no more
    (100, 24, 4),  # none ends, the fastest
  ],
)
def test_as_many_runs_end_as_can(seconds, runs, best):
  rates = {1: 0.8, 2: 1.0, 4: 1.1}  # 187, 300 and 545 s for the runs at a time
  assert run.best_number(rates, 150, runs, seconds) == best


def test_speed_is_that_of_runs_at_the_same_time():
  speed = run.Speedometer(2, 8.0, epochs=150)
  # A run that has ended, one that has begun, and one that trains from the tenth second on.
  epochs = ((150, 20 + now // 2, max(0, now - 10) // 4) for now in itertools.count())
  rates = itertools.starmap(speed.look, enumerate(epochs))
  seconds = len(list(itertools.takewhile(lambda rate: rate is None, rates)))
  assert seconds == 22, 'the second run ends its epochs after 14, 18 and 22 s'
  assert speed.look(23, (150, 31, 3)) == pytest.approx(1 / 2 + 1 / 4)


def test_speed_is_measured_anew_when_a_run_ends():
  speed = run.Speedometer(1, 3.0, epochs=150)
  # The first run ends in the second second, and another one is faster.
  epochs = ((min(148 + now, 150), max(0, 2 * (now - 2))) for now in itertools.count())
  rates = itertools.starmap(speed.look, enumerate(epochs))
  assert next(rate for rate in rates if rate) == pytest.approx(2)


def test_the_limit_of_time_saves_and_stops(monkeypatch, tmp_path):
  program = tmp_path / 'trainer.py'
  program.write_text(
    'import pathlib, signal, sys, time\n'
    'path = pathlib.Path(sys.argv[1])\n'
    "signal.signal(signal.SIGTERM, lambda *_: (path.write_text('saved'), sys.exit(143)))\n"
    "path.write_text('begun')\n"
    'time.sleep(60)\n'
  )
  monkeypatch.setattr(run, '_COMMAND', (sys.executable, str(program)))
  file, start = tmp_path / 'file', time.monotonic()
  run._train([str(file)], 2, file.exists)
  assert file.read_text() == 'saved'
  assert time.monotonic() - start < 30


def test_a_failure_of_the_trainer_is_one_of_the_study(monkeypatch):
  monkeypatch.setattr(run, '_COMMAND', (sys.executable, '-c', 'raise SystemExit(2)'))
  with pytest.raises(SystemExit) as exit_info:
    run._train([], 1, lambda: False)
  assert exit_info.value.code == 2


@pytest.mark.parametrize(('name', 'value'), [('minutes', 0.0), ('jobs', 0)])
def test_impossible_numbers_are_refused(name, value):
  with pytest.raises(UserError, match=f'--{name} must be'):
    main(**{name: value})


def write_dataset(data_dir, train, test=100):
  """Prepares images that are drawn at random, and returns them by split."""
  random = np.random.default_rng(0)
  images = {
    split: random.integers(0, 256, (number, 32, 32, 3), np.uint8)
    for split, number in (('train', train), ('test', test))
  }
  names = find_source('cifar10').num_classes
  description = {'name': 'cifar10', 'class_names': [f'class {name}' for name in range(names)]}
  examples = (
    (split, image, label % names) for split in images for label, image in enumerate(images[split])
  )
  cache.write(cache_folder('cifar10', data_dir), description, examples)
  return images


def test_a_packed_data_set_is_unpacked_to_the_bit(tmp_path):
  images = write_dataset(tmp_path / 'one', 1003, 7)
  packing.pack(tmp_path / 'packed', data_dir=tmp_path / 'one')
  packing.unpack(tmp_path / 'packed', data_dir=tmp_path / 'other')
  was, found = (find_source('cifar10').load(tmp_path / name) for name in ('one', 'other'))
  for split in images:
    np.testing.assert_array_equal(getattr(found, split).inputs, images[split])
    np.testing.assert_array_equal(getattr(found, split).labels, getattr(was, split).labels)
  assert found.class_names == was.class_names
  for damage in (lambda path: path.write_bytes(b'1'), lambda path: path.unlink()):
    damage(tmp_path / 'packed' / 'train-01.webp')
    with pytest.raises(DataError, match='is missing or damaged'):
      packing.unpack(tmp_path / 'packed', data_dir=tmp_path / 'other')
  with pytest.raises(DataError, match='SHA256SUMS is missing'):
    packing.unpack(tmp_path, data_dir=tmp_path / 'other')


def write_run(workdir, comparison, arm, seed, early, late):
  """Writes the tables of a finished run whose errors in the two windows are given."""
  directory = run_directory(workdir, arm.name, seed)
  directory.mkdir(parents=True)
  partner = seed if arm.name.startswith('yoked') else None
  config = run_config(comparison, arm, seed, dataset='cifar10', partner_seed=partner)
  (directory / 'config.json').write_text(json.dumps(config))
  for name, columns in (('metrics', metrics_columns()), ('timing', ('epoch', 'seconds'))):
    with (directory / f'{name}.csv').open('w', newline='') as file:
      writer = csv.DictWriter(file, columns, lineterminator='\n')
      writer.writeheader()
      for epoch in range(1, 151):
        error = early if 72 <= epoch <= 81 else late if 87 <= epoch <= 91 else 5.0
        row = dict.fromkeys(columns, 0.5) | {'epoch': epoch, 'test_error_percent': error}
        writer.writerow({name: row[name] for name in columns})


def test_the_report_tells_the_rise_beside_the_papers(tmp_path):
  comparison, random = comparison_of(FULL), np.random.default_rng(0)
  for arm in comparison.arms:
    for seed in (0, 1):
      late = 5 + random.normal(scale=0.01) + 0.4 * (arm.name == 'fixed-0.95')
      write_run(tmp_path, comparison, arm, seed, 4.9, late)
  write_report(tmp_path, FULL, Console(quiet=True))
  text = (tmp_path / 'rise.md').read_text()
  assert '12 of 24 runs are finished. **This is an interim report.**' in text
  assert 'A higher rise of the test error was shown for: fixed-0.95 against fixed-0.9' in text
  cells = next(line for line in text.splitlines() if line.startswith('| fixed-0.95 |')).split('|')
  assert [cell.strip() for cell in cells[2:6:2]] == ['2', '0.55']
  assert cells[3].strip().startswith('0.5')
  rows = list(csv.DictReader((tmp_path / 'rise.csv').open()))
  assert len(rows) == 12
  assert (tmp_path / 'rise.png').exists()
  assert (tmp_path / 'report.md').exists()


def stop_when(condition):
  """Sends SIGTERM to this process when something is the case."""

  def watch():
    while not condition():
      time.sleep(0.1)
    os.kill(os.getpid(), signal.SIGTERM)

  threading.Thread(target=watch, daemon=True).start()


@pytest.mark.slow
def test_a_rehearsal_that_was_stopped_goes_on_on_another_machine(tmp_path):
  write_dataset(tmp_path / 'tfds', 200)
  output, data_dir = tmp_path / 'output', str(tmp_path / 'tfds')
  stop_when(lambda: run.read_speed(tmp_path / 'one') and run.ended_runs(tmp_path / 'one'))
  with pytest.raises(SystemExit) as exit_info:
    main(workdir=tmp_path / 'one', output=output, data_dir=data_dir, rehearsal=True)
  assert exit_info.value.code == 128 + signal.SIGTERM
  assert run.read_speed(output).keys() == {1, 2}
  ended = run.ended_runs(output)
  assert 0 < len(ended) < REHEARSAL.runs
  before = {path: path.read_bytes() for path in output.glob('*/*/metrics.csv')}
  main(jobs=2, workdir=tmp_path / 'two', output=output, data_dir=data_dir, rehearsal=True)
  assert len(run.ended_runs(output)) == REHEARSAL.runs
  assert all(path.read_bytes() == content for path, content in before.items())
  assert not any((tmp_path / 'two' / path / 'checkpoints').exists() for path in ended)
  assert '12 of 12 runs are finished.' in (output / 'rise.md').read_text()
  assert not list(output.rglob('checkpoints'))
