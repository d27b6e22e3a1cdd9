"""Curves of runs as a picture."""

import pathlib

import matplotlib

matplotlib.use('Agg')  # no window, also where there is a screen

import numpy as np
from matplotlib import pyplot as plt
from matplotlib import ticker

from train.contrasts import Contrast
from train.statistics import estimate

# Okabe and Ito's colours, which readers with any colour vision can tell apart.
COLOURS = (
  '#000000',
  '#D55E00',
  '#0072B2',
  '#009E73',
  '#CC79A7',
  '#E69F00',
  '#56B4E9',
  '#999999',
  '#F0E442',
)
PANELS = (
  ('test_error_percent', 'test error (%)', 'log'),
  ('train_loss', 'training loss', 'log'),
  ('high_loss_share', 'share of high-loss steps', 'linear'),
  ('mean_momentum', 'mean momentum', 'linear'),
)
PAPER_EPOCHS = 150
KIND_LABELS = {
  'baseline': 'against fixed momentum 0.9',
  'coin': 'against its coin',
  'direction': 'against the other direction',
}
KIND_COLOURS = dict(zip(KIND_LABELS, ('#0072B2', '#D55E00', '#009E73'), strict=True))


def plot_curves(
  runs: dict[str, dict[int, dict[str, np.ndarray]]],
  published: dict[str, dict[str, np.ndarray]],
  path: pathlib.Path,
) -> None:
  """Draws metrics by epoch: a line per arm with a band over seeds, the paper's curves dashed.

  Theirs are read on the right, because their networks are larger than most that are trained here.

  Args:
    runs: From arm and seed to the columns of metrics.csv.
    published: From metric and arm to (epoch, value) pairs. Their 150 epochs are drawn over the
      epochs of these runs, as the schedules are.
    path: The PNG to write.
  """
  epochs = max(len(run['epoch']) for seeds in runs.values() for run in seeds.values())
  colours = {arm: COLOURS[index % len(COLOURS)] for index, arm in enumerate(runs)}
  figure, axes = plt.subplots(2, 2, figsize=(11, 8), layout='constrained')
  for axis, (column, label, scale) in zip(axes.flat, PANELS, strict=True):
    for arm, seeds in runs.items():
      draw_arm(axis, [run[column] for run in seeds.values()], colours[arm], arm)
    scale_to_lines(axis, scale)
    axis.set(xlabel='epoch', ylabel=label)
    axis.xaxis.set_major_locator(ticker.MaxNLocator(integer=True))
    axis.grid(alpha=0.3, which='both')
    curves = {arm: curve for arm, curve in published.get(column, {}).items() if arm in runs}
    if curves:
      # The paper's numbers are far from those of a small network: they have a scale of their own.
      right = axis.twinx()
      for arm, curve in curves.items():
        x, y = curve[:, 0] * epochs / PAPER_EPOCHS, curve[:, 1]
        right.plot(x, y, '--', color=colours[arm], linewidth=0.9, label=f'{arm}, paper (right)')
      scale_to_lines(right, scale)
      right.set_ylabel(f'{label}, paper (WRN-28-10), dashed', fontsize='small')
  # The panels have the same arms.
  legend = {
    label: handle
    for axis in figure.axes
    for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)
  }
  figure.legend(
    legend.values(),
    legend.keys(),
    loc='outside upper center',
    ncols=4,
    frameon=False,
    fontsize='small',
    title='mean over n seeds with its 95 % confidence band',
  )
  figure.savefig(path, dpi=130)
  plt.close(figure)


def scale_to_lines(axis, scale: str) -> None:
  """Fits the vertical axis to its lines, so that a wide band of few seeds does not flatten them."""
  drawn = np.concatenate([line.get_ydata() for line in axis.lines])
  drawn = drawn[np.isfinite(drawn)]
  if scale == 'log':
    drawn = drawn[drawn > 0]
  if not len(drawn):  # every run diverged at once
    return
  low, high = drawn.min(), drawn.max()
  if scale == 'log':
    axis.set_yscale('log')
    axis.set_ylim(low / 1.2, high * 1.2)
    axis.yaxis.set_major_formatter('{x:g}')
    axis.yaxis.set_minor_locator(ticker.LogLocator(subs=(2, 3, 4, 5, 6, 8)))
    axis.yaxis.set_minor_formatter('{x:g}')
    axis.tick_params(axis='y', which='minor', labelsize='x-small')
  else:
    margin = 0.25 * (high - low) or 0.05
    axis.set_ylim(low - margin, high + margin)


def draw_arm(axis, curves: list[np.ndarray], colour: str, label: str) -> None:
  """Draws the mean of an arm's curves and the confidence interval of that mean."""
  epochs = np.arange(1, max(map(len, curves)) + 1)
  estimates = [
    estimate(np.array([curve[epoch - 1] for curve in curves if len(curve) >= epoch]))
    for epoch in epochs
  ]
  means = np.array([value.mean for value in estimates])
  half_widths = np.array([value.half_width for value in estimates])
  half_widths[np.isinf(half_widths)] = 0  # a single seed has no band
  axis.plot(epochs, means, color=colour, label=f'{label} (n={len(curves)})', linewidth=1.5)
  # A band that reaches below zero would not fit on a logarithmic axis.
  low = np.maximum(means - half_widths, 0.2 * means)
  axis.fill_between(epochs, low, means + half_widths, color=colour, alpha=0.15, linewidth=0)


def plot_differences(differences: dict[str, list[Contrast]], path: pathlib.Path) -> None:
  """Draws differences of test error with their confidence intervals, a row each.

  Args:
    differences: From the name of a part to its contrasts, of more than one seed each.
    path: The PNG to write.
  """
  rows = sum(1.3 + len(several) for several in differences.values())
  figure, axis = plt.subplots(figsize=(9.5, 0.23 * rows + 1.4), layout='constrained')
  ticks, labels, height = [], [], 0.0
  for part, several in differences.items():
    axis.text(0.005, height, part, transform=axis.get_yaxis_transform(), va='center', weight='bold')
    for contrast in several:
      height -= 1
      ticks.append(height)
      labels.append(f'{contrast.arm} vs {contrast.other} (n={contrast.seeds})')
      mean, half_width = contrast.difference
      colour = KIND_COLOURS[contrast.kind]
      axis.errorbar(mean, height, xerr=half_width, fmt='o', markersize=4, capsize=2, color=colour)
    height -= 1.3
  for kind, label in KIND_LABELS.items():
    axis.errorbar([], [], xerr=[], fmt='o', color=KIND_COLOURS[kind], label=label)
  axis.axvline(0, color='black', linewidth=0.8)
  axis.set_yticks(ticks, labels, fontsize='small')
  axis.set(
    xlabel='difference of test error in percentage points, with 95 % confidence interval\n'
    '(left of zero the first is better; one interval in 20 excludes zero by chance)',
    ylim=(height, 0.8),
  )
  axis.grid(alpha=0.3, axis='x')
  figure.legend(loc='outside upper center', ncols=len(KIND_LABELS), frameon=False)
  figure.savefig(path, dpi=130)
  plt.close(figure)
