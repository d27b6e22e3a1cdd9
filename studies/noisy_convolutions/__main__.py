"""Runs the study that is defined in :mod:`studies.noisy_convolutions.definition`, and its follow-up.

python -m studies.noisy_convolutions        # resumes after the last run that ended
"""

import pathlib
from typing import Annotated

import tyro

from studies.noisy_convolutions.definition import PROBLEMS
from studies.noisy_convolutions.followup import FINER
from studies.noisy_convolutions.report import write_report
from studies.noisy_convolutions.run import train_missing
from train.system.caches import keep_compiled_programs


def main(
  workdir: Annotated[pathlib.Path, tyro.conf.arg(help='the folder of the runs')] = pathlib.Path(
    'runs/noisy-convolutions'
  ),
  output: Annotated[pathlib.Path, tyro.conf.arg(help='the folder for the report')] = pathlib.Path(
    'results/noisy_convolutions'
  ),
) -> None:
  """Trains the missing runs of the study and writes its report."""
  keep_compiled_programs()
  for problem in (*PROBLEMS, FINER):
    train_missing(problem, workdir)
  print(write_report(workdir, output))


if __name__ == '__main__':
  tyro.cli(main)
