"""Trains runs at the same time, in other processes, and follows them by their tables."""

import contextlib
import dataclasses
import functools
import os
import pathlib
import sys
import time
from collections.abc import Iterable, Mapping, Sequence

import jax
from rich.console import Console

from train.launch.cluster import Cluster
from train.launch.groups import Group, Grouping
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
from train.training.lanes import may_be_together
from train.training.trainer import Trainer

_SECONDS_TO_SAVE = 120
_SECONDS_BETWEEN_LOOKS = 0.5
_SECONDS_BETWEEN_TRIES = 2.0  # of a run that another process trains, or whose partner it trains
_TRIES = 5  # of a run whose process dies each time before it has saved anything new


class _Run(Row):
  """A run and where it stands."""

  def __init__(self, plan: Plan, run: PlannedRun, name: str):
    super().__init__(name, plan.comparison.epochs)
    self.plan, self.comparison, self.run = plan, plan.comparison, run
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
    plans, groupings = [], {}
    for folder, comparison in comparisons.items():
      folders.enter_context(working_in(folder))
      plan = plan_runs(comparison, folder, shared.settings.data_dir, partners_elsewhere=True)
      trainer = None
      if may_be_together(comparison, shared.settings.together):
        trainer = Trainer(comparison, plan.dataset, shared.settings)
      else:
        check_fit(comparison, plan.dataset)
      say = functools.partial(console.print, highlight=False, markup=False)
      groupings[folder] = Grouping(trainer, say)
      plans.append(plan)
    for plan in plans:
      plan.claim()
      introduce(plan, console)
    runs = [
      _Run(plan, run, f'{plan.comparison.name}: {run.name}' if len(plans) > 1 else run.name)
      for plan in plans
      for run in plan.runs
    ]
    with show(console, runs) as table:
      return _Driver(runs, groupings, shared, workers, table, interrupts).drive()


@dataclasses.dataclass
class _Driver:
  """Submits groups of runs when they are ready, and follows them."""

  runs: Sequence[_Run]
  groupings: Mapping[pathlib.Path, Grouping]  # by the working directories of their comparisons
  shared: Shared
  workers: Jobs | Cluster
  table: Board
  interrupts: Interrupts

  def __post_init__(self):
    self.by_directory = {run.run.directory: run for run in self.runs}
    self.submitted: dict[Task, Group] = {}
    self.waiting: list[Group] = []
    self.failures: dict[str, Result] = {}
    self._look()

  def drive(self) -> UserError | None:
    """Returns when all runs are over."""
    for run in self.runs:
      self._end_if_over(run, 'before')
    self._wait_for(self.runs)
    self._submit()
    import_what_reports_need()  # while the processes start, which takes longer
    while not all(run.over for run in self.runs):
      if self.interrupts.requested is not None:
        self._stop()
      self._submit()
      for task, result in self.workers.wait(_SECONDS_BETWEEN_LOOKS):
        self._take(self.submitted.pop(task), result)
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
    left = len(self.submitted)
    deadline = time.monotonic() + _SECONDS_TO_SAVE
    while left and time.monotonic() < deadline:
      left -= len(self.workers.wait(_SECONDS_BETWEEN_LOOKS))
    self.interrupts.leave_if_requested('wherever each run was')

  def _wait_for(self, runs: Iterable[_Run]) -> None:
    """Adds the groups of those of these runs that are not over to those that wait."""
    for folder, grouping in self.groupings.items():
      left = [run.run for run in runs if not run.over and run.plan.workdir == folder]
      self.waiting += grouping.groups(left, folder)

  def _submit(self) -> None:
    for group in tuple(self.waiting):
      if not self.workers.has_room():
        break
      runs = [self.by_directory[run.directory] for run in group.runs]
      if any(time.monotonic() < run.not_before for run in runs):
        continue
      ready = [self._has_partner(run) for run in runs]
      if any(not is_ready and not run.over for run, is_ready in zip(runs, ready, strict=True)):
        continue
      self.waiting.remove(group)
      runs = [run for run in runs if not run.over and not self._end_if_over(run, 'elsewhere')]
      busy = [run for run in runs if has_writer(run.run.directory)]
      for run in busy:
        run.put_off('trained by another process')
      self._wait_for(busy)
      if runs := [run for run in runs if run not in busy]:
        self._submit_group(dataclasses.replace(group, runs=[run.run for run in runs]))

  def _submit_group(self, group: Group) -> None:
    for run in self._runs_of(group):
      run.submitted, run.state, run.written = True, 'waits for its turn', _stat(run.run.directory)
    plan = self._runs_of(group)[0].plan
    names = tuple((run.arm.name, run.seed) for run in group.runs)
    workdir, folder = plan.workdir.absolute(), group.folder.absolute()
    task = Task(self.shared, plan.comparison.name, workdir, names, group.lanes, folder)
    self.submitted[task] = group
    self.workers.submit(task)

  def _runs_of(self, group: Group) -> list[_Run]:
    return [self.by_directory[run.directory] for run in group.runs]

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

  def _take(self, group: Group, result: Result) -> None:
    runs = self._runs_of(group)
    self._say_of(runs[0], result.said)
    for run in runs:
      run.submitted = False
      if end := end_of(run.run.directory):
        self._read_numbers(run)
        run.end(end)
    left = [run for run in runs if not run.over]
    match result.outcome:
      case Outcome.STOPPED | Outcome.DIED | Outcome.NO_PARTNER:
        self._try_again(group, left, result.reason or result.outcome.value)
      case Outcome.REFUSED | Outcome.FAILED:
        self._fail(left, result)
      case _:
        for run in left:
          run.put_off('trained by another process')
    self._wait_for(left)

  def _try_again(self, group: Group, runs: Sequence[_Run], reason: str) -> None:
    names = [path.name for path in group.folder.glob('checkpoints/*')]  # their steps
    saved = max((int(name) for name in names if name.isdigit()), default=-1)
    for run in runs:
      run.tries = 1 if saved > run.saved else run.tries + 1
      run.saved = max(saved, run.saved)
      run.put_off('to be tried again')
    tries = max((run.tries for run in runs), default=0)
    if tries >= _TRIES:
      reason = f'{group.name} ended {_TRIES} times without getting any further: {reason}'
      self._fail(runs, Result(Outcome.REFUSED, reason=reason))
    elif runs:
      self.table.say(f'{group.name}: to be tried again, from its newest checkpoint: {reason}')

  def _fail(self, runs: Iterable[_Run], result: Result) -> None:
    if all(result.reason != other.reason for other in self.failures.values()):
      print(result.reason, file=sys.stderr, flush=True)
    for run in runs:
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
