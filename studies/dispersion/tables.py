"""Writes the tables of the study."""

import csv
import pathlib
from collections.abc import Mapping

import numpy as np

from studies.dispersion import definition
from studies.dispersion.contrasts import Contrast, Pair, Table, contrast, of_seeds
from train.system.statistics import p_value

_PAIRS_OF_ARMS = (
  ('lcam', 'yoked'),
  ('independent', 'independent-yoked'),
  ('luck', 'luck-yoked'),
)


def write_cells(path: pathlib.Path, pairs: Mapping[Pair, Mapping[str, Table]]) -> None:
  """Writes mean and standard deviation over the seeds of every arm and endpoint."""
  columns = (*definition.ENDPOINTS, 'mean_momentum')
  head = [f'{column}_{what}' for column in columns for what in ('mean', 'sd')]
  with path.open('w', newline='') as file:
    writer = csv.writer(file, lineterminator='\n')
    writer.writerow(('problem', 'batch', 'delta', 'rule', 'direction', 'arm', 'seeds', *head))
    for pair, tables in sorted(pairs.items()):
      for direction, arms in tables.items():
        for arm, values in arms.items():
          numbers = [
            f'{number:.5g}'
            for column in columns
            for number in (np.mean(values[column]), np.std(values[column], ddof=1))
          ]
          seeds = len(values['train_loss'])
          writer.writerow((*_place(pair), direction, arm, seeds, *numbers))


def write_contrasts(path: pathlib.Path, pairs: Mapping[Pair, Mapping[str, Table]]) -> None:
  """Writes the contrast of every arm with its yoked runs, for every endpoint, in percent."""
  with path.open('w', newline='') as file:
    writer = csv.writer(file, lineterminator='\n')
    writer.writerow(
      (
        'problem',
        'batch',
        'delta',
        'rule',
        'arm',
        'endpoint',
        'seeds',
        'excluded',
        'contrast',
        'half_width',
        'p',
        'high',
        'high_half_width',
        'low',
        'low_half_width',
      )
    )
    for pair, tables in sorted(pairs.items()):
      for arm, partner in _PAIRS_OF_ARMS:
        if arm in tables['high']:
          for endpoint in definition.ENDPOINTS:
            one = contrast(pair, tables, arm, partner, endpoint)
            if one.excluded < len(one.values):
              writer.writerow((*_place(pair), arm, endpoint, *_numbers(one)))


def _place(pair: Pair) -> tuple:
  return pair.problem, pair.batch_size, pair.delta, pair.rule


def _numbers(one: Contrast) -> list:
  whole, high, low = (of_seeds(values) for values in (one.values, one.high, one.low))
  return [
    len(one.values) - one.excluded,
    one.excluded,
    f'{100 * whole.mean:.4f}',
    f'{100 * whole.half_width:.4f}',
    f'{p_value(one.values):.3g}',
    *(f'{100 * x:.4f}' for x in (high.mean, high.half_width, low.mean, low.half_width)),
  ]
