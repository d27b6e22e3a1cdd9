"""The plot of the study: the effect against the dose, over all cells."""

import pathlib
from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.figure import Figure

from studies.dispersion.analysis import Tested, remembered_dose
from studies.dispersion.contrasts import Pair

_MARKERS = {'algorithm1': 'o', 'equation9': 's', 'weights': '^'}
_COLOURS = {'algorithm1': 'C0', 'equation9': 'C1', 'weights': '0.4'}
_LABELS = {
  'algorithm1': 'LCAM, algorithm1',
  'equation9': 'LCAM, equation9',
  'weights': 'theory: fixed momentum, weighed gradients',
}


def plot_doses(path: pathlib.Path, by_rule: dict[str, list[Tested]]) -> None:
  """Draws all primary contrasts against the dose, as registered and with the memory of the mean.

  Args:
    path: The PNG file.
    by_rule: The primary contrasts of each rule.
  """
  figure = Figure(figsize=(11, 4.4), layout='constrained')
  left, right = figure.subplots(1, 2, sharey=True)
  usable = {rule: [one for one in found if one.contrast.usable] for rule, found in by_rule.items()}
  for panel, dose in ((left, lambda pair: pair.dose), (right, remembered_dose)):
    panel.axhline(0, color='0.8', linewidth=1)
    _draw_points(panel, usable, dose)
    _draw_line(panel, usable['weights'], dose)
  left.set_xlabel('delta / sqrt(batch)')
  left.set_title('predicted before the runs')
  right.set_xlabel('delta / sqrt(batch) x share that the mean of the epoch leaves')
  right.set_title('with the memory of the running mean')
  left.set_ylabel('effect on the final training loss (%)')
  left.legend(frameon=False, fontsize='small')
  figure.savefig(path, dpi=120)


def _draw_points(panel, usable, dose: Callable[[Pair], float]) -> None:
  for rule, found in usable.items():
    panel.errorbar(
      [dose(one.pair) for one in found],
      [100 * one.estimate.mean for one in found],
      [100 * one.estimate.half_width for one in found],
      fmt=_MARKERS[rule],
      color=_COLOURS[rule],
      markersize=4,
      linewidth=0.8,
      alpha=0.8,
      label=_LABELS[rule],
    )


def _draw_line(panel, found: Sequence[Tested], dose: Callable[[Pair], float]) -> None:
  """The line through the origin of the weighed gradients, which have no momentum that changes."""
  doses = np.array([dose(one.pair) for one in found])
  means = np.array([one.estimate.mean for one in found])
  if not len(found):
    return
  slope = (doses @ means) / (doses @ doses)
  ends = np.array(panel.get_xlim())
  panel.plot(ends, 100 * slope * ends, color='0.4', linewidth=1, label='predicted')
  panel.set_xlim(ends)
