"""Runs the study that is defined in :mod:`studies.dispersion.definition`.

python -m studies.dispersion          # resumes where it was stopped
"""

import pathlib
from typing import Annotated

import tyro

from studies.dispersion.definition import SEEDS, cells
from studies.dispersion.report import write_report
from studies.dispersion.run import run_cells


def main(
  workdir: Annotated[pathlib.Path, tyro.conf.arg(help='the folder of the runs')] = pathlib.Path(
    'runs/dispersion'
  ),
  output: Annotated[pathlib.Path, tyro.conf.arg(help='the folder for the report')] = pathlib.Path(
    'results/dispersion'
  ),
) -> None:
  """Trains the missing runs of the study and writes its report."""
  run_cells(list(cells()), SEEDS, workdir)
  print(write_report(workdir, output))


if __name__ == '__main__':
  tyro.cli(main)
