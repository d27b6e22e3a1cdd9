"""Runs the study that is defined in :mod:`studies.label_noise.definition`.

python -m studies.label_noise          # resumes where it was stopped
"""

import pathlib
from typing import Annotated

import tyro

from studies.label_noise.definition import cells
from studies.label_noise.report import write_report
from studies.label_noise.run import run_cells


def main(
  workdir: Annotated[pathlib.Path, tyro.conf.arg(help='the folder of the runs')] = pathlib.Path(
    'runs/label_noise'
  ),
  output: Annotated[pathlib.Path, tyro.conf.arg(help='the folder for the report')] = pathlib.Path(
    'results/label_noise'
  ),
) -> None:
  """Trains the missing runs of the study and writes its report."""
  run_cells(list(cells()), workdir)
  print(write_report(workdir, output))


if __name__ == '__main__':
  tyro.cli(main)
