"""What is done about runs that end in other ways than they should, and what is shown meanwhile."""

import dataclasses
import hashlib
import io

import filelock
import pytest
from rich.console import Console

from tests.train.support import LCAM, YOKED, write_problem
from train.command.progress import RunTable
from train.launch import driver
from train.launch.plan import plan_runs
from train.launch.run import Outcome
from train.launch.worker import Result, Shared
from train.problem.changes import Changes, changed_comparisons
from train.storage.tables import SUMS, run_directory
from train.training.trainer import Settings

EPOCHS = 3


class ScriptedWorkers:
  """Trains nothing: each task has the results that were scripted for it, then finishes."""

  def __init__(self, **results):
    self.results = {name: list(several) for name, several in results.items()}
    self.submitted, self.waiting = [], []

  def has_room(self):
    return True

  def submit(self, task):
    self.submitted += task.runs
    self.waiting.append(task)

  def wait(self, seconds):
    ended, self.waiting = self.waiting, []
    return [(task, self._result(task)) for task in ended]

  def _result(self, task):
    ((arm, seed),) = task.runs
    scripted = self.results.get(f'seed{seed}' if arm == LCAM else 'yoked')
    if scripted:
      result = scripted.pop(0)
      return Result(result) if isinstance(result, Outcome) else result
    finish(run_directory(task.workdir, arm, seed))
    return Result(Outcome.ENDED, f'{arm} seed {seed} is done\n')

  def request_stop(self):
    pass

  def close(self):
    pass


def finish(directory, loss='0.5', phases=EPOCHS):
  rows = [f'{epoch + 1},{loss},5.0' for epoch in range(EPOCHS)]
  text = '\n'.join(['epoch,train_loss,test_error_percent', *rows, ''])
  (directory / 'metrics.csv').write_text(text)
  timing = [f'{epoch + 1},2.5,8' for epoch in range(EPOCHS)]
  (directory / 'timing.csv').write_text('\n'.join(['epoch,seconds,steps_per_second', *timing, '']))
  phases = [f'{epoch + 1},01' for epoch in range(phases)]
  (directory / 'phases.csv').write_text('\n'.join(['epoch,high_loss_phases', *phases, '']))
  names = ('config.json', 'phases.csv', 'timing.csv', 'metrics.csv')
  digests = {name: hashlib.sha256((directory / name).read_bytes()).hexdigest() for name in names}
  (directory / SUMS).write_text(''.join(f'{digest}  {name}\n' for name, digest in digests.items()))


@pytest.fixture
def run_with(tmp_path, monkeypatch):
  """Returns a function that runs the small problem; it returns what failed, and the output."""
  monkeypatch.setattr(driver, '_SECONDS_BETWEEN_TRIES', 0.0)
  problem, workdir = str(write_problem(tmp_path, EPOCHS)), tmp_path / 'runs'

  def run(workers, arms=()):
    output = io.StringIO()
    console = Console(file=output, width=80)
    changes = Changes(arms=arms)
    (comparison,) = changed_comparisons(problem, changes)
    shared = Shared(problem, changes, Settings(), True, 1, False, ())
    failure = driver.run_together({workdir: comparison}, shared, console, workers, RunTable)
    return failure, output.getvalue()

  run.workdir, run.problem = workdir, problem
  return run


def test_yoked_runs_come_after_their_partners(run_with):
  workers = ScriptedWorkers()
  failure, output = run_with(workers)
  assert failure is None
  assert workers.submitted[:2] == [(LCAM, 0), (LCAM, 1)]
  assert sorted(workers.submitted[2:]) == [(YOKED, 0), (YOKED, 1)]
  assert f'{YOKED} seed 1 is done' in output
  _, output = run_with(ScriptedWorkers())
  assert output.count('finished before') == 4


def test_a_failure_is_told_once_and_the_others_go_on(run_with, capsys):
  sentence = Result(Outcome.REFUSED, reason='No checkpoint can be read.')
  workers = ScriptedWorkers(seed0=[sentence], seed1=[sentence])
  failure, output = run_with(workers)
  assert capsys.readouterr().err == 'No checkpoint can be read.\n'
  assert failure.exit_status == 2
  assert f'{LCAM} seed 0, {LCAM} seed 1. When' in str(failure)
  assert f'{YOKED} seed 0: left out, because its partner, {LCAM} seed 1, has no' in output


def test_an_unexpected_error_gives_its_traceback_and_another_status(run_with, capsys):
  crash = Result(Outcome.FAILED, reason='Traceback (most recent call last):\n  ...\nKeyError: 1')
  failure, output = run_with(ScriptedWorkers(seed1=[crash]))
  assert 'KeyError: 1' in capsys.readouterr().err
  assert failure.exit_status == 1
  assert f'{YOKED} seed 1 is done' in output


def test_a_run_that_dies_is_tried_again_but_not_for_ever(run_with, capsys):
  died = Result(Outcome.DIED, reason='signal SIGKILL')
  failure, output = run_with(ScriptedWorkers(seed0=[died] * 4))
  assert failure is None
  assert output.count('to be tried again, from its newest checkpoint: signal SIGKILL') == 4
  failure, _ = run_with(ScriptedWorkers())
  assert failure is None


def test_a_run_that_dies_without_getting_further_is_given_up(run_with, capsys):
  died = Result(Outcome.DIED, reason='signal SIGKILL')
  failure, _ = run_with(ScriptedWorkers(seed0=[died] * 9))
  assert failure.exit_status == 2
  assert 'ended 5 times without getting any further: signal SIGKILL' in capsys.readouterr().err


def test_deaths_after_new_checkpoints_do_not_count(run_with):
  directory = run_directory(run_with.workdir, LCAM, 0) / 'checkpoints'

  class Further(ScriptedWorkers):
    def _result(self, task):
      if task.runs == ((LCAM, 0),):
        (directory / str(len(self.submitted))).mkdir(parents=True)
      return super()._result(task)

  workers = Further(seed0=[Result(Outcome.DIED, reason='NodeDiedError')] * 9)
  failure, _ = run_with(workers)
  assert failure is None
  assert workers.submitted.count((LCAM, 0)) == 10


def test_a_diverged_run_stays_diverged(run_with):
  directory = run_directory(run_with.workdir, LCAM, 0)
  directory.mkdir(parents=True)
  (comparison,) = changed_comparisons(run_with.problem, Changes())
  plan_runs(comparison, run_with.workdir).claim()
  finish(directory, 'nan', phases=1)
  workers = ScriptedWorkers()
  failure, output = run_with(workers)
  assert failure is None
  assert f'{LCAM} seed 0: diverged before' in output
  assert (LCAM, 0) not in workers.submitted
  assert f'{YOKED} seed 1: left out, because its partner, {LCAM} seed 0' in output


def test_what_another_process_trains_is_waited_for(run_with):
  directory = run_directory(run_with.workdir, LCAM, 0)
  directory.mkdir(parents=True)
  lock = filelock.FileLock(directory / '.lock')
  lock.acquire()

  class Elsewhere(ScriptedWorkers):
    def wait(self, seconds):
      if not self.waiting and lock.is_locked:  # the other process ends its run
        finish(directory)
        lock.release()
      return super().wait(seconds)

  workers = Elsewhere()
  failure, output = run_with(workers)
  assert failure is None
  assert f'{LCAM} seed 0: finished elsewhere' in output
  assert (LCAM, 0) not in workers.submitted
  assert (YOKED, 1) in workers.submitted


def test_partners_that_another_command_trains_are_waited_for(run_with):
  partners = [run_directory(run_with.workdir, LCAM, seed) for seed in (0, 1)]

  class Elsewhere(ScriptedWorkers):
    def wait(self, seconds):
      if partners:
        finish(partners.pop())
      return super().wait(seconds)

  run_with.workdir.mkdir()
  (whole,) = changed_comparisons(run_with.problem, Changes())
  plan_runs(dataclasses.replace(whole, arms=(LCAM,)), run_with.workdir).claim()
  workers = Elsewhere()
  failure, _ = run_with(workers, arms=(YOKED,))
  assert failure is None
  assert workers.submitted == [(YOKED, 0), (YOKED, 1)]
  assert not partners
