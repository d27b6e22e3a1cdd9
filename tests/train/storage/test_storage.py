"""What happens on the disk while a run is trained ends it promptly, with one sentence."""

import os
import shutil
import subprocess
import time

import pytest

from tests.train.support import (
  LCAM,
  YOKED,
  checkpoints_in,
  start,
  tables,
  wait_until,
  write_problem,
)

pytestmark = pytest.mark.slow
LONG = 400
SECONDS = 30  # far below the five minutes that Orbax's threads may hold up an exit


def remove_the_run(run):
  shutil.rmtree(run, ignore_errors=True)


def remove_the_checkpoints(run):
  # Renamed first, because a folder that is written to at the same time cannot be removed.
  shutil.rmtree((run / 'checkpoints').rename(run / 'removed'), ignore_errors=True)


def replace_the_checkpoints(run):
  (run / 'checkpoints').rename(run / 'moved')
  (run / 'checkpoints').write_text('')


def remove_a_table(run):
  (run / 'metrics.csv').unlink()


@pytest.fixture
def problem(tmp_path):
  return write_problem(tmp_path, LONG)


def end_of(command):
  begin = time.monotonic()
  output, errors = command.communicate(timeout=2 * SECONDS)
  assert time.monotonic() - begin < SECONDS
  assert command.returncode == 2, output + errors
  assert 'Traceback' not in output + errors
  assert len(errors.splitlines()) == 1, errors
  return errors


@pytest.mark.parametrize(
  'attack',
  [remove_the_run, remove_the_checkpoints, replace_the_checkpoints, remove_a_table],
)
def test_what_disappears_is_told_at_once(problem, tmp_path, attack):
  runs = tmp_path / 'runs'
  command = start(problem, '--workdir', runs, '--arms', LCAM, '--seeds', 0)
  wait_until(lambda: checkpoints_in(runs), command)
  attack(runs / LCAM / 'seed-0')
  errors = end_of(command)
  assert 'cannot be used' in errors
  assert str(runs) in errors


def checkpoints_as_a_file(run):
  (run / 'checkpoints').write_text('')


def a_lock_that_is_a_folder(run):
  (run / '.lock').mkdir()


def a_table_that_is_a_folder(run):
  (run / 'metrics.csv').mkdir()


@pytest.mark.parametrize(
  'attack', [checkpoints_as_a_file, a_lock_that_is_a_folder, a_table_that_is_a_folder]
)
def test_what_is_in_the_way_is_told_at_once(problem, tmp_path, attack):
  run = tmp_path / 'runs' / LCAM / 'seed-0'
  run.mkdir(parents=True)
  attack(run)
  assert 'cannot be used' in end_of(start(problem, '--workdir', tmp_path / 'runs'))


@pytest.mark.skipif(os.name != 'posix' or os.getuid() != 0, reason='mounts a file system')
def test_a_read_only_disk_is_told(tmp_path):
  problem = write_problem(tmp_path)
  disk = tmp_path / 'disk'
  disk.mkdir()
  subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=40m', 'tmpfs', disk], check=True)
  try:
    output, errors = start(problem, '--workdir', disk / 'runs').communicate()
    before = tables(disk / 'runs')
    assert YOKED in output, errors
    subprocess.run(['mount', '-o', 'remount,ro', disk], check=True)
    for workdir in (disk / 'runs', disk / 'others'):
      assert 'Read-only file system' in end_of(start(problem, '--workdir', workdir))
    assert tables(disk / 'runs') == before
  finally:
    subprocess.run(['umount', '-l', disk], check=True)
