"""The curves of a comparison, independent of the library that draws them."""

import collections
import csv
import pathlib
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np

from train.reports.read_runs import FoundRuns
from train.system.statistics import estimate

_PAPER_CURVES = pathlib.Path(__file__).with_name('paper_curves.csv')
PAPER_EPOCHS = 150
FEWEST_FOR_A_MEAN = 3
MOST_WITH_BANDS = 5  # bands of more arms overlap, and cannot be told apart
MOST_DIVERGED = 5  # runs of an arm that are drawn
Published = Mapping[str, Mapping[str, np.ndarray]]  # (epoch, value) pairs by metric and arm


class Line(NamedTuple):
  """One line of an arm: the mean of its runs, one run, a run that diverged, or a published run.

  Of a tuning: the points that were tried, with a line through them or without, and the one picked.
  """

  arm: str
  kind: Literal['mean', 'run', 'diverged', 'published', 'points', 'pick']
  epochs: np.ndarray  # or learning rates
  values: np.ndarray
  band: tuple[np.ndarray, np.ndarray] | None = None  # the ends of the confidence intervals


class Panel(NamedTuple):
  """One plot of several arms by epoch."""

  label: str  # of the vertical axis
  lines: list[Line]
  epochs: int  # the last of the horizontal axis
  may_be_logarithmic: bool  # because the values can span several orders of magnitude
  title: str = ''  # the source of the curves, if not the runs
  horizontal_label: str = 'epoch'
  higher_is_better: bool = False

  @property
  def logarithmic(self) -> bool:
    """Whether the vertical axis is logarithmic; it would shrink what is better if higher is."""
    low, high = self.extent or (0.0, 0.0)
    return self.may_be_logarithmic and not self.higher_is_better and 0 < 2 * low < high

  @property
  def fitted(self) -> list[Line]:
    """The lines that the vertical axis is fitted to: of diverged ones, only where they stay small."""
    lasting = [line for line in self.lines if line.kind != 'diverged']
    return lasting if lasting and self.may_be_logarithmic else self.lines

  @property
  def of_epochs(self) -> bool:
    """Whether the horizontal axis has epochs; otherwise it has learning rates, and is logarithmic."""
    return self.horizontal_label == 'epoch'

  @property
  def horizontal(self) -> tuple[float, float]:
    """The ends of the horizontal axis, around the first and the last epoch or learning rate."""
    if not self.of_epochs:
      rates = np.concatenate([line.epochs for line in self.lines] or [np.ones(1)])
      return float(rates.min()) / 1.2, float(rates.max()) * 1.2
    margin = 0.02 * max(self.epochs - 1, 1)
    return 1 - margin, self.epochs + margin

  @property
  def extent(self) -> tuple[float, float] | None:
    """The smallest and the largest value; None if all are NaN or infinite."""
    # Without bands, so that a wide band of few seeds does not flatten the lines.
    drawn = np.concatenate([line.values for line in self.fitted] or [np.empty(0)])
    drawn = drawn[np.isfinite(drawn)]
    return (float(drawn.min()), float(drawn.max())) if len(drawn) else None

  @property
  def mantissas(self) -> tuple[float, ...]:
    """The multiples of powers of ten at the ticks of a logarithmic axis; fewer on a longer one."""
    low, high = self.extent or (1.0, 1.0)
    if high < 30 * low:
      return 1, 1.5, 2, 3, 4, 5, 6, 8
    return (1, 2, 5) if high < 1000 * low else (1,)

  @property
  def first_epoch(self) -> float | None:
    """The first epoch of the lines; None without lines."""
    return min((float(line.epochs[0]) for line in self.lines), default=None)


def published_curves(figure: str, dataset: str) -> Published:
  """Returns the curves of one figure of the paper, see ``Published``.

  Example:
    >>> sorted(published_curves('figure3', 'cifar10'))
    ['test_error_percent', 'train_loss']

  References:
    The coordinates of the figures in the TeX source of arXiv:2309.02130, version 1.
  """
  points = collections.defaultdict(lambda: collections.defaultdict(list))
  with _PAPER_CURVES.open(newline='') as file:
    for row in csv.DictReader(file):
      if (row['figure'], row['dataset']) == (figure, dataset):
        points[row['metric']][row['arm']].append((float(row['epoch']), float(row['value'])))
  return {
    metric: {arm: np.array(sorted(curve)) for arm, curve in arms.items()}
    for metric, arms in points.items()
  }


def panels(found: FoundRuns, published: Published) -> list[Panel]:
  """Returns the panels of metric and loss, the paper's metric and loss, phases and momenta.

  The paper's curves, if any, have panels of their own, which are as wide, so that equal shares of a
  training are aligned.
  """
  epochs = max(len(run['epoch']) for seeds in found.runs.values() for run in seeds.values())
  title = f'the paper, {found.about["published_network"]}, one run each'
  ours, theirs = [], []
  for column, label in {'metric': found.metric.axis, 'train_loss': 'training loss'}.items():
    higher = column == 'metric' and found.metric.higher_is_better
    lines = _lines(found, column, band=True)
    ours.append(Panel(label, lines, epochs, True, higher_is_better=higher))
    curves = published.get(found.metric.column if column == 'metric' else column, {})
    lines = [
      Line(arm, 'published', *np.asarray(curve).T)
      for arm, curve in curves.items()
      if arm in found.runs
    ]
    theirs.append(Panel(label, lines, PAPER_EPOCHS, True, title))
  shares = {'high_loss_share': 'share of high-loss steps', 'mean_momentum': 'mean momentum'}
  means = [  # without bands, which would hide the lines
    Panel(label, _lines(found, column, band=False), epochs, False)
    for column, label in shares.items()
  ]
  return [*ours, *(theirs if published else []), *means]


def finite_runs(found: FoundRuns, arm: str) -> list[int]:
  """Returns the seeds of an arm that did not diverge."""
  return found.seeds(arm, 'finished', 'unfinished')


def shows_means(found: FoundRuns) -> bool:
  """Returns whether an arm has enough seeds to be drawn as its mean."""
  return any(len(finite_runs(found, arm)) >= FEWEST_FOR_A_MEAN for arm in found.runs)


def _lines(found: FoundRuns, column: str, *, band: bool) -> list[Line]:
  """Returns the lines of all arms: means of three seeds or more, else runs; and some diverged runs."""
  lines = []
  for arm, seeds in found.runs.items():
    curves = {seed: run[column] for seed, run in seeds.items()}
    good = [curves.pop(seed) for seed in finite_runs(found, arm)]
    singles = [('run', curve) for curve in good]
    if len(good) >= FEWEST_FOR_A_MEAN:
      lines.append(_mean(arm, good, band=band))
      singles = []
    singles += [('diverged', curve) for curve in list(curves.values())[:MOST_DIVERGED]]
    lines += [Line(arm, kind, np.arange(1, len(curve) + 1), curve) for kind, curve in singles]
  return lines


def _mean(arm: str, curves: Sequence[np.ndarray], *, band: bool) -> Line:
  """Returns the mean over the curves that reach each epoch, with its confidence interval."""
  lengths = np.array([len(curve) for curve in curves])
  epochs = np.arange(1, lengths.max() + 1)
  table = np.empty((len(epochs), len(curves)))
  for column, curve in enumerate(curves):
    table[: len(curve), column] = curve
  means, half_widths = np.array(
    [estimate(table[epoch - 1, lengths >= epoch]) for epoch in epochs]
  ).T
  if not band:
    return Line(arm, 'mean', epochs, means)
  half_widths[np.isinf(half_widths)] = 0  # a single seed has no band
  low = means - half_widths
  if (means > 0).all():  # a logarithmic axis cannot show a band that reaches below zero
    low = np.maximum(low, 0.2 * means)
  return Line(arm, 'mean', epochs, means, (low, means + half_widths))
