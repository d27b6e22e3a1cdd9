"""Draws the predicted and the simulated effect by stiffness."""

import pathlib
from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from studies.quadratic.theory import Quadratic
from train.system.statistics import Estimate

_MARKERS = {'luck': 'o', 'running-mean': 's'}
_LABELS = {'luck': 'simulated, phase of the luck', 'running-mean': 'simulated, running mean'}


def plot_modes(
  path: pathlib.Path,
  quadratic: Quadratic,
  modes: Mapping[str, Mapping[str, Sequence[Estimate]]],
) -> None:
  """Draws a panel per rule.

  Args:
    path: The PNG file.
    quadratic: The quadratic.
    modes: An estimate per mode, by rule and kind.
  """
  figure = Figure(figsize=(9, 3.6), layout='constrained')
  panels = figure.subplots(1, len(modes), sharey=True)
  for panel, (rule, found) in zip(panels, modes.items(), strict=True):
    predicted = [100 * value.mean for value in found['predicted']]
    panel.axhline(0, color='0.8', linewidth=1)
    panel.axvline(quadratic.critical_stiffness, color='0.8', linewidth=1)
    panel.plot(quadratic.stiffness, predicted, color='black', label='predicted')
    for kind, marker in _MARKERS.items():
      means = [100 * value.mean for value in found[kind]]
      half_widths = [100 * value.half_width for value in found[kind]]
      panel.errorbar(
        quadratic.stiffness,
        means,
        half_widths,
        fmt=marker,
        markersize=4,
        label=_LABELS[kind],
      )
    panel.set_xscale('log')
    panel.set_title(rule)
    panel.set_xlabel('learning rate x stiffness (right of the line modes swing)')
  panels[0].set_ylabel('effect on the loss (%)')
  panels[0].legend(frameon=False, fontsize='small')
  figure.savefig(path, dpi=120)
