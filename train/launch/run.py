"""Trains the runs of a comparison: one of them, or all, one after the other."""

import contextlib
import enum
import functools
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from rich.console import Console

from train.launch.plan import Plan, PlannedRun, plan_runs
from train.launch.rows import Board, Row, Show, numbers_words
from train.problem.comparison import Comparison
from train.storage.locks import sole_writer_of
from train.storage.tables import EpochRecord, has_ended, progress_of, read_phases, warn
from train.system import processes
from train.system.errors import StorageError, UserError
from train.system.files import errors_explained
from train.system.signals import Interrupts
from train.training.loop import SavePolicy, Trainer, Training


class Outcome(enum.Enum):
  """How a run ended; the last four only in a process of its own."""

  FINISHED = 'finished'
  DIVERGED = 'diverged'
  BEFORE = 'finished or diverged before'
  ELSEWHERE = 'another process trains it'
  NO_PARTNER = 'the phases that it replays were not found'
  STOPPED = 'its process was asked to stop'
  DIED = 'its process died'
  REFUSED = 'the user can mend what was wrong'
  FAILED = 'there was an unexpected error'


def train_run(
  trainer: Trainer,
  run: PlannedRun,
  config: Mapping[str, Any],
  policy: SavePolicy,
  interrupts: Interrupts,
  row: Row,
  board: Board,
) -> Outcome:
  """Trains a run to its end, from its newest checkpoint if it has one.

  It does nothing if the run is finished or diverged, if another process trains it, or if it replays
  phases that are not recorded.

  Args:
    trainer: What the runs of its comparison share.
    run: The run.
    config: Its configuration.
    policy: When it is saved.
    interrupts: Tells when to save and leave.
    row: Follows the run.
    board: Shows the row, and what is said of the run.

  Raises:
    InterruptedRunError: If a signal came; the run is saved.
    UserError: If it cannot go on from its checkpoints.
  """
  epochs, label = trainer.comparison.epochs, trainer.comparison.metric_label
  with processes.on_first(sole_writer_of(run.directory)) as held:
    if not held:
      return Outcome.ELSEWHERE
    if processes.from_first(lambda: has_ended(run.directory)):
      _, diverged = processes.from_first(lambda: progress_of(run.directory))
      state = 'diverged' if diverged else 'finished'
      board.say(f'{run.name}: {state} before')
      row.end(state)
      return Outcome.BEFORE
    phases = _phases_of(run.partner, epochs) if run.partner else None
    if run.partner and phases is None:
      return Outcome.NO_PARTNER

    def on_epoch(record: EpochRecord, steps_per_second: float) -> None:
      words = numbers_words(record.train_loss, label, record.metric)
      row.epoch, row.numbers = record.epoch, f'{words}  {steps_per_second:.1f} steps/s'
      if record.epoch == epochs:
        board.say(f'{run.name}  epoch {epochs}/{epochs}  {row.numbers}')
      board.refresh()

    warn_of_run = functools.partial(warn, run.directory, board.say)
    arguments = trainer, run.arm, run.seed, run.directory, config, warn_of_run, phases
    # A failed write in the background would keep the process from ending as usual.
    with errors_explained(run.directory, StorageError), Training(*arguments) as training:
      row.start(training.epoch)
      if training.epoch:
        board.say(f'{run.name}: goes on after epoch {training.epoch}')
      reason = training.train(policy, interrupts, on_epoch)
    if reason:
      board.say(f'{run.name} {reason}.')
    row.end('diverged' if reason else 'finished')
    return Outcome.DIVERGED if reason else Outcome.FINISHED


def _phases_of(partner: pathlib.Path, epochs: int) -> np.ndarray | None:
  """Returns the phases that process 0 reads, on all processes."""

  def read() -> str | None:
    phases = read_phases(partner, epochs)
    return None if phases is None else phases.tobytes().hex()

  told = processes.from_first(read)
  return None if told is None else np.frombuffer(bytes.fromhex(told), np.int8)


def without_partner(run: PlannedRun, epochs: int) -> str:
  """Returns the sentence about a yoked run that cannot be trained."""
  return (
    f'{run.name}: left out, because its partner, {run.partner_name}, has no phases of {epochs} '
    'epochs'
  )


def run_comparison(
  comparison: Comparison,
  workdir: pathlib.Path,
  console: Console,
  policy: SavePolicy,
  show: Show,
  *,
  data_dir: str | None = None,
  stream: bool | None = None,
  device_limit: int | None = None,
) -> tuple[int, list[str]]:
  """Trains all runs of a comparison that are not finished, one after the other.

  A run that another process trains is left to it.

  Args:
    comparison: What to run.
    workdir: Where the runs are recorded.
    console: Where progress is shown.
    policy: When runs are saved.
    show: Shows the runs, see :class:`train.command.progress.RunTable`.
    data_dir: Where TFDS keeps its data sets; None is TFDS's own default.
    stream: Whether to stream the data to the device; None decides by size.
    device_limit: At most this many devices of each process; None means all.

  Returns:
    How many runs ended here, and the names of those that were left to another process.

  Raises:
    UserError: If the working directory is in use or holds runs of another configuration, the data
      set cannot be loaded, the disk is full, or a signal came.
  """
  with processes.on_first(working_in(workdir)), processes.interrupts() as interrupts:
    plan = plan_runs(comparison, workdir, data_dir)
    trainer = Trainer(comparison, plan.load(), stream, device_limit)
    plan.claim()
    introduce(plan, console)
    if trainer.where:
      console.print(trainer.where, highlight=False, markup=False)
    rows = {run: Row(run.name, comparison.epochs) for run in plan.runs}
    outcomes: dict[PlannedRun, Outcome] = {}
    left = list(plan.runs)
    with show(console, list(rows.values())) as board:
      # Runs that were left are tried again for as long as others end: these may be their partners.
      ended = True
      while left and ended:
        for run in left:
          interrupts.leave_if_requested('between two runs')
          outcomes[run] = train_run(
            trainer, run, plan.runs[run], policy, interrupts, rows[run], board
          )
        still_left = [
          run for run in left if outcomes[run] in (Outcome.ELSEWHERE, Outcome.NO_PARTNER)
        ]
        ended, left = len(still_left) < len(left), still_left
      for run in left:
        missing = outcomes[run] is Outcome.NO_PARTNER
        board.say(
          without_partner(run, comparison.epochs)
          if missing
          else f'{run.name}: left to another process, which trains it'
        )
        rows[run].end('left out' if missing else 'trained by another process')
    interrupts.leave_if_requested('after the last run')
  here = sum(outcome in (Outcome.FINISHED, Outcome.DIVERGED) for outcome in outcomes.values())
  return here, [run.name for run in left if outcomes[run] is Outcome.ELSEWHERE]


def introduce(plan: Plan, console: Console) -> None:
  """Says what is going to be trained."""
  comparison = plan.comparison
  console.print(comparison.title, highlight=False, markup=False)
  if comparison.about.unknown:
    sentence = f'Not known from the paper: {comparison.about.unknown}.'
    console.print(sentence, highlight=False, markup=False)
  console.print(comparison.describe(plan.data_name), highlight=False, markup=False)
  examples = len(plan.load().train)
  if comparison.batch_size > examples:
    sentence = (
      f'A batch has all {examples} training examples; there are no {comparison.batch_size}.'
    )
    console.print(sentence, highlight=False, markup=False)


@contextlib.contextmanager
def working_in(workdir: pathlib.Path) -> Iterator[None]:
  """Makes a working directory, and tells in a sentence if it cannot be used or its disk is full."""
  try:
    str(workdir).encode()
  except UnicodeEncodeError:
    raise UserError(f'{str(workdir)!a} is not UTF-8: choose another --workdir.') from None
  with errors_explained(workdir):
    workdir.mkdir(parents=True, exist_ok=True)
    yield
