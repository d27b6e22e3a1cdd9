"""Runs a comparison: every arm with every seed, one after the other."""

import contextlib
import errno
import pathlib
from collections.abc import Iterator

import filelock
from rich.console import Console

from train.errors import FullDiskError, UserError
from train.experiments import Part
from train.interrupts import Interrupts, command_line
from train.loop import Run, SavePolicy
from train.progress import RunProgress
from train.records import check_config, progress_of, run_config, run_directory
from train.setup import Setup


def run_part(
  part: Part,
  workdir: pathlib.Path,
  console: Console,
  policy: SavePolicy,
  *,
  data_dir: str | None = None,
  stream: bool | None = None,
  pretrained: pathlib.Path | None = None,
) -> None:
  """Trains all runs of a part that are not finished in a working directory.

  The arms of a seed come one after the other, so that a run cut short leaves whole comparisons.

  Args:
    part: What to run.
    workdir: Where the runs are recorded.
    console: Where progress is shown.
    policy: When runs are saved.
    data_dir: Where TFDS keeps its data sets; None is TFDS's own default.
    stream: Whether to stream the data to the device; None decides by size.
    pretrained: The ImageNet-21k weights that a vision transformer starts from.

  Raises:
    UserError: If the working directory is in use or holds runs of another configuration, if the
      data set cannot be had, if the disk is full, or if a signal came.
  """
  with _alone_in(workdir), _full_disk_explained(workdir), Interrupts() as interrupts:
    runs = [
      (
        arm,
        seed,
        run_directory(workdir, arm.name, seed),
        run_config(part, arm, seed, pretrained),
      )
      for seed in part.seeds
      for arm in part.arms
    ]
    for _, _, directory, config in runs:
      check_config(directory, config)
    setup = Setup(part, data_dir=data_dir, stream=stream, pretrained=pretrained)
    with RunProgress(console, len(runs), part.epochs) as progress:
      for arm, seed, directory, config in runs:
        interrupts.leave_if_requested('between two runs')
        name = f'{arm.name} seed {seed}'
        done, diverged = progress_of(directory)
        if diverged or done >= part.epochs:
          progress.skip_run(f'{name}: {"diverged" if diverged else "finished"} before')
          continue
        run = Run(setup, arm, seed, directory, config, warn=progress.say)
        with contextlib.closing(run):
          progress.start_run(name, run.epoch)
          if reason := run.train(policy, interrupts, progress.epoch):
            progress.say(f'{name} {reason}.')
            progress.end_run()
    interrupts.leave_if_requested('after the last run')


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
