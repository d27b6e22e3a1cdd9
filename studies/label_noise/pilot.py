"""Measures what the rates, the epochs and the sizes of the study were chosen by.

python -m studies.label_noise.pilot

It has seeds of its own and never sees test examples: errors are those on validation examples, with
their wrong labels and with the right ones.
"""

import dataclasses
import itertools
import time
from typing import Annotated

import numpy as np
import tyro

from studies.label_noise.losses import absolute_error
from studies.label_noise.methods import Method, loss_of, pair_methods
from studies.label_noise.noise import Noise
from studies.problems import FURTHER_PROBLEMS, PROBLEMS
from studies.training import Engine, score
from train import wrong_answer

_SEEDS = range(1_000_000, 1_000_008)
_REPEATS = (1_000_000, 1_000_001)
_OCTAVES = range(-8, 2)
_METHODS = (
  Method('fixed-0.9'),
  Method('fixed-0.475', low=0.475, high=0.475),
  pair_methods(0.95, 0.0)[0],
  pair_methods(0.0, 0.95)[0],
  Method('easy-0.475', 'examples', strength=-0.475),
  Method('gce-0.7', loss='gce-0.7'),
  Method('gce-0.3', loss='gce-0.3'),
  Method('term-0.5', 'tilt', strength=-0.5, loss='tilted-0.5'),
  Method('smoothing-0.2', loss='smoothed-0.2'),
  Method('clip-1', 'clip', strength=1.0),
  Method('decay-0.01', 'decay', strength=0.01),
  Method('adam', 'adam', scale=2.0**-5),
)


def main(
  problem: Annotated[str, tyro.conf.arg(help='its name')] = 'digits',
  kind: Annotated[str, tyro.conf.arg(help='symmetric, pair, people or outliers')] = 'symmetric',
  share: Annotated[float, tyro.conf.arg(help='the share of wrong labels')] = 0.2,
  source: str = '',
  batches: tuple[int, ...] = (2, 32),
  epochs: int = 6,
  methods: int = 12,
) -> None:
  """Prints both errors of every method at every rate."""
  found = next(one for one in (*PROBLEMS, *FURTHER_PROBLEMS) if one.name == problem)
  examples = found.load()
  number = len(examples.labels) * 3 // 4
  error = absolute_error if found.classes == 1 else wrong_answer
  for batch in batches:
    rates = [2.0**octave * batch / 8 for octave in _OCTAVES]
    print(problem, kind, share, 'batch', batch, 'octaves', list(_OCTAVES))
    for method in _METHODS[:methods]:
      if method.name.startswith(('easy',)) and batch == 1:
        continue
      noisy_errors, right_errors, cost = [], [], 0.0
      for repeat in _REPEATS:
        labels = Noise(kind, share, source).wrong_labels(examples.labels, found.classes, repeat)
        training, validation = dataclasses.replace(examples, labels=labels).divide(number, repeat)
        _, right = examples.divide(number, repeat)
        sizes = found.sizes(training.inputs.shape[1])
        engine = Engine(training, sizes, batch, epochs, method.loss_on(found))
        starts = [method.start(rate, seed) for rate, seed in itertools.product(rates, _SEEDS)]
        start = time.perf_counter()
        params = engine.train(starts).params
        cost = time.perf_counter() - start
        for split, kept in ((validation, noisy_errors), (right, right_errors)):
          kept.append(score(params, split, loss_of(found), error).error.reshape(len(rates), -1))
        fit = score(params, training, loss_of(found), error).error.reshape(len(rates), -1).mean(1)
      rows = [np.mean(kept, axis=(0, 2)) for kept in (noisy_errors, right_errors)]
      print(
        f'{method.name:18s} {1000 * cost / len(starts):5.1f} ms',
        'right',
        *(f'{100 * x:6.2f}' for x in rows[1]),
        flush=True,
      )
      print(' ' * 27, 'noisy', *(f'{100 * x:6.2f}' for x in rows[0]))
      print(' ' * 27, 'train', *(f'{100 * x:6.2f}' for x in fit))


if __name__ == '__main__':
  tyro.cli(main)
