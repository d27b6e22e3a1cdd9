"""Draws the difference of every method to tuned fixed momentum.

python -m studies.tuned.plot          # from the committed table
"""

import pathlib
from collections.abc import Mapping
from typing import Annotated

import tyro
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from studies.tuned import definition
from studies.tuned.analysis import COMPARED, CONTROLS, Results, read_repeats
from train.system.statistics import Estimate, estimate

_NAMES = (*COMPARED, *CONTROLS)
_COLOURS = {'algorithm1': 'C0', 'equation9': 'C1', 'reweigh': 'C2', 'momo': 'C3'}
_LABEL = 'difference to tuned fixed momentum (%)'


def plot_summary(path: pathlib.Path, results: Results) -> None:
  """Draws the differences of the test error averaged over the settings, legible on a phone."""
  figure = Figure(figsize=(5.5, 7), layout='constrained')
  axis = figure.subplots()
  _draw(axis, {name: estimate(results.pooled(name)) for name in _NAMES})
  axis.set_xlabel(_LABEL)
  figure.savefig(path, dpi=160)


def plot_differences(path: pathlib.Path, results: Results) -> None:
  """Draws the differences of the test error in every setting."""
  problems = definition.PROBLEM_NAMES
  figure = Figure(figsize=(13, 3.6 * len(problems)), layout='constrained')
  rows = figure.subplots(len(problems), 3, sharey=True)
  for problem, row in zip(problems, rows, strict=True):
    settings = [one for one in definition.settings() if one.problem_name == problem]
    for axis, setting in zip(row, settings, strict=True):
      _draw(axis, {name: estimate(results.difference(setting, name)) for name in _NAMES})
      axis.set_title(f'{problem}, batch {setting.batch_size}', fontsize='medium')
      axis.tick_params(axis='y', labelsize='x-small')
  for axis in rows[-1]:
    axis.set_xlabel(_LABEL)
  figure.savefig(path, dpi=100)


def _draw(axis: Axes, estimates: Mapping[str, Estimate]) -> None:
  places = range(len(estimates))
  colours = [_COLOURS.get(name.split('-')[0], '0.35') for name in estimates]
  means, half_widths = zip(*estimates.values(), strict=True)
  axis.axvline(0, color='0.5', linewidth=1)
  axis.errorbar(means, places, xerr=half_widths, fmt='none', ecolor=colours)
  axis.scatter(means, places, c=colours, s=16)
  axis.set_yticks(places, estimates)
  axis.set_ylim(len(places) - 0.5, -0.5)
  axis.grid(axis='x', color='0.9')
  axis.set_axisbelow(True)


def main(
  folder: Annotated[pathlib.Path, tyro.conf.arg(help='the folder of the report')] = pathlib.Path(
    'results/tuned'
  ),
) -> None:
  """Draws the plots of a report again."""
  results = read_repeats(folder / 'repeats.csv')
  plot_summary(folder / 'summary.png', results)
  plot_differences(folder / 'differences.png', results)


if __name__ == '__main__':
  tyro.cli(main)
