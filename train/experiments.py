"""Every experiment, as data: what is trained on what, how, and which momenta are compared."""

import dataclasses
from typing import Literal

from train.errors import UserError


@dataclasses.dataclass(frozen=True)
class Arm:
  """One choice of momenta in an experiment.

  Attributes:
    name: What the command line, the working directory and the reports call it.
    low_loss_momentum: The momentum while the loss is at or below its mean.
    high_loss_momentum: The momentum while the loss is above its mean.
  """

  name: str
  low_loss_momentum: float
  high_loss_momentum: float


def fixed(momentum: float) -> Arm:
  """Returns an arm of plain SGD: LCAM with equal momenta is optax.sgd, to the bit."""
  return Arm(f'fixed-{momentum:g}', momentum, momentum)


def pair(low: float, high: float) -> Arm:
  """Returns an arm of LCAM, named as in the paper's curves: low before high."""
  return Arm(f'low{low:g}-high{high:g}', low, high)


BASELINE = fixed(0.9)


@dataclasses.dataclass(frozen=True)
class Drops:
  """The schedule of figures 3 and 4: the learning rate times ``factor`` after some epochs.

  Attributes:
    init_value: The first learning rate.
    fractions: After which share of all epochs the rate drops.
    factor: What it is multiplied with.
  """

  init_value: float = 0.1
  fractions: tuple[float, ...] = (31 / 150, 61 / 150, 91 / 150)
  factor: float = 0.2


@dataclasses.dataclass(frozen=True)
class Network:
  """A wide residual network.

  Attributes:
    depth: Convolutions on its longest path, 6n + 4.
    width: Its widening factor.
  """

  depth: int = 28
  width: int = 10


@dataclasses.dataclass(frozen=True)
class Experiment:
  """A comparison of arms, all else equal.

  Attributes:
    name: What the command line calls it.
    summary: One line for ``python -m train list``.
    dataset: A name of ``train.data.DATASETS``.
    network: The network.
    arms: What is compared; the first is the baseline.
    schedule: The learning-rate schedule.
    epochs: Passes over the training split.
    batch_size: Examples per step; the last batch of an epoch may be smaller.
    seeds: Each arm is trained once per seed, from the same weights on the same batches.
    weight_decay: Times every parameter, added to its gradient.
    rule: See :func:`lcam_optax.lcam`.
    train_examples: How many training examples are used, the first ones; None means all.
    dtype: What the network computes in. Parameters and the loss are float32 either way.
  """

  name: str
  summary: str
  dataset: str
  network: Network = Network()
  arms: tuple[Arm, ...] = (BASELINE,)
  schedule: Drops = Drops()
  epochs: int = 150
  batch_size: int = 128
  seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
  weight_decay: float = 5e-4
  rule: Literal['equation9', 'algorithm1'] = 'algorithm1'
  train_examples: int | None = None
  dtype: Literal['float32', 'bfloat16'] = 'float32'


QUICKSTART = Experiment(
  name='quickstart',
  summary='does LCAM help on small handwritten digits? Embedded data, a minute or two on a laptop',
  dataset='digits',
  network=Network(depth=10, width=1),
  arms=(BASELINE, pair(0.857, 0.93), pair(0.93, 0.857)),
  epochs=15,
  batch_size=50,
)

EXPERIMENTS = {experiment.name: experiment for experiment in (QUICKSTART,)}


def find_experiment(name: str) -> Experiment:
  """Returns the experiment of that name, or raises a ``UserError`` that lists the names."""
  if name not in EXPERIMENTS:
    raise UserError(f'There is no experiment {name!r}: choose one of {", ".join(EXPERIMENTS)}.')
  return EXPERIMENTS[name]


def find_arms(experiment: Experiment, names: tuple[str, ...]) -> tuple[Arm, ...]:
  """Returns the arms of those names, or raises a ``UserError`` that lists the names there are."""
  known = {arm.name: arm for arm in experiment.arms}
  for name in names:
    if name not in known:
      raise UserError(f'{experiment.name} has no arm {name!r}: choose of {", ".join(known)}.')
  return tuple(known[name] for name in names)
