"""Measures what the sizes of the study were chosen by, on other seeds, without test examples.

python -m studies.tuned.pilot

It tries fixed momentum at 64 points with 16 seeds, on half of the training examples, and draws smaller
tunings from these. How much does the error on a quarter that was not used for tuning depend on them?
"""

import time

import numpy as np

from studies.training import Engine
from studies.tuned import definition
from studies.tuned.definition import Cell
from studies.tuned.run import bounded_scores
from train import Split

_SEEDS = range(1_000_000, 1_000_016)
_REPEATS = (1_000_000, 1_000_001)
_SIZES = ((16, 2), (16, 4), (32, 2), (32, 4), (32, 8))  # points, seeds
_DRAWS = 50


def main() -> None:
  """Prints the result of each setting."""
  random = np.random.default_rng(_REPEATS[0])
  for setting in definition.settings():
    examples, epochs = setting.problem.load(), definition.EPOCHS[setting.batch_size]
    found, best = {}, []
    for repeat in _REPEATS:
      order = np.random.default_rng(repeat).permutation(len(examples.labels))
      training, validation, held_out = (
        Split(examples.inputs[rows], examples.labels[rows]) for rows in np.split(order, [512, 768])
      )
      sizes = setting.problem.sizes(examples.inputs.shape[1])
      engine = Engine(training, sizes, setting.batch_size, epochs, earlier=(epochs // 2,))
      points = [point for tuning in (0, 1) for point in Cell(setting, repeat).points(tuning)]
      starts = definition.FIXED.starts(points, _SEEDS)
      start = time.perf_counter()
      trained = engine.train(starts)
      decided, held = (
        [values.reshape(len(points), len(_SEEDS), 2) for values in bounded_scores(trained, rows)]
        for rows in (validation, held_out)
      )
      cost = 1000 * (time.perf_counter() - start) / len(starts)  # the second is without compiling
      best += [points[i] for i in decided[1].mean(1).argmin(0)]
      for size in _SIZES:
        for by, values in zip(('error', 'loss'), decided, strict=True):
          held_errors = [_drawn(random, size, values, held[0]) for _ in range(_DRAWS)]
          found.setdefault((*size, by), []).append(held_errors)
    print(setting, f'{cost:.1f} ms a run; best points, half and full epochs:')
    print('  ', *(f'rate {rate:.3g} momentum {momentum:.2f};' for rate, momentum in best))
    for (points_tried, seeds, by), errors in found.items():
      half, full = (
        f'{mean:.2f} % +- {sd:.2f}'
        for mean, sd in zip(
          100 * np.mean(errors, axis=(0, 1)), 100 * np.std(errors, axis=1).mean(0), strict=True
        )
      )
      print(f'   {points_tried} points, {seeds} seeds, by {by}: {half}; {full}', flush=True)


def _drawn(random, size, decides, errors):
  points = random.choice(len(decides), size[0], replace=False)
  seeds = random.choice(len(_SEEDS), size[1], replace=False)
  best = decides[points][:, seeds].mean(1).argmin(0)
  return [errors[points[i], :, part].mean() for part, i in enumerate(best)]


if __name__ == '__main__':
  main()
