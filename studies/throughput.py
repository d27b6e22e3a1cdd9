"""Measures the runs an hour of the studies' runner and of the trainer, on the same problem.

    python -m studies.throughput

The trainer is ``python -m train run studies/throughput.py``, one run after the other, with an evaluation
and a checkpoint each epoch, records and phases. Costs that occur once (starting, compiling) are left out
for both, for the trainer by taking the difference of two calls.
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
from studies.problems import PROBLEMS
from studies.runner import Runner
from train import Comparison, Dataset, Split
from train.problem.arms import Lcam
from train.problem.schedules import Drops
from train.system.environment import environment

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
  return nnx.Sequential(
    nnx.Linear(64, _PROBLEM.hidden, rngs=rngs),
    nnx.relu,
    nnx.Linear(_PROBLEM.hidden, num_classes, rngs=rngs),
  )


comparison = Comparison(
  name='throughput',
  dataset=digits,
  network=mlp,
  epochs=EPOCHS,
  batch_size=BATCH_SIZE,
  arms=(Lcam(LOW, HIGH),),
  schedule=Drops(init_value=LEARNING_RATE, factor=1.0),
  weight_decay=0.0,
)


def main(
  seeds: Annotated[int, tyro.conf.arg(help='runs of the runner')] = 400,
  trainer_seeds: Annotated[int, tyro.conf.arg(help='timed runs of the trainer')] = 4,
) -> None:
  """Prints the runs an hour of both, and their ratio."""
  runner_seconds = _seconds_of_runner(seeds)
  trainer_seconds = (
    _seconds_of_trainer(trainer_seeds + 1) - _seconds_of_trainer(1)
  ) / trainer_seeds
  print(f'commit {str(environment()["commit"])[:7]}, {environment()["machine"]} CPU')
  for name, seconds in (('trainer', trainer_seconds), ('runner', runner_seconds)):
    print(f'{name}: {1000 * seconds:.1f} ms a run, {3600 / seconds:,.0f} runs an hour')
  print(f'ratio: {trainer_seconds / runner_seconds:.0f}')


def _seconds_of_runner(seeds: int) -> float:
  runner = Runner(_PROBLEM, BATCH_SIZE, EPOCHS, range(seeds))
  numbers = Numbers(LEARNING_RATE, HIGH, LOW)
  runner.run(Arm('lcam'), 'algorithm1', numbers)  # compiles
  start = time.perf_counter()
  runner.run(Arm('lcam'), 'algorithm1', numbers)
  return (time.perf_counter() - start) / seeds


def _seconds_of_trainer(seeds: int) -> float:
  with tempfile.TemporaryDirectory() as workdir:
    command = [sys.executable, '-m', 'train', 'run', str(pathlib.Path(__file__))]
    command += ['--workdir', workdir, '--seeds', *map(str, range(seeds))]
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - start


if __name__ == '__main__':
  tyro.cli(main)
