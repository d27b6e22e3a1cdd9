"""Measures the training loss by learning rate, to choose the sizes of the study, on other seeds.

python -m studies.dispersion.pilot
"""

import time

import numpy as np

from studies.arms import Arm, Numbers
from studies.dispersion.definition import EPOCHS, MEAN_MOMENTUM, PILOT_SEEDS
from studies.problems import PROBLEMS
from studies.runner import Runner

LEARNING_RATES = tuple(2.0**power for power in range(-8, 2))


def main() -> None:
  """Prints a line per problem and batch size."""
  print('training loss at the learning rates', *LEARNING_RATES)
  for problem in PROBLEMS:
    for batch_size, epochs in EPOCHS.items():
      runner = Runner(problem, batch_size, epochs, PILOT_SEEDS)
      phases = np.zeros((len(PILOT_SEEDS), runner.steps), np.int8)
      found = []
      for learning_rate in LEARNING_RATES:
        start = time.perf_counter()
        numbers = Numbers(learning_rate, MEAN_MOMENTUM, MEAN_MOMENTUM)
        results = runner.run(Arm('fixed', partner='none'), 'algorithm1', numbers, phases)
        seconds = (time.perf_counter() - start) / len(PILOT_SEEDS)
        found.append(f'{results.train_loss.mean():.3g}')
      print(problem.name, batch_size, *found, f'{1000 * seconds:.1f} ms a run', flush=True)


if __name__ == '__main__':
  main()
