"""Draws the plot of the study: the effect against the dose, over all cells."""

import pathlib
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from studies.dispersion.analysis import Tested, predicted_effect

_MARKERS = {'algorithm1': 'o', 'equation9': 's', 'weights': '^'}
_COLOURS = {'algorithm1': 'C0', 'equation9': 'C1', 'weights': '0.4'}
_LABELS = {
  'algorithm1': 'LCAM, algorithm1',
  'equation9': 'LCAM, equation9',
  'weights': 'theory: fixed momentum, weighed gradients',
}


def plot_doses(path: pathlib.Path, endpoints: Mapping[str, Mapping[str, list[Tested]]]) -> None:
  """Draws all contrasts, against the dose and against the prediction for each cell.

  Args:
    path: The PNG file.
    endpoints: The contrasts, by the name of the endpoint and by rule.
  """
  figure = Figure(figsize=(11, 4 * len(endpoints)), layout='constrained')
  rows = figure.subplots(len(endpoints), 2, squeeze=False)
  for (name, by_rule), (left, right) in zip(endpoints.items(), rows, strict=True):
    usable = {
      rule: [one for one in found if one.contrast.usable] for rule, found in by_rule.items()
    }
    for panel in (left, right):
      panel.axhline(0, color='0.8', linewidth=1)
    for rule, found in usable.items():
      _draw_points(left, rule, [one.pair.dose for one in found], found)
    _draw_slope(left, usable['weights'])
    left.set_ylabel(f'effect on the {name} (%)')
    for rule in ('algorithm1', 'equation9'):
      predicted = [predicted_effect(one.pair, usable['weights']) for one in usable[rule]]
      known = [i for i, value in enumerate(predicted) if value is not None]
      x = [100 * predicted[i] for i in known]
      _draw_points(right, rule, x, [usable[rule][i] for i in known])
    right.axline((0, 0), slope=1, color='0.4', linewidth=1)
    right.set_ylabel('measured (%)')
  rows[0][0].set_title('dose and response')
  handles = rows[0][0].get_legend_handles_labels()
  figure.legend(*handles, loc='outside lower center', ncols=4, frameon=False)
  rows[0][1].set_title('with the memory of the running mean')
  rows[-1][0].set_xlabel('delta / sqrt(batch)')
  rows[-1][1].set_xlabel('predicted: weighed gradients x share of luck left (%)')
  figure.savefig(path, dpi=110)


def _draw_points(panel, rule: str, x: Sequence[float], found: Sequence[Tested]) -> None:
  panel.errorbar(
    x,
    [100 * one.estimate.mean for one in found],
    [100 * one.estimate.half_width for one in found],
    fmt=_MARKERS[rule],
    color=_COLOURS[rule],
    markersize=4,
    linewidth=0.8,
    alpha=0.8,
    label=_LABELS[rule],
  )


def _draw_slope(panel, found: Sequence[Tested]) -> None:
  """Draws the line of the weighted gradients, through the origin."""
  if found:
    doses = np.array([one.pair.dose for one in found])
    means = np.array([one.estimate.mean for one in found])
    slope = (doses @ means) / (doses @ doses)
    panel.axline((0, 0), slope=100 * slope, color='0.4', linewidth=1, label='its slope: predicted')
