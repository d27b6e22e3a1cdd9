"""Draws the effect against the dose, and against its prediction, over all cells of the study.

python -m studies.dispersion.plot          # from the committed table
"""

import csv
import dataclasses
import pathlib
from typing import Annotated, NamedTuple

import numpy as np
import tyro
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from studies.dispersion import definition
from studies.dispersion.analysis import shares
from studies.dispersion.contrasts import Pair

_LOOKS = {
  'weights': ('theory: weighted gradients', {'fmt': '^', 'color': '0.4'}),
  'algorithm1': ('LCAM, algorithm1', {'fmt': 'o', 'color': 'C0'}),
  'equation9': ('LCAM, equation9', {'fmt': 's', 'color': 'C1'}),
}
# The file of each endpoint, and its words.
FILES = {
  'loss_spread': ('dose-response.png', 'spread of the losses'),
  'train_loss': ('dose-response-training-loss.png', 'training loss'),
}


class _Effect(NamedTuple):
  """One contrast of the table, in percent."""

  mean: float
  half_width: float


def plot_doses(folder: pathlib.Path) -> None:
  """Draws the plots of a folder from its table, contrasts.csv."""
  with (folder / 'contrasts.csv').open() as file:
    rows = [row for row in csv.DictReader(file) if row['arm'] == 'lcam' and _usable(row)]
  for endpoint, (name, words) in FILES.items():
    effects = {
      Pair(row['problem'], int(row['batch']), float(row['delta']), row['rule']): _Effect(
        float(row['contrast']), float(row['half_width'])
      )
      for row in rows
      if row['endpoint'] == endpoint
    }
    # As wide as this, letters are legible on a phone.
    figure = Figure(figsize=(5.5, 8), layout='constrained')
    above, below = figure.subplots(2)
    _draw_doses(above, effects)
    _draw_predictions(below, effects)
    above.set_ylabel(f'effect on the {words} (%)')
    above.set_xlabel('dose: delta / sqrt(batch size)')
    below.set_ylabel(f'effect on the {words} (%)')
    below.set_xlabel('effect that the theory predicts (%)')
    figure.legend(*above.get_legend_handles_labels(), loc='outside upper left', frameon=False)
    figure.savefig(folder / name, dpi=160)


def _usable(row: dict[str, str]) -> bool:
  excluded, left = int(row['excluded']), int(row['seeds'])
  return excluded <= definition.LARGEST_EXCLUDED_SHARE * (excluded + left)


def _draw_doses(panel: Axes, effects: dict[Pair, _Effect]) -> None:
  for rule, (label, _) in _LOOKS.items():
    of_rule = {pair: one for pair, one in effects.items() if pair.rule == rule}
    _draw_points(panel, rule, [(pair.dose, one) for pair, one in of_rule.items()], label)
  doses, means = np.array(
    [(pair.dose, one.mean) for pair, one in effects.items() if pair.rule == 'weights']
  ).T
  slope = (doses @ means) / (doses @ doses)
  panel.axline((0, 0), slope=slope, color='0.4', linewidth=1, label='mean slope of the theory')


def _draw_predictions(panel: Axes, effects: dict[Pair, _Effect]) -> None:
  for rule in ('algorithm1', 'equation9'):
    points = []
    for pair, one in effects.items():
      theory = effects.get(dataclasses.replace(pair, rule='weights'))
      if pair.rule == rule and theory:
        left = shares(pair.batch_size)
        points.append((theory.mean * getattr(left, rule) / left.weights, one))
    _draw_points(panel, rule, points)
  panel.axline((0, 0), slope=1, color='0.4', linewidth=1)


def _draw_points(panel: Axes, rule: str, points: list[tuple[float, _Effect]], label='') -> None:
  panel.axhline(0, color='0.8', linewidth=1)
  panel.errorbar(
    [x for x, _ in points],
    [one.mean for _, one in points],
    [one.half_width for _, one in points],
    **_LOOKS[rule][1],
    markersize=4,
    linewidth=0.8,
    alpha=0.8,
    label=label,
  )


def main(
  folder: Annotated[pathlib.Path, tyro.conf.arg(help='the folder of the report')] = pathlib.Path(
    'results/dispersion'
  ),
) -> None:
  """Draws the plots of a report again."""
  plot_doses(folder)


if __name__ == '__main__':
  tyro.cli(main)
