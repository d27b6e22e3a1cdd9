"""Measures the runs an hour of the trainer, of the trainer with lanes, and of the studies.

    python -m studies.throughput

All three train the same problem. The trainer is ``python -m train run studies/throughput.py``, which
evaluates each epoch, and writes tables and checkpoints: with ``--together off`` one run after the other,
with ``--together 16`` as lanes of one program. The studies use these lanes in memory, without files, and
evaluate once. Costs that occur once (starting, compiling) are left out, for the trainer by taking the
difference of two calls. Run it on an idle machine.
"""

import pathlib
import subprocess
import sys
import tempfile
import time
from typing import Annotated

import tyro
from flax import nnx

from studies.arms import Arm, Numbers
from studies.network import Perceptron
from studies.problems import PROBLEMS
from studies.runner import Runner
from train import Comparison, Dataset, Split
from train.problem.arms import Lcam
from train.problem.schedules import Constant
from train.system.environment import commit_words, environment
from train.training.lanes import USUAL_LANES

BATCH_SIZE, EPOCHS, LEARNING_RATE, LOW, HIGH = 8, 4, 2**-6, 0.45, 0.95
_PROBLEM = next(problem for problem in PROBLEMS if problem.name == 'digits')


def digits() -> Dataset:
  """Returns the problem as a data set of the trainer."""
  examples = _PROBLEM.load()
  return Dataset(
    'digits',
    Split(examples.inputs, examples.labels),
    Split(examples.test_inputs, examples.test_labels),
    tuple(map(str, range(_PROBLEM.classes))),
  )


def mlp(num_classes: int, rngs: nnx.Rngs) -> nnx.Module:
  """Returns the network of the problem."""
  del num_classes
  return Perceptron(_PROBLEM.sizes(64), rngs)


comparison = Comparison(
  name='throughput',
  dataset=digits,
  network=mlp,
  epochs=EPOCHS,
  batch_size=BATCH_SIZE,
  arms=(Lcam(LOW, HIGH),),
  schedule=Constant(init_value=LEARNING_RATE),
  weight_decay=0.0,
)


def main(
  seeds: Annotated[int, tyro.conf.arg(help='runs at once, in lanes and in a study')] = 400,
  alone: Annotated[int, tyro.conf.arg(help='runs one after the other')] = 8,
) -> None:
  """Prints the runs an hour of each, and how many times those of the trainer alone they are."""
  seconds = {
    'trainer, one by one': _seconds_of_trainer('off', 1, alone),
    f'trainer, {USUAL_LANES} lanes': _seconds_of_trainer(str(USUAL_LANES), USUAL_LANES, seeds),
    'study': _seconds_of_study(seeds),
  }
  made = environment()
  print(f'commit {commit_words(made)}, {made["machine"]} CPU')
  slowest = max(seconds.values())
  for name, one in seconds.items():
    print(f'{name}: {1000 * one:.1f} ms a run, {3600 / one:,.0f} an hour, x {slowest / one:.0f}')


def _seconds_of_study(seeds: int) -> float:
  runner = Runner(_PROBLEM, BATCH_SIZE, EPOCHS, range(seeds))
  numbers = Numbers(LEARNING_RATE, HIGH, LOW)
  runner.run(Arm('lcam'), 'algorithm1', numbers)  # compiles
  start = time.perf_counter()
  runner.run(Arm('lcam'), 'algorithm1', numbers)
  return (time.perf_counter() - start) / seeds


def _seconds_of_trainer(together: str, first: int, seeds: int) -> float:
  """Returns what a run takes beyond the first ones."""
  seconds = []
  for number in (first, first, first + seeds):  # the first call reads and compiles Python's modules
    with tempfile.TemporaryDirectory() as workdir:
      command = [sys.executable, '-m', 'train', 'run', str(pathlib.Path(__file__))]
      command += ['--workdir', workdir, '--together', together, '--seeds', f'0-{number - 1}']
      start = time.perf_counter()
      subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
      seconds.append(time.perf_counter() - start)
  return (seconds[2] - seconds[1]) / seeds


if __name__ == '__main__':
  tyro.cli(main)
