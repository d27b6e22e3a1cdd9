"""A plot of the differences in several comparisons."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from train.reports.contrasts import SHOWN, Contrast
from train.reports.metric import Metric
from train.reports.styles import CONTRAST_COLOURS

_LABELS = {
  'yoked': 'against its yoked run',
  'coin': 'against its coin',
  'direction': 'against the other direction',
  'baseline': 'against the baseline',
}


def plot_differences(differences: Mapping[str, Sequence[Contrast]], metric: Metric) -> Figure:
  """Draws the contrasts of comparisons with their confidence intervals, a row each."""
  rows = sum(1.3 + len(several) for several in differences.values())
  figure = Figure(figsize=(9.5, 0.23 * rows + 2.0), layout='constrained')
  axis = figure.subplots()
  ticks, labels, height = [], [], 0.0
  for name, several in differences.items():
    axis.text(0.005, height, name, transform=axis.get_yaxis_transform(), va='center', weight='bold')
    for contrast in several:
      height -= 1
      ticks.append(height)
      labels.append(f'{contrast.arm} vs {contrast.other} (n={contrast.seeds})')
      _draw(axis, contrast, height)
    height -= 1.3
  drawn = {contrast.kind for several in differences.values() for contrast in several}
  for kind in filter(drawn.__contains__, _LABELS):
    axis.errorbar([], [], xerr=[], fmt='o', color=CONTRAST_COLOURS[kind], label=_LABELS[kind])
  axis.axvline(0, color='0.3', linewidth=0.8)
  axis.set_yticks(ticks, labels, fontsize='small')
  unit = ', percentage points' if metric.unit else ''
  axis.set(
    xlabel=f'difference of {metric.label.removesuffix(" (%)")}{unit}, with 95 % confidence interval\n'
    '(left of zero the first is better)',
    ylim=(height + 0.5, 0.8),
  )
  axis.grid(alpha=0.3, axis='x')
  figure.suptitle(
    f'Differences on the same seeds; filled: shown (Holm-adjusted p < {SHOWN:g} in its part)',
    fontsize='medium',
  )
  figure.legend(loc='outside lower center', ncols=len(drawn), frameon=False, fontsize='small')
  return figure


def _draw(axis, contrast: Contrast, height: float) -> None:
  colour = CONTRAST_COLOURS[contrast.kind]
  axis.errorbar(
    contrast.difference,
    height,
    xerr=contrast.half_width if np.isfinite(contrast.half_width) else 0,
    fmt='o',
    markersize=5,
    capsize=2,
    color=colour,
    markerfacecolor=colour if contrast.shown else 'white',
  )
