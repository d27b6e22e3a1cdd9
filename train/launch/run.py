"""Trains the runs of a comparison: one of them, or all, one after the other."""

import contextlib
import enum
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from rich.console import Console

from train.command.progress import RunProgress
from train.launch.plan import Plan, PlannedRun
from train.problem.comparison import Comparison
from train.storage.locks import sole_writer_of
from train.storage.tables import RunLog, has_ended, progress_of, read_phases
from train.system import processes as hosts
from train.system.errors import StorageError, UserError
from train.system.files import errors_explained
from train.system.signals import Interrupts
from train.training.loop import SavePolicy, Trainer, Training


class Outcome(enum.Enum):
  """What became of a run that was to be trained; the later ones, only in a process of its own."""

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
  progress: RunProgress,
) -> Outcome:
  """Trains a run to its end, from its newest checkpoint if it has one.

  Nothing is done if it is finished or diverged, if another process trains it, or if it replays
  phases that are not recorded.

  Args:
    trainer: What the runs of its comparison share.
    run: The run.
    config: Its configuration.
    policy: When it is saved.
    interrupts: Tell when to save and leave.
    progress: Shows it.

  Raises:
    InterruptedRunError: If a signal came; the run is saved.
    UserError: If it cannot go on from its checkpoints.
  """
  epochs = trainer.comparison.epochs
  with hosts.on_first(sole_writer_of(run.directory)) as held:
    if not held:
      return Outcome.ELSEWHERE
    if hosts.from_first(lambda: has_ended(run.directory)):
      _, diverged = hosts.from_first(lambda: progress_of(run.directory))
      progress.skip_run(f'{run.name}: {"diverged" if diverged else "finished"} before')
      return Outcome.BEFORE
    phases = _phases_of(run.partner, epochs) if run.partner else None
    if run.partner and phases is None:
      return Outcome.NO_PARTNER
    log = RunLog(run.directory, progress.say)
    arguments = trainer, run.arm, run.seed, run.directory, config, log.warn, phases
    # What writes in the background lets no process end as usual once it cannot write.
    with errors_explained(run.directory, StorageError), Training(*arguments) as training:
      progress.start_run(run.name, training.epoch)
      reason = training.train(policy, interrupts, progress.epoch)
    if reason:
      progress.say(f'{run.name} {reason}.')
      progress.end_run()
    return Outcome.DIVERGED if reason else Outcome.FINISHED


def _phases_of(partner: pathlib.Path, epochs: int) -> np.ndarray | None:
  """Returns the phases that process 0 reads, on all processes."""

  def read() -> str | None:
    phases = read_phases(partner, epochs)
    return None if phases is None else phases.tobytes().hex()

  told = hosts.from_first(read)
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
  *,
  data_dir: str | None = None,
  stream: bool | None = None,
  device_limit: int | None = None,
) -> tuple[int, list[str]]:
  """Trains all runs of a comparison that are not finished, one after the other.

  What another process trains is left to it.

  Args:
    comparison: What to run.
    workdir: Where the runs are recorded.
    console: Where progress is shown.
    policy: When runs are saved.
    data_dir: Where TFDS keeps its data sets; None is TFDS's own default.
    stream: Whether to stream the data to the device; None decides by size.
    device_limit: At most so many devices of each process; None means all.

  Returns:
    How many runs ended here, and the names of those that were left to another process.

  Raises:
    UserError: If the working directory is in use or holds runs of another configuration, if the
      data set cannot be had, if the disk is full, or if a signal came.
  """
  with hosts.on_first(working_in(workdir)), hosts.interrupts() as interrupts:
    plan = Plan(comparison, workdir, data_dir)
    trainer = Trainer(comparison, plan.load(), stream, device_limit)
    plan.claim()
    introduce(plan, console)
    if trainer.where:
      console.print(trainer.where, highlight=False, markup=False)
    outcomes: dict[PlannedRun, Outcome] = {}
    left = list(plan.runs)
    with RunProgress(console, len(left), comparison.epochs, comparison.metric_label) as progress:
      # Again those that were left out, for as long as others end: partners may be among these.
      ended = True
      while left and ended:
        for run in left:
          interrupts.leave_if_requested('between two runs')
          outcomes[run] = train_run(trainer, run, plan.runs[run], policy, interrupts, progress)
        still_left = [
          run for run in left if outcomes[run] in (Outcome.ELSEWHERE, Outcome.NO_PARTNER)
        ]
        ended, left = len(still_left) < len(left), still_left
      for run in left:
        progress.skip_run(
          without_partner(run, comparison.epochs)
          if outcomes[run] is Outcome.NO_PARTNER
          else f'{run.name}: left to another process, which trains it'
        )
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
