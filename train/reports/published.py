"""The published curves of the paper."""

import collections
import csv
import pathlib

import numpy as np

_FILE = pathlib.Path(__file__).with_name('paper_curves.csv')


def published_curves(figure: str, dataset: str) -> dict[str, dict[str, np.ndarray]]:
  """Returns the curves of one figure of the paper, (epoch, value) pairs by metric and arm.

  Example:
    >>> sorted(published_curves('figure3', 'cifar10'))
    ['test_error_percent', 'train_loss']

  References:
    The coordinates of the figures in the TeX source of arXiv:2309.02130, version 1.
  """
  points = collections.defaultdict(lambda: collections.defaultdict(list))
  with _FILE.open(newline='') as file:
    for row in csv.DictReader(file):
      if (row['figure'], row['dataset']) == (figure, dataset):
        points[row['metric']][row['arm']].append((float(row['epoch']), float(row['value'])))
  return {
    metric: {arm: np.array(sorted(curve)) for arm, curve in arms.items()}
    for metric, arms in points.items()
  }
