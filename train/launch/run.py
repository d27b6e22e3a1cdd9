"""Trains the runs of a comparison: a group of them, or all, one group after the other."""

import contextlib
import dataclasses
import enum
import functools
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from rich.console import Console

from train.launch.groups import Group, Grouping
from train.launch.plan import Plan, PlannedRun, plan_runs
from train.launch.rows import Row, Show, numbers_words
from train.problem.comparison import Comparison
from train.storage.checkpoints import quiet_background_errors
from train.storage.locks import sole_writer_of
from train.storage.tables import EpochRecord, has_ended, progress_of, read_phases, warn
from train.system import processes
from train.system.errors import StorageError, UserError
from train.system.files import errors_explained
from train.system.signals import Interrupts
from train.training.lanes import lane_programs
from train.training.loop import Run, Training, Watcher
from train.training.trainer import Settings, Start, Trainer

_MOST_LINES = 60  # of runs that end; of more runs, each group has one


class Outcome(enum.Enum):
  """How a run ended; the last four only in a process of its own."""

  ENDED = 'trained to its end, or until it diverged'
  BEFORE = 'finished or diverged before'
  ELSEWHERE = 'another process trains it'
  NO_PARTNER = 'the phases that it replays were not found'
  STOPPED = 'its process was asked to stop'
  DIED = 'its process died'
  REFUSED = 'the user can fix what was wrong'
  FAILED = 'there was an unexpected error'


def train_group(
  trainer: Trainer,
  group: Group,
  interrupts: Interrupts,
  rows: Mapping[PlannedRun, Row],
  say: Callable[[str], None],
  refresh: Callable[[], None] = lambda: None,
) -> dict[PlannedRun, Outcome]:
  """Trains the runs of a group to their ends, from the newest checkpoint if there is one.

  Leaves out runs that have ended before, that another process trains, or that replay phases that are
  not recorded. Updates their rows, and calls ``refresh`` after each epoch.
  """
  quiet_background_errors()
  comparison, outcomes = trainer.comparison, {}
  with contextlib.ExitStack() as locks:
    runs: list[PlannedRun] = []
    all_phases: list[np.ndarray | None] = []
    for run in group.runs:
      if not locks.enter_context(processes.on_first(sole_writer_of(run.directory))):
        outcomes[run] = Outcome.ELSEWHERE
        continue
      if ended := processes.from_first(lambda run=run: end_of(run.directory)):
        if len(rows) <= _MOST_LINES:
          say(f'{run.name}: {ended} before')
        rows[run].end(ended)
        outcomes[run] = Outcome.BEFORE
        continue
      phases = _phases_of(run.partner, comparison.epochs) if run.partner else None
      if run.partner and phases is None:
        outcomes[run] = Outcome.NO_PARTNER
        continue
      runs.append(run)
      all_phases.append(phases)
    if runs and group.lanes and not locks.enter_context(sole_writer_of(group.folder)):
      return outcomes | dict.fromkeys(runs, Outcome.ELSEWHERE)
    if runs:
      _train(
        trainer, dataclasses.replace(group, runs=runs), all_phases, interrupts, rows, say, refresh
      )
    return outcomes | dict.fromkeys(runs, Outcome.ENDED)


def _train(
  trainer: Trainer,
  group: Group,
  all_phases: Sequence[np.ndarray | None],
  interrupts: Interrupts,
  rows: Mapping[PlannedRun, Row],
  say: Callable[[str], None],
  refresh: Callable[[], None],
) -> None:
  """Trains runs that this process is the one writer of."""
  epochs, label = trainer.comparison.epochs, trainer.comparison.metric_label
  name = group.name

  def on_epoch(index: int, record: EpochRecord, steps_per_second: float) -> None:
    run = group.runs[index]
    row, words = rows[run], numbers_words(record.train_loss, label, record.metric)
    speed = '' if group.lanes else f'  {steps_per_second:.1f} steps/s'
    row.epoch, row.numbers = record.epoch, f'{words}{speed}'
    if record.epoch == epochs:
      row.end('finished')
      if len(rows) <= _MOST_LINES:
        say(f'{run.name}  epoch {epochs}/{epochs}  {row.numbers}')
    refresh()

  def on_divergence(index: int, words: str) -> None:
    run = group.runs[index]
    say(f'{run.name} {words}.')
    rows[run].end('diverged')

  programs = lane_programs(trainer, group.lanes) if group.lanes else None
  if programs:
    group.write_members()
  planned = [
    Run(Start(run.arm, run.seed, phases), run.directory, run.config)
    for run, phases in zip(group.runs, all_phases, strict=True)
  ]
  warn_of_group = functools.partial(warn, group.folder, say)
  # A failed write in the background would keep the process from ending as usual.
  with (
    errors_explained(group.folder, StorageError),
    Training(trainer, planned, group.folder, warn_of_group, programs) as training,
  ):
    for run in group.runs:
      rows[run].state, rows[run].epoch, rows[run].moving = 'compiling ...', training.epoch, True
    if training.epoch:
      say(f'{name}: goes on after epoch {training.epoch}')
    training.train(interrupts, Watcher(on_epoch, on_divergence))
  if len(rows) > _MOST_LINES:
    over = sum(row.over for row in rows.values())
    say(f'{name}: ended ({over} of {len(rows)} runs)')


def end_of(directory: pathlib.Path) -> str | None:
  """Returns ``'finished'`` or ``'diverged'`` by the tables of a run; None if it has not ended."""
  if has_ended(directory):
    return 'diverged' if progress_of(directory)[1] else 'finished'
  return None


def _phases_of(partner: pathlib.Path, epochs: int) -> np.ndarray | None:
  """Returns the phases that process 0 reads, on all processes."""

  def read() -> str | None:
    phases = read_phases(partner, epochs)
    return None if phases is None else phases.tobytes().hex()

  sent = processes.from_first(read)
  return None if sent is None else np.frombuffer(bytes.fromhex(sent), np.int8)


def without_partner(run: PlannedRun, epochs: int) -> str:
  """Returns the sentence about a yoked run that cannot be trained."""
  partner = run.partner_name
  return f'{run.name}: left out, because its partner, {partner}, has no phases of {epochs} epochs'


def run_comparison(
  comparison: Comparison, workdir: pathlib.Path, console: Console, settings: Settings, show: Show
) -> set[Outcome]:
  """Trains all runs of a comparison that are not finished, one after the other.

  Leaves a run to another process that trains it. Returns how runs ended.
  """
  with processes.on_first(working_in(workdir)), processes.interrupts() as interrupts:
    plan = plan_runs(comparison, workdir, settings.data_dir)
    trainer = Trainer(comparison, plan.dataset, settings)
    say = functools.partial(console.print, highlight=False, markup=False)
    grouping = Grouping(trainer, say)
    plan.claim()
    introduce(plan, console, trainer.where)
    rows = {run: Row(run.name, comparison.epochs) for run in plan.runs}
    outcomes: dict[PlannedRun, Outcome] = {}
    left, left_before = plan.runs, None
    with show(console, list(rows.values())) as table:
      # Runs that were left are tried again for as long as others end: these may be their partners.
      while left and left != left_before:
        for group in grouping.groups(left, workdir):
          interrupts.leave_if_requested('between two runs')
          outcomes |= train_group(trainer, group, interrupts, rows, table.say, table.refresh)
        left_before = left
        left = [run for run in left if outcomes[run] in (Outcome.ELSEWHERE, Outcome.NO_PARTNER)]
      for run in left:
        if outcomes[run] is Outcome.NO_PARTNER:
          table.say(without_partner(run, comparison.epochs))
          rows[run].end('left out')
        else:
          table.say(f'{run.name}: left to another process, which trains it')
          rows[run].end('trained by another process')
    interrupts.leave_if_requested('after the last run')
  return set(outcomes.values())


def introduce(plan: Plan, console: Console, where: str = '') -> None:
  """Says what is going to be trained, and where."""
  comparison, examples = plan.comparison, len(plan.dataset.train)
  say = functools.partial(console.print, highlight=False, markup=False)
  say(comparison.title)
  if comparison.about.unknown:
    say(f'Not known from the paper: {comparison.about.unknown}.')
  say(comparison.describe(plan.data_name))
  if comparison.batch_size > examples:
    say(f'A batch has all {examples} training examples; there are no {comparison.batch_size}.')
  if where:
    say(where)


@contextlib.contextmanager
def working_in(workdir: pathlib.Path) -> Iterator[None]:
  """Makes a working directory, and explains errors if it cannot be used or its disk is full."""
  try:
    str(workdir).encode()
  except UnicodeEncodeError:
    raise UserError(f'{str(workdir)!a} is not UTF-8: choose another --workdir.') from None
  with errors_explained(workdir):
    workdir.mkdir(parents=True, exist_ok=True)
    yield
