"""Runs at the same time on one machine equal those made one after the other, whatever happens."""

import os
import pathlib
import pickle
import signal
import subprocess
import sys

import pytest

from tests.train.support import (
  LCAM,
  YOKED,
  checkpoints_in,
  run_command,
  start,
  tables,
  wait_until,
  write_problem,
)
from train.launch.jobs import jobs_of_small_runs, share_of_cores
from train.storage.locks import has_writer

THREADS = ('--cpus-per-run', share_of_cores(1))  # as many as a process has that trains alone
LONG = 60


@pytest.fixture(scope='module')
def problem(tmp_path_factory):
  """Returns the problem's file and the tables of its runs made one after the other."""
  folder = tmp_path_factory.mktemp('problem')
  path = write_problem(folder)
  run_command('run', path, '--workdir', folder / 'runs')
  return path, tables(folder / 'runs')


@pytest.fixture(scope='module')
def long_problem(tmp_path_factory):
  folder = tmp_path_factory.mktemp('long')
  path = write_problem(folder, LONG)
  run_command('run', path, '--workdir', folder / 'runs')
  return path, tables(folder / 'runs')


def test_runs_at_the_same_time_equal_those_one_after_the_other(problem, tmp_path):
  path, expected = problem
  # The directory is relative, and the processes are to find it all the same.
  output = run_command('run', path, '--jobs', 2, *THREADS, '--workdir', os.path.relpath(tmp_path))
  assert tables(tmp_path) == expected
  for seed in (0, 1):
    name = f'{YOKED} seed {seed}'
    assert sum(line.startswith(f'{name}  epoch 3/3  loss') for line in output.splitlines()) == 1
  assert '\x1b' not in output


def test_a_process_trains_run_after_run(tmp_path):
  path = write_problem(tmp_path)
  with path.open('a') as file:
    file.write(
      f"\nopen({str(tmp_path / 'processes')!r}, 'a').write(f'{{__import__(\"os\").getpid()}}\\n')\n"
    )
  run_command('run', path, '--jobs', 2, '--workdir', tmp_path / 'runs')
  read_by = (tmp_path / 'processes').read_text().split()
  assert len(read_by) > len(set(read_by)) > 1
  assert len(set(read_by)) <= 1 + 2, 'the command itself and its two processes'


def test_a_process_ends_that_loses_its_starter_in_the_last_step_of_a_run():
  program = """
import time
from train.launch import jobs
from train.system.signals import Interrupts
from train.launch.run import Outcome
from train.launch.worker import Result

class LastStep:
  def train(self, task):
    with Interrupts() as interrupts:
      print('training', flush=True)
      while interrupts.requested is None:
        time.sleep(0.01)
    return Result(Outcome.FINISHED)

jobs.Worker = LastStep
jobs.main()
"""
  pipe = subprocess.PIPE
  command = [sys.executable, '-c', program]
  with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe) as process:
    process.stdin.write(pickle.dumps('a run'))
    process.stdin.flush()
    assert process.stderr.readline() == b'training\n'  # earlier, the signal would just end it
    results, _ = process.communicate(timeout=120)
  assert results.splitlines() == [b'["finished", "", ""]']
  assert process.returncode == 0


@pytest.mark.parametrize(
  ('cores', 'platform', 'expected'), [(1, 'cpu', 1), (2, 'cpu', 2), (64, 'cpu', 4), (64, 'gpu', 1)]
)
def test_small_runs_share_the_cores_of_a_cpu(monkeypatch, cores, platform, expected):
  monkeypatch.setattr('os.sched_getaffinity', lambda _: range(cores), raising=False)
  monkeypatch.setattr('jax.default_backend', lambda: platform)
  assert jobs_of_small_runs() == expected


@pytest.mark.slow
def test_two_commands_on_one_directory_share_its_runs(problem, tmp_path):
  path, expected = problem
  arguments = (path, '--jobs', 2, *THREADS, '--workdir', tmp_path)
  commands = [start(*arguments) for _ in range(2)]
  outputs = [command.communicate() for command in commands]
  assert [command.returncode for command in commands] == [0, 0], outputs
  assert tables(tmp_path) == expected
  for output, _ in outputs:
    assert f'{LCAM}  ' in output, 'each command reports on all runs'
    assert '\x1b' not in output
  lines = '\n'.join(output for output, _ in outputs).splitlines()
  for arm in (LCAM, YOKED):
    for seed in (0, 1):
      name = f'{arm} seed {seed}'
      assert sum(line.startswith(f'{name}  epoch 3/3  loss') for line in lines) == 1, 'trained once'


def orphans(workdir: pathlib.Path):
  return [path for path in workdir.glob('*/seed-*') if has_writer(path)]


@pytest.mark.slow
@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_command_that_is_stopped_goes_on_to_the_same_bytes(long_problem, tmp_path, number):
  path, expected = long_problem
  arguments = (path, '--jobs', 2, *THREADS, '--workdir', tmp_path)
  command = start(*arguments)
  wait_until(lambda: len(checkpoints_in(tmp_path)) == 2, command)
  command.send_signal(number)
  output, errors = command.communicate()
  assert tables(tmp_path) != expected, 'it was stopped too late'
  if number == signal.SIGKILL:
    assert command.returncode == -signal.SIGKILL
  else:
    assert command.returncode == 128 + number
    assert 'Stopped and saved wherever each run was; go on with: ' in errors
    assert str(tmp_path) in errors
    assert 'Traceback' not in output + errors
    assert not orphans(tmp_path)
  # At once: what the killed command has left may still be saving.
  again = start(*arguments)
  output, errors = again.communicate()
  assert again.returncode == 0, errors
  assert 'goes on after epoch' in output
  assert tables(tmp_path) == expected


@pytest.mark.slow
def test_a_run_whose_process_is_killed_goes_on(long_problem, tmp_path):
  path, expected = long_problem
  command = start(path, '--jobs', 2, *THREADS, '--workdir', tmp_path)
  wait_until(lambda: len(checkpoints_in(tmp_path)) == 2, command)
  children = pathlib.Path(f'/proc/{command.pid}/task/{command.pid}/children').read_text().split()
  os.kill(int(children[0]), signal.SIGKILL)
  output, errors = command.communicate()
  assert command.returncode == 0, errors
  assert 'to be tried again, from its newest checkpoint: signal SIGKILL' in output
  assert tables(tmp_path) == expected
