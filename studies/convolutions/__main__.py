"""Runs the study that is defined in :mod:`studies.convolutions.definition`.

python -m studies.convolutions        # resumes where it was stopped
"""

import pathlib
from typing import Annotated

import tyro
from rich.console import Console

from studies.convolutions.definition import comparisons
from studies.convolutions.report import write_report
from train.command.progress import RunTable
from train.launch.run import run_comparison
from train.training.trainer import Settings


def main(
  workdir: Annotated[pathlib.Path, tyro.conf.arg(help='the folder of the runs')] = pathlib.Path(
    'runs/convolutions'
  ),
  output: Annotated[pathlib.Path, tyro.conf.arg(help='the folder for the report')] = pathlib.Path(
    'results/convolutions'
  ),
) -> None:
  """Trains the missing runs of the study and writes its report."""
  for comparison in comparisons():
    settings = Settings(comparison.epochs)
    run_comparison(comparison, workdir / comparison.name, Console(), settings, RunTable)
  print(write_report(workdir, output))


if __name__ == '__main__':
  tyro.cli(main)
