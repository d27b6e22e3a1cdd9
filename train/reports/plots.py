"""Plots the curves of runs, and the differences in several comparisons."""

import io
import pathlib
import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator

from train.reports.contrasts import SHOWN, Contrast
from train.reports.curves import (
  MOST_WITH_BANDS,
  Line,
  Panel,
  finite_runs,
)
from train.reports.last_values import Histograms
from train.reports.read_runs import FoundRuns, Metric
from train.reports.sensitivity import sensitivity
from train.reports.styles import CONTRAST_COLOURS, Style, style_of
from train.system.files import write_whole

_LEGEND = {'loc': 'outside lower center', 'frameon': False, 'fontsize': 'small'}
_LABELS = {
  'yoked': 'against its yoked run',
  'coin': 'against its coin',
  'direction': 'against the other direction',
  'tries': 'against the baseline, tuned as often',
  'baseline': 'against the baseline',
}


def write_png(figure: Figure, path: pathlib.Path) -> None:
  """Writes a figure as a PNG, whole or not at all."""
  picture = io.BytesIO()
  figure.savefig(picture, dpi=130)
  write_whole(path, picture.getvalue())


def draw_curves(
  found: FoundRuns, drawn: Sequence[Panel], last: Sequence[Histograms], caption: str
) -> Figure:
  """Draws the panels by epoch, and below them the histograms of last values, if any.

  An arm with three seeds or more is the line of its mean, for metric and loss with a confidence band
  (of many arms only the last interval, beside the line). With fewer seeds it is a line per run.
  """
  heights = [3.7 * len(drawn) / 2, *([0.9 + 0.5 * len(last[0].arms)] if last else [])]
  figure = Figure(figsize=(11, 0.8 + sum(heights)), layout='constrained')
  header = [*textwrap.wrap(found.about['title'], 130), *textwrap.wrap(caption, 165)]
  figure.suptitle('\n'.join(header), fontsize='small', x=0.01, ha='left')
  # Figures of their own, so that the long labels of the histograms do not narrow the curves.
  parts = figure.subfigures(len(heights), height_ratios=heights, squeeze=False).flat
  for axis, panel in zip(parts[0].subplots(len(drawn) // 2, 2).flat, drawn, strict=True):
    _draw(axis, panel, found)
  if last:
    for axis, several in zip(
      parts[1].subplots(1, len(last), squeeze=False).flat, last, strict=True
    ):
      _draw_last_values(axis, several, found)
  _add_legend(figure, found)
  return figure


def draw_sensitivity(found: FoundRuns, caption: str) -> Figure:
  """Draws the validation metric by learning rate, a line per arm, with the points that were picked."""
  figure = Figure(figsize=(8, 5.5), layout='constrained')
  header = [*textwrap.wrap(found.about['title'], 100), *textwrap.wrap(caption, 125)]
  figure.suptitle('\n'.join(header), fontsize='small', x=0.01, ha='left')
  panel = sensitivity(found)
  _draw(figure.subplots(), panel, found)
  arms = {line.arm: found.arms[line.arm] for line in panel.lines}
  handles = [Line2D([], [], markersize=4, **style_of(*arm)._asdict()) for arm in arms.items()]
  figure.legend(handles, list(arms), ncols=min(4, len(arms)), handlelength=3.5, **_LEGEND)
  return figure


def _draw(axis: Axes, panel: Panel, found: FoundRuns) -> None:
  intervals = 0
  for line in panel.lines:
    style = style_of(line.arm, found.arms[line.arm])
    _draw_line(axis, line, style)
    if line.band and len(found.runs) <= MOST_WITH_BANDS:
      axis.fill_between(line.epochs, *line.band, color=style.color, alpha=0.1, linewidth=0)
    elif line.band and panel.of_epochs:
      intervals += 1
      _draw_last_interval(axis, line, style, 1 + 0.012 * intervals)
  if panel.title:
    axis.set_title(panel.title, fontsize='small', loc='left')
    _say_where_it_begins(axis, panel)
  if panel.of_epochs:
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
  else:
    axis.set_xscale('log')
    axis.xaxis.set_major_formatter('{x:g}')
  axis.set(xlabel=panel.horizontal_label, ylabel=panel.label, xlim=panel.horizontal)
  axis.grid(alpha=0.3, which='both')
  _fit(axis, panel)


def _draw_line(axis: Axes, line: Line, style: Style) -> None:
  """Draws a line with a few markers on it; runs that diverged are thin and dotted."""
  if line.kind == 'diverged':
    style = style._replace(linestyle=':', marker='')
  if line.kind in ('points', 'pick'):
    shape = {'marker': '.'} if line.kind == 'points' else {'marker': '*', 'markersize': 13}
    edge = {'markeredgecolor': 'white', 'zorder': 3}
    axis.plot(line.epochs, line.values, linestyle='', color=style.color, **shape, **edge)
    return
  axis.plot(
    line.epochs,
    line.values,
    linewidth=1.3 if line.kind == 'mean' else 0.9,
    markersize=4,
    markevery=max(1, len(line.epochs) // 6),
    **style._asdict(),
  )


def _draw_last_interval(axis: Axes, line: Line, style: Style, place: float) -> None:
  """Draws the interval of the last mean to the right of the lines, at a share of their width."""
  mean, low, high = line.values[-1], *(end[-1] for end in line.band)
  look = {'fmt': style.marker or 'o', 'markersize': 3, 'elinewidth': 1.2, 'color': style.color}
  beside = {'transform': axis.get_yaxis_transform(), 'clip_on': False}
  axis.errorbar(place, mean, [[mean - low], [high - mean]], **look, **beside)


def _say_where_it_begins(axis: Axes, panel: Panel) -> None:
  """Marks where the paper's curves begin, if there are any."""
  first, look = panel.first_epoch, {'ha': 'center', 'color': '0.4'}
  if first is None:
    axis.text(0.5, 0.5, 'none of these arms', transform=axis.transAxes, **look)
  elif first > 2:
    axis.axvspan(panel.horizontal[0], first, color='0.95', linewidth=0)
    words = f'published\nfrom epoch {first:.0f} on'
    place = {'transform': axis.get_xaxis_transform(), 'va': 'center'}
    axis.text((1 + first) / 2, 0.5, words, fontsize='small', **place, **look)


def _fit(axis: Axes, panel: Panel) -> None:
  """Fits the vertical axis to the lines, without their bands."""
  if panel.extent is None:
    return
  low, high = panel.extent
  if panel.logarithmic:
    axis.set_yscale('log')
    axis.set_ylim(low / 1.2, high * 1.2)
    axis.yaxis.set_major_formatter('{x:g}')
    axis.yaxis.set_minor_locator(LogLocator(subs=panel.mantissas[1:]))
    axis.yaxis.set_minor_formatter('{x:g}')
    axis.tick_params(axis='y', which='minor', labelsize='x-small')
  else:
    margin = 0.15 * (high - low) or 0.05 * abs(high) or 0.05
    axis.set_ylim(low - margin, high + margin)


def _draw_last_values(axis: Axes, drawn: Histograms, found: FoundRuns) -> None:
  """Draws the histogram of each arm, with its mean and interval below it."""
  heights = -np.arange(len(drawn.arms), dtype=float)
  for height, one in zip(heights, drawn.arms, strict=True):
    style = style_of(one.arm, found.arms[one.arm])
    tops = height + 0.62 * one.heights
    axis.stairs(tops, drawn.edges, baseline=height, fill=True, color=style.color, alpha=0.45)
    mean, half_width = one.estimate
    look = {'fmt': style.marker or 'o', 'markersize': 4, 'capsize': 2, 'color': style.color}
    axis.errorbar(mean, height - 0.14, xerr=half_width if np.isfinite(half_width) else 0, **look)
  if drawn.is_difference:
    axis.axvline(0, color='0.3', linewidth=0.8)
    axis.yaxis.tick_right()
  axis.set_yticks(heights + 0.15, [one.words for one in drawn.arms], fontsize='small')
  axis.set(xlabel=drawn.label, ylim=(heights[-1] - 0.35, 0.75))
  axis.grid(alpha=0.3, axis='x')


def _add_legend(figure: Figure, found: FoundRuns) -> None:
  handles, labels = [], []
  for arm, seeds in found.runs.items():
    good = len(finite_runs(found, arm))
    lost = len(seeds) - good
    handles.append(Line2D([], [], markersize=4, **style_of(arm, found.arms[arm])._asdict()))
    labels.append(f'{arm} (n={good}{f", {lost} diverged" if lost else ""})')
  figure.legend(handles, labels, ncols=min(4, len(labels)), handlelength=3.5, **_LEGEND)


def plot_differences(
  differences: Mapping[str, tuple[str, Sequence[Contrast]]], metric: Metric
) -> Figure:
  """Draws the contrasts of comparisons with their intervals, a row each, below name and caption."""
  captions = {name: textwrap.wrap(caption, 130) for name, (caption, _) in differences.items()}
  # The lines of a caption are lower than a row.
  heights = {name: 0.3 + 0.62 * len(lines) for name, lines in captions.items()}
  rows = sum(1.3 + heights[name] + len(several) for name, (_, several) in differences.items())
  figure = Figure(figsize=(11, 0.23 * rows + 2.0), layout='constrained')
  axis = figure.subplots()
  ticks, labels, height = [], [], 0.0
  for name, (_, several) in differences.items():
    place = {'x': 0.005, 'transform': axis.get_yaxis_transform(), 'backgroundcolor': 'white'}
    axis.text(y=height, s=name, va='center', weight='bold', **place)
    axis.text(y=height - 0.5, s='\n'.join(captions[name]), va='top', fontsize='x-small', **place)
    height -= heights[name]
    for contrast in several:
      height -= 1
      ticks.append(height)
      labels.append(f'{contrast.arm} vs {contrast.other} (n={contrast.seeds})')
      _draw_difference(axis, contrast, height)
    height -= 1.3
  drawn = {contrast.kind for _, several in differences.values() for contrast in several}
  for kind in filter(drawn.__contains__, _LABELS):
    axis.errorbar([], [], xerr=[], fmt='o', color=CONTRAST_COLOURS[kind], label=_LABELS[kind])
  axis.axvline(0, color='0.3', linewidth=0.8)
  axis.set_yticks(ticks, labels, fontsize='small')
  unit = ', percentage points' if metric.unit else ''
  better = 'right' if metric.higher_is_better else 'left'
  axis.set(
    xlabel=f'difference of {metric.label.removesuffix(" (%)")}{unit}, with 95 % confidence interval\n'
    f'({better} of zero the first is better)',
    ylim=(height + 0.5, 0.8),
  )
  axis.grid(alpha=0.3, axis='x')
  figure.suptitle(
    f'Differences on the same seeds; filled: shown (Holm-adjusted p < {SHOWN:g} in its part)',
    fontsize='medium',
  )
  figure.legend(ncols=len(drawn), **_LEGEND)
  return figure


def _draw_difference(axis, contrast: Contrast, height: float) -> None:
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
