"""Runs a comparison: every arm with every seed, one after the other."""

import contextlib
import dataclasses
import errno
import hashlib
import pathlib
from collections.abc import Iterator

import filelock
import numpy as np
from rich.console import Console

from train.arms import Arm, Yoked
from train.comparison import Comparison
from train.configuration import check_config, check_shared_config, read_config, run_config
from train.data import Dataset, DataSource
from train.errors import FullDiskError, UserError
from train.interrupts import Interrupts, command_line
from train.loop import SavePolicy, Trainer, Training
from train.progress import RunProgress
from train.records import progress_of, read_phases, run_directory


@dataclasses.dataclass(frozen=True)
class PlannedRun:
  """One arm with one seed.

  Attributes:
    arm: The arm.
    seed: The seed.
    directory: Where the run is recorded.
    partner_seed: The seed whose phases it replays, if it does.
    partner: The directory of that run.
  """

  arm: Arm
  seed: int
  directory: pathlib.Path
  partner_seed: int | None = None
  partner: pathlib.Path | None = None

  @property
  def name(self) -> str:
    """What progress calls it."""
    return f'{self.arm.name} seed {self.seed}'


def plan_runs(comparison: Comparison, workdir: pathlib.Path) -> list[PlannedRun]:
  """Returns the runs of a comparison in the order in which they are trained.

  The arms of a seed come one after the other, so that a run cut short leaves whole comparisons; a
  yoked run comes as soon as its partner's, the LCAM run of the next seed, is before it. A run that
  was begun keeps its partner, also when seeds are added.

  Raises:
    UserError: If a yoked run has no partner.
  """
  plan: list[PlannedRun] = []
  waiting: list[PlannedRun] = []
  for seed in comparison.seeds:
    for arm in comparison.arms:
      directory = run_directory(workdir, arm.name, seed)
      if isinstance(arm, Yoked):
        partner_seed = read_config(directory).get('partner_seed')
        if partner_seed is None:
          partner_seed = _next_seed(comparison.seeds, seed, arm)
        partner = run_directory(workdir, arm.partner.name, partner_seed)
        waiting.append(PlannedRun(arm, seed, directory, partner_seed, partner))
      else:
        plan.append(PlannedRun(arm, seed, directory))
    planned = {run.directory for run in plan}
    plan += [run for run in waiting if run.partner in planned]
    waiting = [run for run in waiting if run.partner not in planned]
  for run in waiting:
    if read_phases(run.partner, comparison.epochs) is None:
      lcam = run.arm.partner.name
      raise UserError(
        f'{run.name} replays the phases of {lcam} seed {run.partner_seed}, which {workdir} does not '
        f'hold: run {lcam} with that seed first, or add it to --arms.'
      )
  return plan + waiting


def _next_seed(seeds: tuple[int, ...], seed: int, arm: Arm) -> int:
  if len(seeds) == 1:
    raise UserError(
      f'{arm.name} replays the run of another seed: give two seeds or more, as --seeds {seed} '
      f'{seed + 1}, or name other arms with --arms.'
    )
  return seeds[(seeds.index(seed) + 1) % len(seeds)]


def run_comparison(
  comparison: Comparison,
  workdir: pathlib.Path,
  console: Console,
  policy: SavePolicy,
  *,
  data_dir: str | None = None,
  stream: bool | None = None,
  device_limit: int | None = None,
) -> None:
  """Trains all runs of a comparison that are not finished in a working directory.

  Args:
    comparison: What to run.
    workdir: Where the runs are recorded.
    console: Where progress is shown.
    policy: When runs are saved.
    data_dir: Where TFDS keeps its data sets; None is TFDS's own default.
    stream: Whether to stream the data to the device; None decides by size.
    device_limit: At most so many devices of each process; None means all.

  Raises:
    UserError: If the working directory is in use or holds runs of another configuration, if the
      data set cannot be had, if the disk is full, or if a signal came.
  """
  with _alone_in(workdir), _full_disk_explained(workdir), Interrupts() as interrupts:
    plan = plan_runs(comparison, workdir)
    # A data set that has a name is loaded when all else is known to be right.
    source = comparison.dataset if isinstance(comparison.dataset, DataSource) else None
    dataset = None if source else comparison.load(data_dir)
    name = (source or dataset).name
    digest = None if source else _digest(dataset)
    configs = {
      run: run_config(
        comparison,
        run.arm,
        run.seed,
        dataset=name,
        partner_seed=run.partner_seed,
        data_sha256=digest,
      )
      for run in plan
    }
    check_shared_config(workdir, configs[plan[0]])
    for run in plan:
      check_config(run.directory, configs[run])
      _check_format(run.directory, comparison.epochs)
    trainer = Trainer(comparison, dataset or comparison.load(data_dir), stream, device_limit)
    console.print(comparison.title, highlight=False, markup=False)
    if comparison.about.unknown:
      sentence = f'Not known from the paper: {comparison.about.unknown}.'
      console.print(sentence, highlight=False, markup=False)
    console.print(comparison.describe(name), highlight=False, markup=False)
    if trainer.where:
      console.print(trainer.where, highlight=False, markup=False)
    label = comparison.metric_label
    with RunProgress(console, len(plan), comparison.epochs, label) as progress:
      for run in plan:
        interrupts.leave_if_requested('between two runs')
        done, diverged = progress_of(run.directory)
        if diverged or done >= comparison.epochs:
          progress.skip_run(f'{run.name}: {"diverged" if diverged else "finished"} before')
          continue
        phases = read_phases(run.partner, comparison.epochs) if run.partner else None
        if run.partner and phases is None:
          progress.skip_run(
            f'{run.name}: left out, because its partner, {run.arm.partner.name} seed '
            f'{run.partner_seed}, has no phases of {comparison.epochs} epochs'
          )
          continue
        training = Training(
          trainer, run.arm, run.seed, run.directory, configs[run], progress.say, phases
        )
        with contextlib.closing(training):
          progress.start_run(run.name, training.epoch)
          if reason := training.train(policy, interrupts, progress.epoch):
            progress.say(f'{run.name} {reason}.')
            progress.end_run()
    interrupts.leave_if_requested('after the last run')


def _check_format(directory: pathlib.Path, epochs: int) -> None:
  """Refuses to go on with a run whose checkpoints are those of version 0.1."""
  if read_config(directory).get('format') != 1:
    return
  done, diverged = progress_of(directory)
  if done < epochs and not diverged and any((directory / 'checkpoints').glob('[0-9]*')):
    raise UserError(
      f'{directory} was begun with version 0.1, whose checkpoints this version cannot go on from: '
      'finish it with that version, or choose another --workdir.'
    )


def _digest(dataset: Dataset) -> str:
  """Returns a digest of the data, which no name stands for."""
  digest = hashlib.sha256(repr(dataset.class_names).encode())
  for split in (dataset.train, dataset.test):
    for array in (split.inputs, split.labels):
      digest.update(f'{array.dtype} {array.shape}'.encode())
      digest.update(np.ascontiguousarray(array).view(np.uint8).data)
  return digest.hexdigest()


@contextlib.contextmanager
def _alone_in(workdir: pathlib.Path) -> Iterator[None]:
  """Keeps a second process out of a working directory; the lock ends with the process."""
  try:
    workdir.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(workdir / '.lock', timeout=0):
      yield
  except filelock.Timeout:
    raise UserError(
      f'Another process is running in {workdir}: wait for it, or choose another --workdir.'
    ) from None
  except (FileExistsError, FileNotFoundError, NotADirectoryError, PermissionError) as error:
    raise UserError(f'{workdir} cannot be used ({error}): choose another --workdir.') from error


@contextlib.contextmanager
def _full_disk_explained(workdir: pathlib.Path) -> Iterator[None]:
  try:
    yield
  except Exception as error:
    # What writes in the background wraps the error, and keeps its words.
    words = errno.errorcode[errno.ENOSPC], 'No space left'
    if getattr(error, 'errno', None) == errno.ENOSPC or any(word in str(error) for word in words):
      raise FullDiskError(
        f'The disk of {workdir} is full; the last checkpoint is intact. Free some space, then go '
        f'on with: {command_line()}'
      ) from error
    raise
