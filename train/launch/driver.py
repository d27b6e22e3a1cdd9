"""Trains runs at the same time, in other processes, and follows them by their tables."""

import contextlib
import dataclasses
import os
import pathlib
import sys
import time
from collections.abc import Mapping, Sequence

import jax
from rich.console import Console

from train.launch.cluster import Cluster
from train.launch.jobs import Jobs
from train.launch.plan import Plan, PlannedRun, plan_runs
from train.launch.rows import Board, Row, Show, numbers_words
from train.launch.run import Outcome, end_of, introduce, without_partner, working_in
from train.launch.worker import Result, Shared, Task
from train.problem.comparison import Comparison
from train.reports import import_what_reports_need
from train.storage.locks import has_writer
from train.storage.tables import has_ended, read_phases, read_table
from train.system.errors import UserError
from train.system.signals import Interrupts, command_line
from train.training.checks import check_fit

_SECONDS_TO_SAVE = 120
_SECONDS_BETWEEN_LOOKS = 0.5
_SECONDS_BETWEEN_TRIES = 2.0  # of a run that another process trains, or whose partner it trains
_TRIES = 5  # of a run whose process dies each time before it has saved anything new


class _Run(Row):
  """A run and where it stands."""

  def __init__(self, plan: Plan, run: PlannedRun, shared: Shared, name: str):
    super().__init__(name, plan.comparison.epochs)
    self.comparison, self.run = plan.comparison, run
    self.task = Task(shared, plan.comparison.name, plan.workdir.absolute(), run.arm.name, run.seed)
    self.submitted = False  # to the workers
    self.not_before = 0.0  # the time from which it may be submitted
    self.written: tuple[int, ...] = ()  # see `_stat`, when its table was last read
    self.saved = -1  # its newest checkpoint when its process died
    self.tries = 0  # how often its process died since that checkpoint
    if run.partner is not None:
      self.state = f'waits for {run.partner_name}'

  def put_off(self, state: str) -> None:
    self.state, self.moving = state, False
    self.not_before = time.monotonic() + _SECONDS_BETWEEN_TRIES


def run_together(
  comparisons: Mapping[pathlib.Path, Comparison],
  shared: Shared,
  console: Console,
  workers: Jobs | Cluster,
  show: Show,
) -> UserError | None:
  """Trains all runs that are not finished; returns what to raise after the report if some failed.

  Waits for runs that another process trains. A run whose process or machine dies is submitted
  again, and resumes from its newest checkpoint. Closes the workers at the end.
  """
  jax.config.update('jax_platforms', 'cpu')  # the accelerators are for the runs
  with contextlib.closing(workers), contextlib.ExitStack() as folders, Interrupts() as interrupts:
    plans = []
    for folder, comparison in comparisons.items():
      folders.enter_context(working_in(folder))
      plan = plan_runs(comparison, folder, shared.settings.data_dir, partners_elsewhere=True)
      check_fit(comparison, plan.dataset)
      plans.append(plan)
    for plan in plans:
      plan.claim()
      introduce(plan, console)
    runs = [
      _Run(plan, run, shared, f'{plan.comparison.name}: {run.name}' if len(plans) > 1 else run.name)
      for plan in plans
      for run in plan.runs
    ]
    with show(console, runs) as table:
      return _Driver(runs, workers, table, interrupts).drive()


@dataclasses.dataclass
class _Driver:
  """Submits runs when they are ready, and follows them."""

  runs: Sequence[_Run]
  workers: Jobs | Cluster
  table: Board
  interrupts: Interrupts

  def __post_init__(self):
    self.by_task = {run.task: run for run in self.runs}
    self.by_directory = {run.run.directory: run for run in self.runs}
    self.failures: dict[str, Result] = {}
    self._look()

  def drive(self) -> UserError | None:
    """Returns when all runs are over."""
    for run in self.runs:
      self._end_if_over(run, 'before')
    self._submit()
    import_what_reports_need()  # while the processes start, which takes longer
    while not all(run.over for run in self.runs):
      if self.interrupts.requested is not None:
        self._stop()
      self._submit()
      for task, result in self.workers.wait(_SECONDS_BETWEEN_LOOKS):
        self._take(self.by_task[task], result)
      if time.monotonic() - self.looked > _SECONDS_BETWEEN_TRIES:
        self._look()
      self.table.refresh()
    if not self.failures:
      return None
    failure = UserError(
      f'Not trained, for the reasons above: {", ".join(self.failures)}. When they are fixed, go '
      f'on with: {command_line()}'
    )
    unexpected = Outcome.FAILED in {result.outcome for result in self.failures.values()}
    failure.exit_status = 1 if unexpected else 2
    return failure

  def _stop(self) -> None:
    """Has all runs saved, waits for them, and leaves; those that take too long are ended."""
    self.table.say('The runs are saved and stopped ...')
    self.workers.request_stop()
    left = sum(run.submitted for run in self.runs)
    deadline = time.monotonic() + _SECONDS_TO_SAVE
    while left and time.monotonic() < deadline:
      left -= len(self.workers.wait(_SECONDS_BETWEEN_LOOKS))
    self.interrupts.leave_if_requested('wherever each run was')

  def _submit(self) -> None:
    for run in self.runs:
      if run.over or run.submitted or time.monotonic() < run.not_before:
        continue
      if not self.workers.has_room():
        break
      if not self._has_partner(run) or self._end_if_over(run, 'elsewhere'):
        continue
      if has_writer(run.run.directory):
        run.put_off('trained by another process')
        continue
      run.submitted, run.state, run.written = True, 'waits for its turn', _stat(run.run.directory)
      self.workers.submit(run.task)

  def _end_if_over(self, run: _Run, where: str) -> bool:
    """Ends a run if its tables say that it is finished or diverged; returns whether."""
    if not (end := end_of(run.run.directory)):
      return False
    self.table.say(f'{run.name}: {end} {where}')
    self._read_numbers(run)
    run.end(end)
    return True

  def _has_partner(self, run: _Run) -> bool:
    """Returns whether a run replays nothing, or phases that are recorded; else it is put off."""
    partner = run.run.partner
    if partner is None:
      return True
    planned = self.by_directory.get(partner)
    if planned is not None and not planned.over:
      run.state = f'waits for {run.run.partner_name}'
      return False
    if read_phases(partner, run.epochs) is not None:
      return True
    if planned is None and not has_ended(partner):
      run.put_off(f'waits for {run.run.partner_name}, which another command trains')
      return False
    self._say_of(run, without_partner(run.run, run.epochs))
    run.end('left out')
    return False

  def _take(self, run: _Run, result: Result) -> None:
    run.submitted = False
    self._say_of(run, result.said)
    match result.outcome:
      case Outcome.ENDED | Outcome.BEFORE:
        self._read_numbers(run)
        run.end(end_of(run.run.directory) or 'finished')
      case Outcome.ELSEWHERE:
        run.put_off('trained by another process')
      case Outcome.STOPPED | Outcome.DIED | Outcome.NO_PARTNER:
        self._try_again(run, result.reason or result.outcome.value)
      case Outcome.REFUSED | Outcome.FAILED:
        self._fail(run, result)

  def _try_again(self, run: _Run, reason: str) -> None:
    names = [path.name for path in run.run.directory.glob('checkpoints/*')]  # their steps
    saved = max((int(name) for name in names if name.isdigit()), default=-1)
    run.tries = 1 if saved > run.saved else run.tries + 1
    run.saved = max(saved, run.saved)
    if run.tries < _TRIES:
      self.table.say(f'{run.name}: to be tried again, from its newest checkpoint: {reason}')
      run.put_off('to be tried again')
    else:
      reason = f'{run.name} ended {_TRIES} times without getting any further: {reason}'
      self._fail(run, Result(Outcome.REFUSED, reason=reason))

  def _fail(self, run: _Run, result: Result) -> None:
    if all(result.reason != other.reason for other in self.failures.values()):
      print(result.reason, file=sys.stderr, flush=True)
    self.failures[run.name] = result
    run.end('failed')

  def _say_of(self, run: _Run, words: str) -> None:
    """Says lines that name a run, with its part where several parts have the same names."""
    part = run.name.removesuffix(run.run.name)
    self.table.say('\n'.join(f'{part}{line}' for line in words.splitlines()))

  def _look(self) -> None:
    """Reads how far the runs are whose tables have changed."""
    self.looked = time.monotonic()
    for run in self.runs:
      written = () if run.over else _stat(run.run.directory)
      if written and written != run.written:
        run.written = written
        if run.submitted:
          run.state, run.moving = 'is trained', True
        self._read_numbers(run)

  def _read_numbers(self, run: _Run) -> None:
    label, column = run.comparison.metric_label, run.comparison.metric_column
    try:
      table = read_table(run.run.directory / 'metrics.csv', ['train_loss', column])
    except UserError:  # it is being written anew
      return
    run.epoch = len(table['train_loss'])
    if run.epoch:
      run.numbers = numbers_words(table['train_loss'][-1], label, table[column][-1])


def _stat(directory: pathlib.Path) -> tuple[int, ...]:
  """Returns what changes when a run's table of metrics is written; empty if there is none."""
  try:
    found = os.stat(directory / 'metrics.csv')
  except OSError:
    return ()
  return found.st_ino, found.st_mtime_ns, found.st_size
