"""How sensitive arms are to their learning rate: what a tuning tried, and what it picked."""

import itertools
import math
from collections.abc import Sequence

import numpy as np

from train.reports.curves import MOST_WITH_BANDS, Line, Panel
from train.reports.read_runs import FoundRuns
from train.reports.tables import Column, Table
from train.storage.tuning import TriedRow
from train.system.statistics import Estimate, format_estimate, t_quantile

_NOTE = (
  'Tuned settings. rate: the first learning rate; effective: over one minus the mean momentum, for arms '
  'whose steps grow by momentum. validation: the metric on validation data, mean over {seeds} ± '
  'half-width of its 95 % confidence interval; the best of all points, and so it flatters. points: how '
  'many were tried. Yoked runs have the numbers of their partners. The examples that decided were not '
  'trained on, without a validation split a fifth of the training examples: so errors differ from those of '
  '`run`, which trains on all.'
)


def picks(found: FoundRuns) -> list[TriedRow]:
  """Returns the point of each tuned arm, in the order of a report."""
  of_arm = {row.arm: row for row in found.tuning if row.picked}
  return [of_arm[arm] for arm in found.runs if arm in of_arm]


def settings_table(found: FoundRuns, spec: str) -> Table:
  """Returns the table of tuned settings."""
  rows = picks(found)
  points = {row.arm: sum(one.arm == row.arm for one in found.tuning) for row in rows}
  columns = [
    Column('arm', [row.arm for row in rows], is_text=True),
    Column('rate', [f'{row.learning_rate:.3g}' for row in rows]),
    Column('effective', [f'{row.effective_rate:.3g}' for row in rows]),
  ]
  if any('+' in row.arm for row in rows):
    chosen = [row.tuning if '+' in row.arm else '-' for row in rows]
    columns.insert(1, Column('chosen', chosen, is_text=True))
  for head, values in (
    ('momentum', [row.momentum for row in rows]),
    ('weight decay', [row.weight_decay for row in rows]),
  ):
    if any(value is not None for value in values):
      columns.append(Column(head, ['-' if value is None else f'{value:.3g}' for value in values]))
  if len({row.epoch for row in rows} | {found.config['epochs']}) > 1:
    columns.append(Column('epoch', [str(row.epoch) for row in rows]))
  means = [format_estimate(Estimate(row.metric, row.half_width), spec=spec) for row in rows]
  columns.append(Column('validation', means))
  columns.append(Column('points', [str(points[row.arm]) for row in rows]))
  return Table(columns, settings_notes(found), 'Tuned settings')


def _seeds(found: FoundRuns) -> str:
  number = found.tuning[0].seeds
  return f'{number} seed{"s" if number > 1 else ""}'


def settings_notes(found: FoundRuns) -> list[str]:
  """Returns what the heads of the table of tuned settings mean."""
  return [_NOTE.format(seeds=_seeds(found))]


def edge_sentences(found: FoundRuns) -> list[str]:
  """Returns a sentence about arms whose point lies at an edge of what was searched."""
  at_edge = [row.arm for row in picks(found) if row.at_edge]
  if not at_edge:
    return []
  return [
    f'The best learning rate of {", ".join(at_edge)} lies at the edge of the range, which was widened '
    'once: a wider one might hold a better one. Change the learning rate of the comparison, the middle of '
    'the range.'
  ]


def sensitivity(found: FoundRuns) -> Panel:
  """Returns the panel of the validation metric by learning rate: a line per tuning, and the picks."""
  lines = []
  for (arm, _), rows in itertools.groupby(found.tuning, key=lambda row: (row.arm, row.tuning)):
    if arm not in found.runs:
      continue
    ended = sorted(
      (row for row in rows if math.isfinite(row.metric)), key=lambda row: row.effective_rate
    )
    if ended:
      lines.append(_line(arm, ended))
  for row in picks(found):
    place = np.array([row.effective_rate]), np.array([row.metric])
    lines.append(Line(row.arm, 'pick', *place))
  label, higher = (
    found.metric.axis.replace('test ', 'validation ', 1),
    found.metric.higher_is_better,
  )
  horizontal = 'effective learning rate'
  return Panel(label, lines, 0, True, horizontal_label=horizontal, higher_is_better=higher)


def _line(arm: str, rows: Sequence[TriedRow]) -> Line:
  rates, means, half_widths = np.array(
    [(row.effective_rate, row.metric, row.half_width) for row in rows]
  ).T
  half_widths = np.where(np.isfinite(half_widths), half_widths, 0)
  errors = half_widths / t_quantile(max(rows[0].seeds - 1, 1))
  searched = any(row.momentum is not None or row.weight_decay is not None for row in rows)
  kind = 'points' if searched else 'mean'
  low = means - errors
  if (means > 0).all():  # a logarithmic axis cannot show a band that reaches below zero
    low = np.maximum(low, 0.2 * means)
  band = None if searched else (low, means + errors)
  return Line(arm, kind, rates, means, band)


def caption(found: FoundRuns) -> str:
  """Returns what the sensitivity plot shows."""
  lost = sum(not math.isfinite(row.metric) for row in found.tuning)
  diverged = f' Not drawn: {lost} points with runs that diverged.' if lost else ''
  number = max(sum(one.tuning == row.tuning for one in found.tuning) for row in found.tuning)
  band = '; bands: one standard error of the mean to each side'
  band = band if len(found.runs) <= MOST_WITH_BANDS else ''
  return (
    f'{number} points per arm, {_seeds(found)} each, on validation data{band}; stars: the '
    'points that were picked. Effective learning rate: the first one, over one minus the mean momentum for '
    f'arms whose steps grow by it.{diverged}'
  )
