"""The command of the study; what it asks is in :mod:`studies.tuned.definition`.

python -m studies.tuned          # goes on where it was stopped
"""

import pathlib
from typing import Annotated

import tyro

from studies.tuned.definition import cells
from studies.tuned.run import run_cells


def main(
  workdir: Annotated[pathlib.Path, tyro.conf.arg(help='where the runs are kept')] = pathlib.Path(
    'runs/tuned'
  ),
) -> None:
  """Runs what is missing of the study."""
  run_cells(list(cells()), workdir)


if __name__ == '__main__':
  tyro.cli(main)
