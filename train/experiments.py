"""Every experiment of the paper, as data: what is trained on what, how, and what is compared.

An experiment has one part or several, which differ in data, network or schedule. Where the paper
and the authors' scripts leave a setting open, the part's ``unknown`` says what was chosen here.
"""

import dataclasses
from typing import Literal

from train.errors import UserError

Method = Literal['lcam', 'coin', 'adam', 'adamw', 'amsgrad', 'rmsprop', 'adagrad', 'lion']


@dataclasses.dataclass(frozen=True)
class Arm:
  """One optimizer of a comparison.

  Attributes:
    name: What the command line, the working directory and the reports call it.
    method: The optimizer. ``'coin'`` is the control whose phase is drawn at random.
    low_loss_momentum: The momentum of ``'lcam'`` and ``'coin'`` in the low-loss phase.
    high_loss_momentum: The momentum of ``'lcam'`` and ``'coin'`` in the high-loss phase.
    learning_rate: The first learning rate; None is the schedule's own.
    weight_decay: For optimizers that decay weights apart from the gradient; others take the part's.
  """

  name: str
  method: Method = 'lcam'
  low_loss_momentum: float = 0.9
  high_loss_momentum: float = 0.9
  learning_rate: float | None = None
  weight_decay: float | None = None


def fixed(momentum: float) -> Arm:
  """Returns an arm of plain SGD: LCAM with equal momenta is optax.sgd, to the bit."""
  return Arm(f'fixed-{momentum:g}', 'lcam', momentum, momentum)


def lcam(low: float, high: float, name: str | None = None) -> Arm:
  """Returns an arm of LCAM, named as in the paper's curves: low before high."""
  return Arm(name or f'low{low:g}-high{high:g}', 'lcam', low, high)


def controls(low: float, high: float) -> tuple[Arm, ...]:
  """Returns the controls of a pair: its phases drawn by a coin, and its momenta swapped."""
  return Arm('coin', 'coin', low, high), lcam(high, low, 'swapped')


BASELINE = fixed(0.9)
BALANCED_PAIR = (BASELINE, lcam(0.857, 0.93), lcam(0.93, 0.857))
WIDE_PAIR = (BASELINE, fixed(0.95), lcam(0.95, 0.9), lcam(0.9, 0.95))


@dataclasses.dataclass(frozen=True)
class Drops:
  """The learning rate times ``factor`` after some shares of all epochs; the default is figure 3's.

  Attributes:
    init_value: The first learning rate.
    after: After which shares of the epochs it drops.
    factor: What it is multiplied with.
    kind: The name of the schedule.
  """

  init_value: float = 0.1
  after: tuple[float, ...] = (31 / 150, 61 / 150, 91 / 150)
  factor: float = 0.2
  kind: Literal['drops'] = 'drops'


@dataclasses.dataclass(frozen=True)
class HoldThenDecay:
  """The learning rate held, then decayed before every step; the default is figure 5's, version 1.

  Attributes:
    init_value: The learning rate while it is held.
    hold: The share of the epochs that it is held.
    last_factor: The learning rate of the last step as a share of the first: 0.99985**(119 * 391) in
      150 epochs of 391 steps, so that a shorter run goes through the same rates.
    kind: The name of the schedule.
  """

  init_value: float = 0.1
  hold: float = 31 / 150
  last_factor: float = 0.99985 ** (119 * 391)
  kind: Literal['hold_then_decay'] = 'hold_then_decay'


@dataclasses.dataclass(frozen=True)
class Cosine:
  """The learning rate along half a cosine, to zero after the last step.

  Attributes:
    init_value: The first learning rate.
    kind: The name of the schedule.
  """

  init_value: float = 0.1
  kind: Literal['cosine'] = 'cosine'


@dataclasses.dataclass(frozen=True)
class Constant:
  """One learning rate throughout.

  Attributes:
    init_value: The learning rate.
    kind: The name of the schedule.
  """

  init_value: float
  kind: Literal['constant'] = 'constant'


@dataclasses.dataclass(frozen=True)
class Network:
  """A network of ``models``.

  Attributes:
    kind: Which one.
    depth: Of a wide residual network, 6n + 4.
    width: Of a wide residual network, its widening factor.
    image_size: Of a vision transformer; images are resized to it.
  """

  kind: Literal['wide_resnet', 'vit_b16', 'm11'] = 'wide_resnet'
  depth: int | None = None
  width: int | None = None
  image_size: int | None = None


def describe_network(network: Network) -> str:
  """Returns the name of a network, as the field writes it."""
  names = {'vit_b16': f'ViT-B/16 at {network.image_size}', 'm11': 'M11'}
  return names.get(network.kind, f'WRN-{network.depth}-{network.width}')


WRN_28_10 = Network('wide_resnet', depth=28, width=10)
VIT_B16 = Network('vit_b16', image_size=224)
M11 = Network('m11')


@dataclasses.dataclass(frozen=True)
class Part:
  """A comparison of arms, all else equal.

  Attributes:
    experiment: The experiment that it belongs to.
    name: Its name, where the experiment has several parts.
    summary: One line on what it asks.
    dataset: A name of ``train.data.SOURCES``.
    network: The network.
    arms: What is compared.
    extra_arms: What can be asked for besides.
    schedule: The learning-rate schedule.
    epochs: Passes over the training split.
    batch_size: Examples per step; the last batch of an epoch may be smaller.
    seeds: Each arm is trained once per seed, from the same weights on the same batches.
    weight_decay: Times every parameter, added to its gradient.
    rule: See :func:`lcam_optax.lcam`.
    train_examples: How many training examples are used, the first ones; None means all.
    dtype: What the network computes in. Parameters and the loss are float32 either way.
    curves: Figure and data set of the published curves in paper_curves.csv.
    reported: What the paper reports.
    unknown: What the sources leave open, and what was chosen.
  """

  experiment: str
  name: str
  summary: str
  dataset: str
  network: Network = WRN_28_10
  arms: tuple[Arm, ...] = WIDE_PAIR
  extra_arms: tuple[Arm, ...] = ()
  schedule: Drops | HoldThenDecay | Cosine | Constant = Drops()
  epochs: int = 150
  batch_size: int = 128
  seeds: tuple[int, ...] = (0, 1, 2)
  weight_decay: float = 5e-4
  rule: Literal['equation9', 'algorithm1'] = 'algorithm1'
  train_examples: int | None = None
  dtype: Literal['float32', 'bfloat16'] = 'float32'
  curves: tuple[str, str] | None = None
  reported: str = ''
  unknown: str = ''


QUICKSTART = Part(
  'quickstart',
  'digits',
  'does LCAM help on small handwritten digits?',
  'digits',
  network=Network('wide_resnet', depth=10, width=1),
  arms=BALANCED_PAIR,
  extra_arms=controls(0.857, 0.93),
  epochs=15,
  batch_size=50,
  seeds=(0, 1, 2, 3, 4),
)

FIGURE_3 = Part(
  'figure3',
  'cifar10',
  'momenta .9 and .95 in both directions, with a learning rate that drops early',
  'cifar10',
  # Besides its own controls, the pair of version 2, to have both pairs under one schedule.
  extra_arms=(
    *controls(0.9, 0.95),
    *BALANCED_PAIR[1:],
    Arm('coin0.857-0.93', 'coin', 0.857, 0.93),
  ),
  curves=('figure3', 'cifar10'),
  reported='best: low0.9-high0.95',
)

FIGURE_4 = dataclasses.replace(
  FIGURE_3,
  experiment='figure4',
  name='cifar100',
  dataset='cifar100',
  extra_arms=controls(0.95, 0.9),
  curves=('figure4', 'cifar100'),
  reported='best: low0.95-high0.9',
)

FIGURE_5_CIFAR10 = Part(
  'figure5',
  'cifar10',
  'LCAM in regular training: the learning rate held, then decayed at every step',
  'cifar10',
  arms=(BASELINE, lcam(0.9, 0.95)),
  extra_arms=controls(0.9, 0.95),
  schedule=HoldThenDecay(),
  curves=('figure5', 'cifar10'),
  reported='LCAM 3.98 % at epoch 120; better than fixed momentum in about 80 % of the runs',
)

FIGURE_5_CIFAR100 = dataclasses.replace(
  FIGURE_5_CIFAR10,
  name='cifar100',
  dataset='cifar100',
  arms=(BASELINE, lcam(0.93, 0.9)),
  extra_arms=controls(0.93, 0.9),
  curves=('figure5', 'cifar100'),
  reported='LCAM 19.22 % at epoch 120; better than fixed momentum in about 50 % of the runs',
)

VIT_CIFAR10 = Part(
  'vit',
  'cifar10',
  'fine-tuning of ViT-B/16 from ImageNet-21k',
  'cifar10',
  network=VIT_B16,
  arms=(*BALANCED_PAIR, Arm('adam', 'adam', learning_rate=1e-4)),
  extra_arms=controls(0.857, 0.93),
  schedule=Constant(1e-4),
  epochs=20,
  weight_decay=0.0,
  reported='1.24, 1.20 (low0.857-high0.93), 1.25 % error; Adam 1.58 %',
  unknown='epochs (here 20), batch size (128), weight decay (0), augmentation (as for WRN)',
)

VIT_CIFAR100 = dataclasses.replace(
  VIT_CIFAR10,
  name='cifar100',
  dataset='cifar100',
  reported='7.37, 7.61 (low0.857-high0.93), 7.59 % error; Adam 8.00 %',
)

SPEECH = Part(
  'speech',
  'm11',
  'M11 on raw audio of spoken words',
  'speech_commands_35',
  network=M11,
  arms=BALANCED_PAIR,
  extra_arms=controls(0.857, 0.93),
  schedule=HoldThenDecay(),
  epochs=150,
  reported='5.788, 5.470 (low0.857-high0.93), 5.625 % error',
  unknown='the task (here 35 words), epochs (150), batch size (128), learning rate (0.1 held, then '
  'decayed as for WRN), weight decay (5e-4)',
)

TABLE_1 = (
  dataclasses.replace(SPEECH, experiment='table1', name='speech'),
  dataclasses.replace(
    FIGURE_5_CIFAR10,
    experiment='table1',
    name='cifar10-wrn',
    arms=BALANCED_PAIR,
    extra_arms=controls(0.857, 0.93),
    curves=None,
    reported='4.11, 3.95 (low0.857-high0.93), 4.05 % error',
    unknown='how the runs of version 2 differ from those of version 1 (here they do not)',
  ),
  dataclasses.replace(VIT_CIFAR10, experiment='table1', name='cifar10-vit'),
  dataclasses.replace(
    FIGURE_5_CIFAR100,
    experiment='table1',
    name='cifar100-wrn',
    arms=BALANCED_PAIR,
    extra_arms=controls(0.857, 0.93),
    curves=None,
    reported='19.21, 19.24 (low0.857-high0.93), 19.11 % error',
    unknown='how the runs of version 2 differ from those of version 1 (here they do not)',
  ),
  dataclasses.replace(VIT_CIFAR100, experiment='table1', name='cifar100-vit'),
)

# Usual settings of each optimizer: the paper names the optimizers and none of their settings.
ADAPTIVE = (
  Arm('adam', 'adam', learning_rate=1e-3),
  Arm('adamw', 'adamw', learning_rate=1e-3, weight_decay=0.05),
  Arm('amsgrad', 'amsgrad', learning_rate=1e-3),
  Arm('rmsprop', 'rmsprop', learning_rate=1e-3),
  Arm('adagrad', 'adagrad', learning_rate=1e-2),
  Arm('lion', 'lion', learning_rate=1e-4, weight_decay=0.5),
)

BASELINES_COSINE = Part(
  'baselines',
  'cifar10-cosine',
  'fixed momentum and adaptive optimizers with a cosine schedule',
  'cifar10',
  arms=(BASELINE, *ADAPTIVE),
  extra_arms=controls(0.9, 0.95),
  schedule=Cosine(),
  epochs=200,
  reported='SGD 4.03 % error',
  unknown='learning rate and weight decay of the adaptive optimizers (here usual ones)',
)

BASELINES_WRN = Part(
  'baselines',
  'cifar10-drops',
  'fixed momentum with the schedule of the WRN paper',
  'cifar10',
  arms=(BASELINE,),
  extra_arms=controls(0.9, 0.95),
  schedule=Drops(after=(60 / 200, 120 / 200, 160 / 200)),
  epochs=200,
  reported='4.00 % error (Zagoruyko and Komodakis, 2016, with Nesterov momentum)',
)

BASELINES = (
  BASELINES_COSINE,
  BASELINES_WRN,
  dataclasses.replace(
    BASELINES_COSINE, name='cifar100-cosine', dataset='cifar100', reported='SGD 19.58 % error'
  ),
  dataclasses.replace(
    BASELINES_WRN,
    name='cifar100-drops',
    dataset='cifar100',
    reported='19.25 % error (Zagoruyko and Komodakis, 2016, with Nesterov momentum)',
  ),
)

NOISE = tuple(
  dataclasses.replace(
    FIGURE_3,
    experiment='noise',
    name=f'batch-{batch_size}',
    summary='is the loss of a small batch too noisy to choose a momentum?',
    arms=(BASELINE, lcam(0.9, 0.95), *controls(0.9, 0.95)),
    extra_arms=(),
    batch_size=batch_size,
    curves=None,
    reported='nothing; an open check',
  )
  for batch_size in (64, 128, 256)
)

EXPERIMENTS: dict[str, tuple[Part, ...]] = {
  'quickstart': (QUICKSTART,),
  'figure3': (FIGURE_3,),
  'figure4': (FIGURE_4,),
  'figure5': (FIGURE_5_CIFAR10, FIGURE_5_CIFAR100),
  'vit': (VIT_CIFAR10, VIT_CIFAR100),
  'speech': (SPEECH,),
  'table1': TABLE_1,
  'baselines': BASELINES,
  'noise': NOISE,
}


def find_parts(experiment: str, names: tuple[str, ...] = ()) -> tuple[Part, ...]:
  """Returns parts of an experiment, all if no names are given.

  Raises:
    UserError: If there is no such experiment or part; it lists those that there are.
  """
  if experiment not in EXPERIMENTS:
    raise UserError(
      f'There is no experiment {experiment!r}: choose one of {", ".join(EXPERIMENTS)}.'
    )
  known = {part.name: part for part in EXPERIMENTS[experiment]}
  for name in names:
    if name not in known:
      raise UserError(f'{experiment} has no part {name!r}: choose of {", ".join(known)}.')
  return tuple(known[name] for name in names) or EXPERIMENTS[experiment]


def find_arms(part: Part, names: tuple[str, ...]) -> tuple[Arm, ...]:
  """Returns arms of a part by name.

  Raises:
    UserError: If there is no such arm; it lists those that there are.
  """
  known = {arm.name: arm for arm in (*part.arms, *part.extra_arms)}
  for name in names:
    if name not in known:
      raise UserError(f'{part.experiment} has no arm {name!r}: choose of {", ".join(known)}.')
  return tuple(known[name] for name in names)
