"""Draws the difference of every method to tuned fixed momentum."""

import pathlib
from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from train.system.statistics import Estimate

_COLOURS = {'algorithm1': 'C0', 'equation9': 'C1', 'reweigh': 'C2', 'momo': 'C3'}


def plot_differences(
  path: pathlib.Path, panels: Sequence[Sequence[tuple[str, Mapping[str, Estimate]]]]
) -> None:
  """Draws panels with the differences of all methods.

  Args:
    path: The PNG file.
    panels: Rows of panels: a title, and the differences in percent, of the same methods in each.
  """
  figure = Figure(figsize=(13, 3.6 * len(panels)), layout='constrained')
  axes = figure.subplots(len(panels), len(panels[0]), sharey=True, squeeze=False)
  names = list(panels[0][0][1])
  colours = [_COLOURS.get(name.split('-')[0], '0.35') for name in names]
  for row, row_axes in zip(panels, axes, strict=True):
    for (title, estimates), axis in zip(row, row_axes, strict=True):
      axis.axvline(0, color='0.5', linewidth=1)
      means, half_widths = zip(*estimates.values(), strict=True)
      axis.errorbar(means, range(len(names)), xerr=half_widths, fmt='none', ecolor=colours)
      axis.scatter(means, range(len(names)), c=colours, s=16)
      axis.set_title(title, fontsize='medium')
      axis.set_yticks(range(len(names)), names, fontsize='x-small')
      axis.grid(axis='x', color='0.9')
      axis.set_axisbelow(True)
    row_axes[0].set_ylim(len(names) - 0.5, -0.5)
  for axis in axes[-1]:
    axis.set_xlabel('difference to tuned fixed momentum (%)')
  figure.savefig(path, dpi=100)
