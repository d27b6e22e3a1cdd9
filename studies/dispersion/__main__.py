"""The command of the study; what it asks is in :mod:`studies.dispersion.definition`.

python -m studies.dispersion          # goes on where it was stopped
"""

import pathlib
from typing import Annotated

import tyro

from studies.dispersion.definition import SEEDS, cells
from studies.dispersion.run import run_cells


def main(
  workdir: Annotated[pathlib.Path, tyro.conf.arg(help='where the runs are kept')] = pathlib.Path(
    'runs/dispersion'
  ),
) -> None:
  """Trains what is missing of the study."""
  run_cells(list(cells()), SEEDS, workdir)


if __name__ == '__main__':
  tyro.cli(main)
