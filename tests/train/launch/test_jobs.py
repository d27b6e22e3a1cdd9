"""Runs at the same time on one machine equal those made one after the other, whatever happens."""

import multiprocessing
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

import pytest

from tests.train.launch.support import check_goes_on, check_shared_runs, check_stop
from tests.train.support import (
  ALONE,
  YOKED,
  checkpoints_in,
  children_of,
  run_command,
  start,
  tables,
  wait_until,
  write_problem,
)
from train.launch.jobs import Jobs, share_of_cores
from train.launch.run import Outcome
from train.launch.worker import Result
from train.storage.locks import has_writer
from train.system.errors import UserError

THREADS = ('--cpus-per-run', share_of_cores(1))  # as many as a process has that trains alone
LONG = 60


def assert_ended(pid: int):
  """Checks that a process ends soon; who has inherited it may never ask for its status."""
  for _ in range(100):
    state = subprocess.run(['ps', '-o', 'stat=', '-p', str(pid)], capture_output=True, text=True)
    if state.stdout.strip()[:1] in ('', 'Z'):
      return
    time.sleep(0.1)
  os.kill(pid, signal.SIGKILL)
  raise AssertionError(f'{pid} goes on')


@pytest.fixture(scope='module')
def problem(tmp_path_factory):
  """Returns the problem's file and the tables of its runs made one after the other."""
  folder = tmp_path_factory.mktemp('problem')
  path = write_problem(folder)
  run_command('run', path, *ALONE, '--workdir', folder / 'runs')
  return path, tables(folder / 'runs')


@pytest.fixture(scope='module')
def long_problem(tmp_path_factory):
  folder = tmp_path_factory.mktemp('long')
  path = write_problem(folder, LONG)
  run_command('run', path, *ALONE, '--workdir', folder / 'runs')
  return path, tables(folder / 'runs')


@pytest.mark.training
def test_runs_at_the_same_time_equal_those_one_after_the_other(problem, tmp_path, monkeypatch):
  path, expected = problem
  monkeypatch.setenv('TMPDIR', str(tmp_path / 'missing'))
  monkeypatch.setattr('tempfile.tempdir', None)  # so that it looks for one again
  (tmp_path / 'scipy.py').write_text('1 / 0')
  monkeypatch.chdir(tmp_path)
  note = f"print(__import__('os').getpid(), file=open({str(tmp_path / 'processes')!r}, 'a'))\n"
  (tmp_path / path.name).write_text(path.read_text() + note)
  # The directory is relative, and the processes are to find it all the same.
  workdir = ('--workdir', os.path.relpath(tmp_path / 'runs'))
  output = run_command('run', tmp_path / path.name, '--jobs', 2, *THREADS, *ALONE, *workdir)
  assert tables(tmp_path / 'runs') == expected
  for seed in (0, 1):
    name = f'{YOKED} seed {seed}'
    assert sum(line.startswith(f'{name}  epoch 3/3  loss') for line in output.splitlines()) == 1
  assert '\x1b' not in output
  read_by = (tmp_path / 'processes').read_text().split()
  assert 1 < len(read_by) <= 1 + 2, 'the command itself and its two processes, which read it once'


@pytest.mark.training
def test_a_process_that_loses_its_parent_ends_its_last_step_and_its_children():
  program = """
import os
import sys
import time
from train.launch import jobs
from train.system.signals import Interrupts
from train.launch.run import Outcome
from train.launch.worker import Result

def last_step(task):
  with Interrupts() as interrupts:
    child = os.fork()
    if child == 0:
      time.sleep(600)
    print(child, flush=True)
    while interrupts.requested is None:
      time.sleep(0.01)
  return Result(Outcome.ENDED)

jobs.train_task = last_step
jobs.work(int(sys.argv[1]), os.getppid())
"""
  ours, theirs = multiprocessing.Pipe()
  descriptor = theirs.fileno()
  command = [sys.executable, '-c', program, str(descriptor)]
  options = {'pass_fds': [descriptor], 'stdout': subprocess.PIPE, 'start_new_session': True}
  with ours, theirs, subprocess.Popen(command, **options) as process:
    theirs.close()
    ours.send('a run')
    child = int(process.stdout.readline())
    # As if the parent had died, but that the result can be read.
    with socket.socket(fileno=os.dup(ours.fileno())) as connection:
      connection.shutdown(socket.SHUT_WR)
    assert ours.poll(120)
    assert ours.recv() == Result(Outcome.ENDED)
    assert process.wait(120) == -signal.SIGKILL
    assert_ended(child)


@pytest.mark.slow
def test_children_of_a_process_that_dies_neither_hang_the_command_nor_stay(tmp_path):
  path = write_problem(tmp_path)
  death = f"""
import os, sys, time

def data():
  if os.getpid() == os.getsid(0):  # not in the process of the command
    os.chdir({str(tmp_path)!r})
    child = os.fork()
    if child == 0:
      time.sleep(600)
    print(child, file=open('children', 'a'))
    if not os.path.exists('died'):
      open('died', 'x').close()
      print('these are my last words', file=sys.stderr)
      os._exit(3)
"""
  path.write_text(path.read_text().replace('def data():', death))
  command = start(path, '--jobs', 2, *ALONE, '--workdir', tmp_path / 'runs')
  output, errors = command.communicate(timeout=300)
  assert command.returncode == 0, errors
  assert 'to be tried again, from its newest checkpoint: exit status 3' in output
  assert 'these are my last words' in output
  children = (tmp_path / 'children').read_text().split()
  assert len(children) >= 3, 'of two processes, and of the one that replaced the dead one'
  for child in children:
    assert_ended(int(child))


def test_processes_that_cannot_have_a_temporary_file_are_refused(monkeypatch, tmp_path):
  monkeypatch.setattr('tempfile.tempdir', str(tmp_path / 'missing'))
  with pytest.raises(UserError, match='set TMPDIR to a folder that can be written'):
    Jobs(1)


@pytest.mark.slow
def test_two_commands_on_one_directory_share_its_runs(problem, tmp_path):
  path, expected = problem
  check_shared_runs((path, '--jobs', 2, *THREADS, *ALONE), tmp_path, expected)


def orphans(workdir: pathlib.Path):
  return [path for path in workdir.glob('*/seed-*') if has_writer(path)]


@pytest.mark.slow
@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_command_that_is_stopped_goes_on_to_the_same_bytes(long_problem, tmp_path, number):
  path, expected = long_problem
  arguments = path, '--jobs', 2, *THREADS, *ALONE
  processes = check_stop(number, arguments, tmp_path, expected)
  # What a killed command has left may still be saving.
  assert number == signal.SIGKILL or not orphans(tmp_path)
  check_goes_on(arguments, tmp_path, expected)
  for process in processes:
    assert_ended(process)


@pytest.mark.slow
def test_a_run_whose_process_is_killed_goes_on(long_problem, tmp_path):
  path, expected = long_problem
  command = start(path, '--jobs', 2, *THREADS, *ALONE, '--workdir', tmp_path)
  wait_until(lambda: len(checkpoints_in(tmp_path)) == 2, command)
  os.kill(children_of(command)[0], signal.SIGKILL)
  output, errors = command.communicate()
  assert command.returncode == 0, errors
  assert 'to be tried again, from its newest checkpoint: signal SIGKILL' in output
  assert tables(tmp_path) == expected
