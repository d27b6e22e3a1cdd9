"""Draws the losses in one cell of the study, step by step, for docs/what-lcam-does.md.

python -m studies.dispersion.curves
"""

import pathlib
from typing import Annotated

import numpy as np
import tyro
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from studies.dispersion.definition import DIRECTIONS, EPOCHS, SEEDS, Cell
from studies.dispersion.run import run_cell
from studies.problems import PROBLEMS
from studies.runner import Runner

PROBLEM, BATCH_SIZE, DELTA, RULE = 'digits', 8, 0.25, 'algorithm1'
WINDOW = 16  # the number of steps to average
# The label and the style of each arm.
LOOKS = {
  'fixed-mean': ('fixed momentum, the same mean', {'color': '0.5', 'linestyle': ':'}),
  'yoked': ("yoked: another run's momenta", {'color': 'C1', 'linestyle': '--'}),
  'lcam': ('LCAM', {'color': 'C0'}),
}
TITLES = {
  'high': 'high momentum\nwhile the loss is high',
  'low': 'high momentum\nwhile the loss is low',
}

Losses = Float[np.ndarray, 'runs steps']


def smoothed(losses: Losses) -> Losses:
  """Returns the means over windows of steps.

  Example:
    >>> smoothed(np.arange(32.0)[None]).tolist()
    [[7.5, 23.5]]
  """
  steps = losses.shape[1] // WINDOW * WINDOW
  return losses[:, :steps].reshape(len(losses), -1, WINDOW).mean(2)


def main(
  output: Annotated[pathlib.Path, tyro.conf.arg(help='the file for the plot')] = pathlib.Path(
    'results/dispersion/curves.png'
  ),
) -> None:
  """Trains the cell in both directions and draws the losses of its batches."""
  problem = next(problem for problem in PROBLEMS if problem.name == PROBLEM)
  runner = Runner(problem, BATCH_SIZE, EPOCHS[BATCH_SIZE], SEEDS)
  # As wide as this, letters are legible on a phone.
  figure = Figure(figsize=(5.5, 5.5), layout='constrained')
  panels = figure.subplots(2, 2, sharex=True, sharey='row', height_ratios=(3, 2))
  for direction, (curve, ratio) in zip(DIRECTIONS, panels.T, strict=True):
    results = run_cell(runner, Cell(PROBLEM, BATCH_SIZE, DELTA, RULE, direction))
    losses = {arm: smoothed(results[arm][0].batch_losses) for arm in LOOKS}
    curve.set_title(TITLES[direction])
    _draw_losses(curve, losses)
    _draw_ratio(ratio, losses)
  panels[0][0].set_ylabel('loss of the batches')
  handles = panels[0][0].get_legend_handles_labels()
  figure.legend(*handles, loc='outside upper left', frameon=False)
  panels[1][0].set_ylabel('LCAM against yoked (%)')
  figure.supxlabel(f'step (mean of {len(SEEDS)} runs, {WINDOW} steps each)')
  output.parent.mkdir(parents=True, exist_ok=True)
  figure.savefig(output, dpi=160)


def _places(windows: int) -> Float[np.ndarray, ' windows']:
  return WINDOW * (np.arange(windows) + 0.5)


def _draw_losses(panel: Axes, losses: dict[str, Losses]) -> None:
  panel.set_yscale('log')
  for arm, (label, look) in LOOKS.items():
    panel.plot(_places(losses[arm].shape[1]), losses[arm].mean(0), label=label, **look)


def _draw_ratio(panel: Axes, losses: dict[str, Losses]) -> None:
  own, yoked = losses['lcam'], losses['yoked']
  differences = 100 * (own - yoked) / yoked.mean(0)
  mean, error = differences.mean(0), differences.std(0, ddof=1) / np.sqrt(len(own))
  x = _places(len(mean))
  panel.axhline(0, color='0.8', linewidth=1)
  panel.fill_between(x, mean - 2 * error, mean + 2 * error, color='C0', alpha=0.25, linewidth=0)
  panel.plot(x, mean, color='C0')


if __name__ == '__main__':
  tyro.cli(main)
