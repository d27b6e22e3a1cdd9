"""The file of a tuning: tuning.csv, beside the runs of the tuned arms."""

import csv
import pathlib
from typing import NamedTuple

from train.system.errors import UserError

TUNING_FOLDER = 'tuning'  # of the runs that were tried, in the folder of a comparison


class TriedRow(NamedTuple):
  """A point that was tried.

  Attributes:
    arm: The name of the tuned arm that the point was tried for.
    tuning: The name of its tuning, which is another one for a variant of the arm.
    point: Its number.
    effective_rate: The learning rate, over one minus the mean momentum if steps grow by it.
    learning_rate: The first learning rate.
    momentum: The mean momentum; None if it was not tuned.
    weight_decay: The weight decay; None if it was not tuned.
    epoch: The epoch that is judged.
    metric: The metric on validation data after that epoch, mean over the seeds.
    half_width: Of its 95 % confidence interval.
    seeds: The number of seeds.
    diverged: How many of them have no result.
    at_edge: Whether its learning rate is at an edge of those that were searched.
    picked: Whether it is the point of the tuned arm.
  """

  arm: str
  tuning: str
  point: int
  effective_rate: float
  learning_rate: float
  momentum: float | None
  weight_decay: float | None
  epoch: int
  metric: float
  half_width: float
  seeds: int
  diverged: int
  at_edge: int
  picked: int


def tuning_path(folder: pathlib.Path) -> pathlib.Path:
  """Returns the path of the table of a comparison's tuning."""
  return folder / 'tuning.csv'


def read_tuning(folder: pathlib.Path) -> list[TriedRow]:
  """Returns the points that were tried in a folder; none if nothing was tuned there.

  Raises:
    UserError: If the table is damaged.
  """
  path = tuning_path(folder)
  if not path.exists():
    return []
  try:
    with path.open(newline='') as file:
      return [_row(row) for row in csv.DictReader(file)]
  except (ValueError, KeyError, TypeError) as error:
    raise UserError(
      f'{path} cannot be read ({error}): run `python -m train tune` again with the same options, which '
      'writes it anew.'
    ) from error


def _row(row: dict[str, str]) -> TriedRow:
  kinds = TriedRow.__annotations__
  values = {}
  for name, kind in kinds.items():
    text = row[name]
    optional = kind == float | None
    values[name] = None if optional and not text else (float if optional else kind)(text)
  return TriedRow(**values)
