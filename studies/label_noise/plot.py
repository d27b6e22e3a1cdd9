"""Draws the figures of the report."""

import pathlib
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from studies.label_noise.analysis import Results, relative
from studies.label_noise.definition import FIXED, LCAM_WIDE, WEIGHTS, Setting
from studies.label_noise.methods import Method
from studies.label_noise.noise import Noise
from train.system.statistics import estimate

_LOW, _YOKED_LOW, _HIGH, _YOKED_HIGH = (method.name for method in LCAM_WIDE)
_EASY = WEIGHTS[0].name
# Name, label, colour, line.
_CURVES = (
  (_LOW, 'LCAM, high momentum in the low-loss phase', 'C0', '-'),
  (_YOKED_LOW, 'its yoked run', 'C0', ':'),
  (_HIGH, 'LCAM, high momentum in the high-loss phase', 'C3', '-'),
  (_YOKED_HIGH, 'its yoked run', 'C3', ':'),
  (_EASY, 'weights of examples, -0.475', 'C2', '-'),
)


def plot_digits(path: pathlib.Path, results: Results) -> None:
  """Draws the differences to fixed momentum on digits, over batch sizes and over shares."""
  figure = Figure(figsize=(10, 4.4), layout='constrained')
  left, right = figure.subplots(1, 2, sharey=True)
  on_digits = [one for one in results.tuned if one.problem_name == 'digits']
  by_size = {one.batch_size: one for one in on_digits if one.noise == Noise('symmetric', 0.2)}
  by_share = {
    100 * one.noise.share: one
    for one in on_digits
    if one.noise.kind == 'symmetric' and one.batch_size == 2
  }
  _draw_curves(left, results, by_size, spread=0.03)
  left.set_xticks(np.arange(len(by_size)), map(str, sorted(by_size)))
  left.set_xlabel('batch size (20 % of the labels wrong)')
  left.set_ylabel('test error - that of fixed momentum (% of answers)')
  _draw_curves(right, results, by_share, spread=0.03)
  right.set_xticks(np.arange(len(by_share)), [f'{share:g}' for share in sorted(by_share)])
  right.set_xlabel('wrong labels (%, batch 2)')
  handles, labels = right.get_legend_handles_labels()
  figure.legend(handles, labels, loc='outside upper center', ncols=3, fontsize='small')
  figure.savefig(path, dpi=130)


def plot_problems(path: pathlib.Path, results: Results, settings: Sequence[Setting]) -> None:
  """Draws the differences to fixed momentum in percent of its error, problem by problem."""
  figure = Figure(figsize=(7.5, 1.2 + 0.62 * len(settings)), layout='constrained')
  axis = figure.subplots()
  for i, (name, label, colour, line) in enumerate(_CURVES):
    filled = line == '-'
    places, found = [], []
    for row, setting in enumerate(settings):
      if name in results.tuned[setting]:
        places.append(row + (i - 2) * 0.14)
        found.append(relative(results, setting, name))
    means, half_widths = zip(*found, strict=True)
    axis.errorbar(
      means,
      places,
      xerr=half_widths,
      fmt='o',
      markersize=4,
      color=colour,
      markerfacecolor=colour if filled else 'white',
      label=label,
    )
  axis.axvline(0, color='0.5', linewidth=1)
  axis.set_yticks(range(len(settings)), [_place(setting) for setting in settings])
  axis.invert_yaxis()
  axis.grid(axis='x', color='0.9')
  axis.set_axisbelow(True)
  axis.set_xlabel('test error, difference to fixed momentum (% of its error)')
  figure.legend(loc='outside upper center', ncols=2, fontsize='small')
  figure.savefig(path, dpi=130)


def plot_theory(
  path: pathlib.Path,
  results: Results,
  weights: Mapping[tuple[Setting, Method], tuple[float, float]],
) -> None:
  """Draws predicted and measured weights, and the effect of the direction beside its rule.

  Args:
    path: The file.
    results: The results.
    weights: The predicted and the measured relative weight of wrong labels.
  """
  figure = Figure(figsize=(11, 4.8), layout='constrained')
  left, right = figure.subplots(1, 2)
  problems = list(dict.fromkeys(setting.problem_name for setting in results.tuned))
  colours = {name: f'C{i}' for i, name in enumerate(problems)}
  for name, colour in colours.items():
    points = [pair for (setting, _), pair in weights.items() if setting.problem_name == name]
    if points:
      left.scatter(*zip(*points, strict=True), s=14, color=colour, label=name, alpha=0.8)
  ends = [*left.get_xlim(), *left.get_ylim()]
  left.plot([min(ends), max(ends)], [min(ends), max(ends)], color='0.6', linewidth=1)
  left.set_xlabel('weight of wrong labels, predicted from losses')
  left.set_ylabel('measured with LCAM')
  left.legend(fontsize='small')
  for setting, losses in results.losses.items():
    if setting.batch_size == 2:
      effect = estimate(
        100
        * results.direction(setting)
        / (100 * results.tuned[setting][FIXED.name].test_error.mean())
      )
      right.errorbar(
        100 * losses.wrong_above_mean,
        effect.mean,
        yerr=effect.half_width,
        fmt='o',
        markersize=4,
        color=colours[setting.problem_name],
      )
  right.axvline(50, color='0.6', linewidth=1)
  right.axhline(0, color='0.6', linewidth=1)
  right.set_xlabel('wrong labels among the examples with a loss above the mean (%)')
  right.set_ylabel(
    'effect of the direction (% of the error; below 0:\nhigh momentum in the low-loss phase)'
  )
  figure.savefig(path, dpi=130)


def _place(setting: Setting) -> str:
  return f'{setting.problem_name}\n{setting.noise.name}, batch {setting.batch_size}'


def _draw_curves(
  axis: Axes, results: Results, settings: Mapping[float, Setting], spread: float
) -> None:
  ordered = [settings[key] for key in sorted(settings)]
  for i, (name, label, colour, line) in enumerate(_CURVES):
    rows = [row for row, one in enumerate(ordered) if name in results.tuned[one]]
    found = [estimate(results.difference(ordered[row], name, FIXED.name)) for row in rows]
    if found:
      means, half_widths = zip(*found, strict=True)
      places = np.array(rows) + (i - 2) * spread
      axis.errorbar(
        places,
        means,
        yerr=half_widths,
        color=colour,
        linestyle=line,
        marker='o',
        markersize=3,
        label=label,
      )
  axis.axhline(0, color='0.5', linewidth=1)
  axis.grid(axis='y', color='0.9')
  axis.set_axisbelow(True)
