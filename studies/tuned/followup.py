"""Is it the loss, or a learning rate that falls? Added after two of twelve repeats were looked at.

python -m studies.tuned.followup          # goes on where it was stopped

**Why.** In two repeats the variants of LCAM with the higher momentum in the low-loss phase were 1 to
2 % below tuned fixed momentum on average, and MoMo 6 %. While the loss falls, most steps are low:
that direction starts with more momentum and ends with less. That is a learning rate that falls,
which any method could have, and here the rate of fixed momentum is constant. Two more comparisons,
of the same repeats, points and seeds, written down here before they were run:

1. **Yoked.** Each tuned variant of LCAM (all epochs) trains again with its 34 fresh seeds, and so do
   its yoked runs, which replay the phases of the next seed: the same schedule of momenta, without
   this run's loss. If it is the schedule, (LCAM - yoked) is 0. The numbers were tuned for LCAM, which
   favours it. Holm over the 12 variants, averaged over settings; test error, then test loss.
2. **Decay.** Fixed momentum, the three variants of ``algorithm1-low`` and MoMo are tuned and tested
   anew, all epochs, with a learning rate that decays to zero as a cosine. Does a method still differ
   from fixed momentum? Holm over these four. And how far is fixed momentum with that decay below
   fixed momentum without, beside what LCAM gained?

The unit is the repeat; everything else is as in :mod:`studies.tuned.definition`.
"""

import csv
import dataclasses
import pathlib
from typing import Annotated

import numpy as np
import tyro
from rich.console import Console

from studies.cells import csv_text
from studies.tuned import definition
from studies.tuned.definition import FIXED, LCAM, RIVALS, Cell
from studies.tuned.run import Scores, bounded_scores, final_path, prepare
from train.system.files import write_whole
from train.training.trainer import Start

DECAYED = (
  FIXED,
  *(method for method in LCAM if method.name.startswith('algorithm1-low')),
  RIVALS[-1],
)
ARMS = ('lcam', 'yoked', 'decay')
COLUMNS = ('method', 'arm', 'point', 'validation_loss', 'seed', *definition.ENDPOINTS)


def followup_path(cell: Cell, directory: pathlib.Path) -> pathlib.Path:
  """Returns where the runs are that were added to a cell."""
  return directory / f'{cell.name}-followup.csv'


def run_followup(cell: Cell, directory: pathlib.Path) -> str:
  """Trains and tests what was added to a cell.

  Args:
    cell: The cell.
    directory: Where the tables of the study are.

  Returns:
    The table.
  """
  engine, validation, test = prepare(cell)
  points, rows = cell.points(0), []

  def add(method, arm, point, validation_loss, scores: Scores):
    for i, seed in enumerate(cell.final_seeds):
      ends = (f'{values[i, 1]:.6g}' for values in scores)
      rows.append((method.name, arm, point, validation_loss, seed, *ends))

  with final_path(cell, directory).open() as file:
    chosen = {
      row['method']: (int(row['point']), row['validation_loss'])
      for row in csv.DictReader(file)
      if row['part'] == 'full'
    }
  for method in LCAM:
    point, validation_loss = chosen[method.name]
    starts = method.starts([points[point]], cell.final_seeds)
    own = engine.train(starts)
    assert own.phases is not None
    partners = np.roll(own.phases, -1, axis=0)
    yoked = engine.train(
      [
        Start(dataclasses.replace(start.arm, replays=True), start.seed, phases)
        for start, phases in zip(starts, partners, strict=True)
      ]
    )
    for arm, trained in (('lcam', own), ('yoked', yoked)):
      add(method, arm, point, validation_loss, bounded_scores(trained, test))
  for method in DECAYED:
    tried = engine.train(method.starts(points, cell.tuning_seeds(0), decays=True))
    losses = bounded_scores(tried, validation).loss[:, 1].reshape(len(points), -1).mean(1)
    best = int(np.argmin(losses))
    tested = engine.train(method.starts([points[best]], cell.final_seeds, decays=True))
    add(method, 'decay', best, f'{losses[best]:.5g}', bounded_scores(tested, test))
  return csv_text(COLUMNS, rows)


def main(
  workdir: Annotated[pathlib.Path, tyro.conf.arg(help='the folder of the runs')] = pathlib.Path(
    'runs/tuned'
  ),
) -> None:
  """Runs what is missing of what was added to the cells that are done."""
  console = Console()
  for cell in definition.cells():
    if final_path(cell, workdir).exists() and not followup_path(cell, workdir).exists():
      write_whole(followup_path(cell, workdir), run_followup(cell, workdir))
      console.print(f'{cell.name} is done.', soft_wrap=True)


if __name__ == '__main__':
  tyro.cli(main)
