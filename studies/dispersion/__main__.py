"""The command of the study; what it asks is in :mod:`studies.dispersion.definition`.

python -m studies.dispersion          # goes on where it was stopped
"""

import pathlib
from typing import Annotated

import tyro

from studies.dispersion.definition import SEEDS, cells
from studies.dispersion.report import write_report
from studies.dispersion.run import run_cells


def main(
  workdir: Annotated[pathlib.Path, tyro.conf.arg(help='where the runs are kept')] = pathlib.Path(
    'runs/dispersion'
  ),
  output: Annotated[pathlib.Path, tyro.conf.arg(help='where the report goes')] = pathlib.Path(
    'results/dispersion'
  ),
) -> None:
  """Trains what is missing of the study and writes its report."""
  run_cells(list(cells()), SEEDS, workdir)
  print(write_report(workdir, output))


if __name__ == '__main__':
  tyro.cli(main)
