"""Curves of runs as a picture."""

import io
import pathlib
import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator

from train.files import write_whole
from train.reports.read_runs import METRIC, FoundRuns, outcome
from train.reports.statistics import estimate
from train.reports.styles import Style, style_of

PAPER_EPOCHS = 150
DPI = 130
_FEWEST_FOR_A_BAND = 3
Published = Mapping[str, Mapping[str, np.ndarray]]


def plot_curves(found: FoundRuns, published: Published, setting: str, path: pathlib.Path) -> None:
  """Writes a PNG of the curves; see :func:`draw_curves`."""
  picture = io.BytesIO()
  draw_curves(found, published, setting).savefig(picture, dpi=DPI)
  write_whole(path, picture.getvalue())


def draw_curves(found: FoundRuns, published: Published, setting: str) -> Figure:
  """Draws metric, loss, phases and momenta by epoch.

  From three seeds on an arm is the line of its mean, for metric and loss with the confidence band;
  with fewer seeds it is its runs. The paper's curves have panels of their own, because their networks
  are larger than most that are trained here: as wide, so that the same share of a training stands
  below the same share of theirs.

  Args:
    found: The runs.
    published: From metric and arm to (epoch, value) pairs; empty if there are none.
    setting: What was run, a sentence.
  """
  rows = 3 if published else 2
  figure = Figure(figsize=(11, 0.8 + 3.7 * rows), layout='constrained')
  figure.suptitle(_header(found.about['title'], setting), fontsize='medium', x=0.01, ha='left')
  axes = figure.subplots(rows, 2)
  epochs = max(len(run['epoch']) for seeds in found.runs.values() for run in seeds.values())
  columns = (METRIC, found.metric.label), ('train_loss', 'training loss')
  for axis, (column, label) in zip(axes[0], columns, strict=True):
    _draw_arms(axis, found, column, band=True)
    _finish(axis, label, epochs)
    _fit(axis, may_be_logarithmic=True)
  if published:
    network = found.about['published_network']
    for axis, (column, label) in zip(axes[1], columns, strict=True):
      name = found.metric.column if column == METRIC else column
      _draw_published(axis, published.get(name, {}), found)
      _finish(axis, label, PAPER_EPOCHS)
      axis.set_title(f'the paper, {network}, one run each', fontsize='small', loc='left')
      _fit(axis, may_be_logarithmic=True)
  columns = ('high_loss_share', 'share of high-loss steps'), ('mean_momentum', 'mean momentum')
  for axis, (column, label) in zip(axes[-1], columns, strict=True):
    _draw_arms(axis, found, column, band=False)  # wider than what they would show
    _finish(axis, label, epochs)
    _fit(axis, may_be_logarithmic=False)
  _add_legend(figure, found)
  return figure


def _header(title: str, setting: str) -> str:
  return '\n'.join([*textwrap.wrap(title, 130), *textwrap.wrap(setting, 140)])


def _draw_arms(axis: Axes, found: FoundRuns, column: str, *, band: bool) -> None:
  """Draws all arms; runs that diverged are thin lines, and in no mean."""
  for arm, seeds in found.runs.items():
    style = style_of(arm, found.arms[arm])
    good = [run for run in seeds.values() if outcome(run, found.epochs) != 'diverged']
    lost = [run for run in seeds.values() if outcome(run, found.epochs) == 'diverged']
    if len(good) < _FEWEST_FOR_A_BAND:
      _draw_runs(axis, [run[column] for run in good], style)
    else:
      _draw_mean(axis, [run[column] for run in good], style, band=band)
    _draw_runs(axis, [run[column] for run in lost], style._replace(linestyle=':', marker=''))


def _draw_runs(axis: Axes, curves: Sequence[np.ndarray], style: Style) -> None:
  for curve in curves:
    epochs = np.arange(1, len(curve) + 1)
    axis.plot(epochs, curve, linewidth=0.9, **_look(style, len(curve)))


def _draw_mean(axis: Axes, curves: Sequence[np.ndarray], style: Style, *, band: bool) -> None:
  """Draws the mean of the curves that have come so far, and the confidence interval of it."""
  epochs = np.arange(1, max(map(len, curves)) + 1)
  estimates = [
    estimate(np.array([curve[epoch - 1] for curve in curves if len(curve) >= epoch]))
    for epoch in epochs
  ]
  means = np.array([value.mean for value in estimates])
  axis.plot(epochs, means, linewidth=1.5, **_look(style, len(epochs)))
  if band:
    half_widths = np.array([value.half_width for value in estimates])
    half_widths[np.isinf(half_widths)] = 0  # a single seed has no band
    low = means - half_widths
    if (means > 0).all():  # a band that reaches below zero would not fit on a logarithmic axis
      low = np.maximum(low, 0.2 * means)
    axis.fill_between(epochs, low, means + half_widths, color=style.color, alpha=0.1, linewidth=0)


def _draw_published(axis: Axes, curves: Mapping[str, np.ndarray], found: FoundRuns) -> None:
  """Draws the paper's curves of the arms that were trained, and says where they begin."""
  drawn = {arm: curve for arm, curve in curves.items() if arm in found.runs}
  for arm, curve in drawn.items():
    style = style_of(arm, found.arms[arm])
    axis.plot(curve[:, 0], curve[:, 1], linewidth=0.9, **_look(style, len(curve)))
  if not drawn:
    axis.text(0.5, 0.5, 'none of these arms', transform=axis.transAxes, ha='center', color='0.4')
    return
  first = min(curve[0, 0] for curve in drawn.values())
  if first > 2:
    axis.axvspan(0, first, color='0.95', linewidth=0)
    axis.text(
      first / 2,
      0.5,
      f'published\nfrom epoch {first:.0f} on',
      transform=axis.get_xaxis_transform(),
      ha='center',
      va='center',
      fontsize='small',
      color='0.4',
    )


def _look(style: Style, points: int) -> dict:
  """Returns the settings of a line, with a few markers on it."""
  return {**style._asdict(), 'markersize': 4, 'markevery': max(1, points // 6)}


def _finish(axis: Axes, label: str, epochs: int) -> None:
  axis.set(xlabel='epoch', ylabel=label, xlim=(0, epochs * 1.02 + 0.02))
  axis.xaxis.set_major_locator(MaxNLocator(integer=True))
  axis.grid(alpha=0.3, which='both')


def _fit(axis: Axes, *, may_be_logarithmic: bool) -> None:
  """Fits the vertical axis to its lines, so that a wide band of few seeds does not flatten them."""
  drawn = np.concatenate([np.asarray(line.get_ydata(), float) for line in axis.lines] or [[]])
  drawn = drawn[np.isfinite(drawn)]
  if not len(drawn):  # every run diverged at once
    return
  low, high = drawn.min(), drawn.max()
  if may_be_logarithmic and 0 < 2 * low < high:
    axis.set_yscale('log')
    axis.set_ylim(low / 1.2, high * 1.2)
    axis.yaxis.set_major_formatter('{x:g}')
    subs = (2, 3, 4, 5, 6, 8) if high < 30 * low else (2, 5) if high < 1000 * low else ()
    axis.yaxis.set_minor_locator(LogLocator(subs=subs))
    axis.yaxis.set_minor_formatter('{x:g}')
    axis.tick_params(axis='y', which='minor', labelsize='x-small')
  else:
    margin = 0.15 * (high - low) or 0.05 * abs(high) or 0.05
    axis.set_ylim(low - margin, high + margin)


def _add_legend(figure: Figure, found: FoundRuns) -> None:
  handles, labels = [], []
  means = False
  for arm, seeds in found.runs.items():
    lost = sum(outcome(run, found.epochs) == 'diverged' for run in seeds.values())
    means = means or len(seeds) - lost >= _FEWEST_FOR_A_BAND
    handles.append(Line2D([], [], markersize=4, **style_of(arm, found.arms[arm])._asdict()))
    labels.append(
      f'{arm} (n={len(seeds) - lost}{f", {lost} diverged: thin, dotted" if lost else ""})'
    )
  figure.legend(
    handles,
    labels,
    loc='outside lower center',
    ncols=min(4, len(labels)),
    frameon=False,
    fontsize='small',
    handlelength=3.5,
    title='mean over n seeds, metric and loss with the 95 % confidence band of the mean'
    if means
    else 'a line per run',
  )
