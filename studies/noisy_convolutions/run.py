"""Trains the runs of the study in the trainer's engine; each ends in a file of its own."""

import io
import pathlib
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Int8
from rich.console import Console

from studies.noisy_convolutions.definition import (
  EPOCHS,
  KINDS,
  LCAM,
  YOKED,
  Images,
  Problem,
  comparison,
)
from train import Split
from train.data import make_input
from train.system.files import write_whole
from train.training.trainer import Alone, Start, Trainer


class Run(NamedTuple):
  """A run of the study.

  Attributes:
    problem: The name of its problem.
    kind: The name of its kind.
    rate: Its effective rate.
    seed: Its seed.
  """

  problem: str
  kind: str
  rate: float
  seed: int

  def path(self, workdir: pathlib.Path) -> pathlib.Path:
    """Returns the path of its file."""
    kind = self.kind.replace(' ', '-')
    return workdir / self.problem / f'{kind}-rate-{self.rate:g}-seed-{self.seed}.npz'


class Ended(NamedTuple):
  """What is kept of a run: shares of wrong answers in percent, after its last step.

  Attributes:
    train: For its training images, by the labels that it was given.
    right: For those of them whose labels are right.
    validation: For its validation images, by the labels that are given.
    test: For its test images.
    train_loss: The mean loss over its training images, in evaluation mode.
    phases: For every step, 1 in the high-loss phase, else 0.
  """

  train: float
  right: float
  validation: float
  test: float
  train_loss: float
  phases: Int8[np.ndarray, ' steps']


def runs_of(problem: Problem) -> list[Run]:
  """Returns the runs of a problem, seed after seed, but yoked runs at the end: they need others."""
  of_kind = [
    Run(problem.name, kind, rate, seed)
    for seed in problem.seeds
    for kind in KINDS
    for rate in problem.rates
  ]
  return sorted(of_kind, key=lambda run: run.kind == YOKED)


def train_missing(problem: Problem, workdir: pathlib.Path) -> None:
  """Trains the runs of a problem that have no file yet.

  Args:
    problem: The problem.
    workdir: The folder of the files.
  """
  console, trainers = Console(), {}
  (workdir / problem.name).mkdir(parents=True, exist_ok=True)
  runs = [run for run in runs_of(problem) if not run.path(workdir).exists()]
  for left, run in zip(reversed(range(len(runs))), runs, strict=True):
    images, kind = problem.images(run.seed), KINDS[run.kind]
    key = kind.batch_size, kind.learning_rate(run.rate)
    if key not in trainers:
      described = comparison(images, kind, run.rate)
      trainers[key] = Trainer(described, described.load())
    phases = None
    if run.kind == YOKED:
      after = problem.seeds.index(run.seed) + 1
      partner = run._replace(kind=LCAM, seed=problem.seeds[after % len(problem.seeds)])
      phases = read(partner, workdir).phases
    ended = train(trainers[key], images, Start(kind.arm, run.seed, phases))
    content = io.BytesIO()
    np.savez_compressed(content, **ended._asdict())
    write_whole(run.path(workdir), content.getvalue())
    console.print(
      f'{run.path(workdir).stem}: train {ended.train:.1f} test {ended.test:.1f}, {left} left',
      highlight=False,
    )


def read(run: Run, workdir: pathlib.Path) -> Ended:
  """Returns what was kept of a run."""
  with np.load(run.path(workdir)) as kept:
    return Ended(**{name: kept[name] for name in Ended._fields})


def train(trainer: Trainer, images: Images, start: Start) -> Ended:
  """Trains a run from its first step to its last.

  Args:
    trainer: A trainer of its batch size and learning rate; it gets the images of this run.
    images: The images.
    start: What it starts from.

  Returns:
    What is kept of it.
  """
  trainer.train_input = make_input(images.training, None, trainer.devices)
  engine, phases = Alone(trainer, start), []
  state = engine.state
  for epoch in range(EPOCHS):
    *_, (state, _) = engine.train(state, epoch, 0)
    phases.append(np.array(state.sums.phases))
    state = state._replace(sums=jax.tree.map(jnp.zeros_like, state.sums))

  def scores(split: Split) -> tuple[float, float]:
    trainer.test_input = make_input(split, None, trainer.devices)
    sums = engine.evaluate(state)
    assert sums.metric is not None
    return float(sums.loss) / len(split), 100 * float(sums.metric) / len(split)

  right = Split(images.training.inputs[images.right], images.training.labels[images.right])
  splits = images.training, right, images.validation, images.test
  (train_loss, given), (_, of_right), (_, validation), (_, test) = map(scores, splits)
  return Ended(given, of_right, validation, test, train_loss, np.concatenate(phases))
