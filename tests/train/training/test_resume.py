"""Runs that are killed, interrupted, damaged or crowded lose nothing that was saved."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import filelock
import jax
import pytest

from tests.train.support import (
  LCAM,
  ROOT,
  YOKED,
  count_checkpoints,
  run_command,
  wait_until,
  write_problem,
)
from train.storage import locks
from train.storage.tables import run_directory

pytestmark = pytest.mark.training
ARM = 'low0.857-high0.93'
SMALL = ('--epochs', 3, '--train-examples', 200, '--batch-size', 20, '--checkpoint-minutes', 0.002)
# Two experiments: another optimizer state, another schedule.
DIGITS = ('run', 'digits', '--arms', ARM, '--seeds', 0, *SMALL)
FIGURE_5 = (
  *('run', 'figure5', '--parts', 'cifar10', '--dataset', 'digits', '--arms', 'coin'),
  *('--depth', 10, '--width', 1, '--seeds', 1, *SMALL),
)


def start(arguments, workdir):
  command = [sys.executable, '-m', 'train', *map(str, arguments), '--workdir', str(workdir)]
  return subprocess.Popen(
    command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
  )


def run_of(workdir):
  """Returns the directory of the only run below a directory."""
  (config,) = workdir.rglob('config.json')
  return config.parent


def tables_of(workdir):
  """Returns the bytes of the tables that hold nothing of the clock."""
  return [(run_of(workdir) / name).read_bytes() for name in ('metrics.csv', 'phases.csv')]


def wait_for_checkpoint(process, workdir, count=1):
  """Waits until a run has saved a number of checkpoints (the newest is at least the count-th)."""
  wait_until(lambda: count_checkpoints(workdir) >= count, process)


@pytest.fixture(scope='module')
def finished(tmp_path_factory):
  """Returns the working directory and the output of a run left alone."""
  workdir = tmp_path_factory.mktemp('undisturbed')
  return workdir, run_command(*DIGITS, '--workdir', workdir, columns=10_000)


@pytest.fixture(scope='module')
def undisturbed(finished):
  """Returns the metrics and phases of a run left alone."""
  return tables_of(finished[0])


def test_a_killed_run_goes_on_to_the_same_bytes(undisturbed, tmp_path):
  process = start(DIGITS, tmp_path)
  wait_for_checkpoint(process, tmp_path)
  process.kill()
  process.wait()
  assert tables_of(tmp_path) != undisturbed, 'it was killed too late'
  run_command(*DIGITS, '--workdir', tmp_path)
  assert tables_of(tmp_path) == undisturbed


@pytest.mark.slow
@pytest.mark.parametrize('arguments', [DIGITS, FIGURE_5], ids=['digits', 'figure5'])
def test_twenty_kills_at_random_moments(arguments, tmp_path):
  run_command(*arguments, '--workdir', tmp_path / 'undisturbed')
  expected = tables_of(tmp_path / 'undisturbed')
  draw = random.Random(0)
  start_time = time.monotonic()
  process = start(arguments, tmp_path / 'timed')
  process.communicate()
  duration = time.monotonic() - start_time
  killed_midway = 0
  for trial in range(10):
    workdir = tmp_path / str(trial)
    for _ in range(2):
      process = start(arguments, workdir)
      try:
        process.communicate(timeout=draw.uniform(0.2, 1.0) * duration)
      except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        killed_midway += count_checkpoints(workdir) > 0
    process = start(arguments, workdir)
    output, _ = process.communicate()
    assert process.returncode == 0, output
    assert tables_of(workdir) == expected
  assert killed_midway, 'no kill came after a checkpoint'


@pytest.fixture(scope='module')
def stopped_once(tmp_path_factory):
  workdir = tmp_path_factory.mktemp('stopped')
  process = start(DIGITS, workdir)
  wait_for_checkpoint(process, workdir, count=2)
  process.send_signal(signal.SIGTERM)
  output, _ = process.communicate()
  return workdir, process.returncode, output


@pytest.fixture
def stopped(stopped_once, tmp_path):
  """Returns a working directory with an unfinished run that has two checkpoints."""
  return shutil.copytree(stopped_once[0], tmp_path / 'stopped')


def test_a_signal_saves_and_names_the_command_to_go_on(undisturbed, stopped_once, stopped):
  workdir, status, output = stopped_once
  assert status == 128 + signal.SIGTERM
  assert 'Stopped and saved in epoch' in output
  assert f'--workdir {workdir}' in output.split('go on with: ')[1]
  assert 'Traceback' not in output
  run_command(*DIGITS, '--workdir', stopped)
  assert tables_of(stopped) == undisturbed


@pytest.mark.slow
def test_ctrl_c_does_what_sigterm_does(tmp_path):
  process = start(DIGITS, tmp_path)
  wait_for_checkpoint(process, tmp_path)
  process.send_signal(signal.SIGINT)
  output, _ = process.communicate()
  assert process.returncode == 130
  assert 'Stopped and saved in epoch' in output
  assert 'Traceback' not in output


def checkpoints(workdir):
  folders = (run_of(workdir) / 'checkpoints').iterdir()
  return sorted((path for path in folders if path.name.isdigit()), key=lambda path: int(path.name))


def damage_by_flipping(checkpoint):
  for path in checkpoint.rglob('*'):
    if path.is_file() and path.parent.name == 'd':
      content = bytearray(path.read_bytes())
      content[len(content) // 2] ^= 0xFF
      path.write_bytes(content)


def damage_by_cutting(checkpoint):
  for path in checkpoint.rglob('*'):
    if path.is_file():
      os.truncate(path, path.stat().st_size // 2)


@pytest.mark.parametrize(
  'damage', [damage_by_flipping, pytest.param(damage_by_cutting, marks=pytest.mark.slow)]
)
def test_a_damaged_checkpoint_is_reported_and_the_one_before_used(undisturbed, stopped, damage):
  *_, before, newest = checkpoints(stopped)
  damage(newest)
  output = run_command(*DIGITS, '--workdir', stopped)
  assert f'{newest} is damaged and not used' in output
  assert f'{before} is damaged' not in output
  assert tables_of(stopped) == undisturbed


def test_checkpoints_that_cannot_be_read_are_kept(stopped, refused):
  folders = checkpoints(stopped)
  for folder in folders:
    damage_by_cutting(folder)
  message = refused(*DIGITS, '--workdir', stopped)
  assert 'No checkpoint in' in message
  assert checkpoints(stopped) == folders


def test_damaged_tables_and_the_environment_are_written_anew(undisturbed, stopped):
  for name in ('metrics.csv', 'phases.csv', 'timing.csv'):
    (run_of(stopped) / name).write_bytes(b'\xffabc')
  path = run_of(stopped) / 'environment.json'
  environment = json.loads(path.read_text())
  assert environment['versions']['jax'] == jax.__version__
  assert environment['device_count'] == jax.device_count()
  assert isinstance(environment['changed'], bool | None)
  path.write_text('{}')  # it is no part of the configuration
  run_command(*DIGITS, '--workdir', stopped)
  assert tables_of(stopped) == undisturbed
  assert json.loads(path.read_text()) == environment


def test_a_half_written_checkpoint_is_not_seen(undisturbed, stopped):
  newest = checkpoints(stopped)[-1]
  newest.rename(newest.with_name(f'{newest.name}.orbax-checkpoint-tmp'))
  run_command(*DIGITS, '--workdir', stopped)
  assert tables_of(stopped) == undisturbed


def test_another_configuration_is_refused_and_changes_nothing(stopped, refused):
  before = {path: path.stat().st_mtime_ns for path in stopped.rglob('*') if path.is_file()}
  message = refused(*DIGITS, '--workdir', stopped, '--dtype', 'bfloat16')
  assert 'dtype was float32, is bfloat16' in message
  assert before == {path: path.stat().st_mtime_ns for path in stopped.rglob('*') if path.is_file()}


def test_a_damaged_configuration_is_refused(stopped, refused):
  (run_of(stopped) / 'config.json').write_text('{')
  assert 'config.json is damaged' in refused(*DIGITS, '--workdir', stopped)


def test_a_second_process_refuses(tmp_path, refused):
  lock = run_directory(tmp_path, ARM, 0) / '.lock'
  lock.parent.mkdir(parents=True)
  with filelock.FileLock(lock):
    message = refused(*DIGITS, '--workdir', tmp_path)
  assert f'Another process is running in {tmp_path}' in message
  assert not (lock.parent / 'checkpoints').exists()


def test_a_plan_of_another_process_that_does_not_end_is_refused(tmp_path, refused, monkeypatch):
  monkeypatch.setattr(locks, '_SECONDS_FOR_A_PLAN', 0.1)
  with filelock.FileLock(tmp_path / '.lock'):
    message = refused(*DIGITS, '--workdir', tmp_path)
  assert f'Another process is running in {tmp_path}' in message
  assert not list(tmp_path.rglob('config.json'))


def test_what_another_process_trains_is_left_to_it(tmp_path):
  arguments = ('run', write_problem(tmp_path), '--workdir', tmp_path / 'runs')
  lock = run_directory(tmp_path / 'runs', LCAM, 0) / '.lock'
  lock.parent.mkdir(parents=True)
  with filelock.FileLock(lock):
    output = run_command(*arguments)
  assert f'{LCAM} seed 0: left to another process, which trains it' in output
  assert f'{YOKED} seed 1: left out, because its partner, {LCAM} seed 0, has no phases' in output
  assert f'{YOKED} seed 0  epoch 3/3' in output
  assert not (lock.parent / 'metrics.csv').exists()
  output = run_command(*arguments)
  assert f'{LCAM} seed 0  epoch 3/3' in output
  assert f'{YOKED} seed 1  epoch 3/3' in output


def test_a_run_that_diverges_is_stopped_and_the_others_go_on(tmp_path, capsys):
  arms = ('--arms', 'fixed-0.9', LCAM, '--seeds', 0, '--learning-rate', 1e38)
  arguments = ('run', write_problem(tmp_path), *arms, '--workdir', tmp_path / 'runs')
  output = run_command(*arguments, status=1)
  assert 'All runs of sums diverged, as said above, and there is no' in capsys.readouterr().err
  assert 'fixed-0.9 seed 0 diverged in epoch 1, step' in output
  assert 'try a lower learning rate or momentum' in output
  assert f'{LCAM} seed 0 diverged' in output
  assert 'fixed-0.9: diverged with seed 0; not in the mean' in output
  assert 'fixed-0.9 seed 0: diverged before' in run_command(*arguments, status=1)


def test_the_setting_is_printed_in_words_and_saved(finished):
  workdir, output = finished
  assert 'WRN-10-1 on digits, first 200 examples; 3 epochs of batch 20; learning rate 0.1' in output
  assert '{' not in output
  config = json.loads((run_of(workdir) / 'config.json').read_text())
  assert (config['batch_size'], config['arm']['name']) == (20, ARM)
  assert list(run_of(workdir).glob('events.*'))


@pytest.mark.slow
@pytest.mark.skipif(os.name != 'posix' or os.getuid() != 0, reason='mounts a small file system')
def test_a_full_disk_stops_the_run_and_the_last_checkpoint_is_intact(undisturbed, tmp_path):
  disk = tmp_path / 'disk'
  disk.mkdir()
  subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=4m', 'tmpfs', disk], check=True)
  try:
    process = start(DIGITS, disk / 'runs')
    wait_for_checkpoint(process, disk, count=1)
    subprocess.run(['dd', 'if=/dev/zero', f'of={disk / "ballast"}', 'bs=4k'], check=False)
    output, _ = process.communicate()
    assert process.returncode == 2, output
    assert 'is full; the last checkpoint is intact' in output.splitlines()[-1]
    assert 'Traceback' not in output
    (disk / 'ballast').unlink()
    output, _ = start(DIGITS, disk / 'runs').communicate()
    assert tables_of(disk) == undisturbed, output
  finally:
    subprocess.run(['umount', '-l', disk], check=True)
