"""Runs the study that is defined in :mod:`studies.figure3.definition`.

python -m studies.figure3 --minutes 9      # the same command again goes on
"""

import math
import pathlib
import shutil
import sys
import time
from typing import Annotated

import tyro
from rich.console import Console

from studies.figure3.definition import FULL, REHEARSAL
from studies.figure3.report import write_report
from studies.figure3.run import SPEED, copy_ended, ended_runs, train_runs
from train.system.errors import UserError
from train.system.signals import Interrupts

Folder = Annotated[pathlib.Path | None, tyro.conf.arg(metavar='DIR')]


def main(
  minutes: float = math.inf,
  jobs: int | None = None,
  workdir: Folder = None,
  output: Folder = None,
  data_dir: str | None = None,
  rehearsal: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False,
) -> None:
  """Trains the missing runs of figure 3 with WRN-16-4, and writes the report on those that ended.

  Args:
    minutes: Save and stop after this time; the report takes some seconds more.
    jobs: Train so many runs at a time (default: measured first, in a minute).
    workdir: The folder of the runs and their checkpoints (default: runs/figure3-wrn-16-4).
    output: The folder for the tables of the runs that have ended, and the report (default:
      results/figure3-wrn-16-4). Runs that are there are not trained again.
    data_dir: Where TFDS keeps its data sets (default: TFDS_DATA_DIR, or TFDS's own).
    rehearsal: Do all of it in some minutes on a CPU: WRN-10-1, 200 images, few epochs, two seeds.
  """
  if not minutes > 0:
    raise UserError(f'--minutes must be above 0, not {minutes}.')
  if jobs is not None and jobs < 1:
    raise UserError(f'--jobs must be at least 1, not {jobs}.')
  end = time.monotonic() + 60 * minutes
  size = REHEARSAL if rehearsal else FULL
  workdir = workdir or pathlib.Path('runs') / size.name
  output = output or pathlib.Path(size.output)
  copy_ended(output, workdir)
  with Interrupts() as interrupts:

    def stopped() -> bool:
      return interrupts.requested is not None or time.monotonic() > end

    try:
      train_runs(size, workdir, data_dir, jobs, end - time.monotonic(), stopped)
    finally:  # also if some runs failed
      copy_ended(workdir, output)
  if (workdir / SPEED).exists():
    shutil.copyfile(workdir / SPEED, output / SPEED)
  if not ended_runs(output):
    print('No run has ended yet.')
  else:
    write_report(output, size, Console())
  if interrupts.requested is not None:
    sys.exit(128 + interrupts.requested)
  if len(ended_runs(output)) < size.runs:
    print('Stopped and saved when the time was over; the same command goes on.')


if __name__ == '__main__':
  try:
    tyro.cli(main)
  except UserError as error:
    print(error, file=sys.stderr)
    sys.exit(2)
  except KeyboardInterrupt:  # a second signal
    sys.exit(130)
