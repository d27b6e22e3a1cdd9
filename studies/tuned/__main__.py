"""Runs the study that is defined in :mod:`studies.tuned.definition`.

python -m studies.tuned          # resumes where it was stopped
"""

import pathlib
from typing import Annotated

import tyro

from studies.tuned.definition import cells
from studies.tuned.report import write_report
from studies.tuned.run import run_cells


def main(
  workdir: Annotated[pathlib.Path, tyro.conf.arg(help='the folder of the runs')] = pathlib.Path(
    'runs/tuned'
  ),
  output: Annotated[pathlib.Path, tyro.conf.arg(help='the folder for the report')] = pathlib.Path(
    'results/tuned'
  ),
) -> None:
  """Trains the missing runs of the study and writes its report."""
  run_cells(list(cells()), workdir)
  print(write_report(workdir, output))


if __name__ == '__main__':
  tyro.cli(main)
