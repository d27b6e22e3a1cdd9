"""Curves of runs as pictures."""

import pathlib

import matplotlib

matplotlib.use('Agg')  # no window, also where there is a screen

import numpy as np
from matplotlib import pyplot as plt

from train.statistics import estimate

# Okabe and Ito's colours, which readers with any colour vision can tell apart.
COLOURS = ('#000000', '#D55E00', '#0072B2', '#009E73', '#CC79A7', '#E69F00', '#56B4E9')


def plot_curves(runs: dict[str, dict[int, dict[str, np.ndarray]]], path: pathlib.Path) -> None:
  """Draws test error and training loss by epoch, a line per arm with a band over seeds.

  Args:
    runs: From arm and seed to the columns of metrics.csv.
    path: The PNG to write.
  """
  panels = (
    ('test_error_percent', 'test error (%)'),
    ('train_loss', 'training loss'),
  )
  figure, axes = plt.subplots(1, len(panels), figsize=(11, 4.2), layout='constrained')
  for axis, (column, label) in zip(axes, panels, strict=True):
    for (arm, seeds), colour in zip(runs.items(), COLOURS * len(runs), strict=False):
      draw_arm(axis, [run[column] for run in seeds.values()], colour, arm)
    axis.set(xlabel='epoch', ylabel=label, yscale='log')
    axis.yaxis.set_major_formatter('{x:g}')
    axis.yaxis.set_minor_formatter('{x:g}')
    axis.tick_params(axis='y', which='minor', labelsize='x-small')
    axis.grid(alpha=0.3)
  axes[0].legend(frameon=False, title='mean over seeds, 95 % band')
  figure.savefig(path, dpi=150)
  plt.close(figure)


def draw_arm(axis, curves: list[np.ndarray], colour: str, label: str) -> None:
  """Draws the mean of an arm's curves and the confidence interval of that mean."""
  epochs = np.arange(1, max(map(len, curves)) + 1)
  estimates = [
    estimate(np.array([curve[epoch - 1] for curve in curves if len(curve) >= epoch]))
    for epoch in epochs
  ]
  means = np.array([value.mean for value in estimates])
  half_widths = np.array([value.half_width for value in estimates])
  half_widths[np.isinf(half_widths)] = 0
  axis.plot(epochs, means, color=colour, label=f'{label} (n={len(curves)})', linewidth=1.5)
  # A band that reaches below zero would not fit on a logarithmic axis.
  axis.fill_between(
    epochs,
    np.maximum(means - half_widths, 0.2 * means),
    means + half_widths,
    color=colour,
    alpha=0.15,
    linewidth=0,
  )
