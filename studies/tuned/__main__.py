"""The command of the study; what it asks is in :mod:`studies.tuned.definition`.

python -m studies.tuned          # goes on where it was stopped
"""

import pathlib
from typing import Annotated

import tyro

from studies.tuned.definition import cells
from studies.tuned.report import write_report
from studies.tuned.run import run_cells


def main(
  workdir: Annotated[pathlib.Path, tyro.conf.arg(help='where the runs are kept')] = pathlib.Path(
    'runs/tuned'
  ),
  output: Annotated[pathlib.Path, tyro.conf.arg(help='where the report goes')] = pathlib.Path(
    'results/tuned'
  ),
) -> None:
  """Runs what is missing of the study and writes its report."""
  run_cells(list(cells()), workdir)
  print(write_report(workdir, output))


if __name__ == '__main__':
  tyro.cli(main)
