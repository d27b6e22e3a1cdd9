"""What the study asks, runs and compares. Committed before its runs; not changed after them.

**The question.** With wrong labels, small batches and momenta far apart, LCAM with the high momentum
in the low-loss phase lowers the test error of multilayer perceptrons that memorise wrong labels. Does it
do so for a residual network with batch normalization, beyond tuned fixed momentum and beyond its
yoked run?

**Runs.** WRN-10-1 on 1,000 images, 40 % of them with the label of another class, 20 epochs, rule
``algorithm1``, along a cosine to zero, no augmentation, no weight decay, in the trainer's engine. Two
problems: scikit-learn's digits (8x8 pixels), which a network can learn from so few images, 5 seeds; and
CIFAR-10 at 16x16 pixels (means of four), of which it can learn little, 3 seeds. Images, wrong labels, weights
and batches depend on the seed. Seven kinds of run:

- batch 4: LCAM with .95 in the low-loss phase and 0 in the high-loss phase; its yoked run (the phases
  of the next seed's run at the same rate); the other direction (0 and .95); fixed momentum .9; fixed
  momentum .475, the mean of the pair;
- batch 32: fixed momentum .9, alone and with per-example weights of the pair's strength, -.475.

Each at three effective rates (the learning rate divided by 1 - momentum), the same for all at batch 4,
eight times as high at batch 32: 105 runs with the digits and 63 with CIFAR-10, 168 in all.

**Tuning.** Of a seed's runs of a kind, the one counts whose rate has the lowest mean error on
*noisy* validation images (300 digits, 2,000 of CIFAR-10) in the runs of the *other* seeds. So no seed
has a say in the choice of its own rate. "Tuned fixed momentum" chooses between both momenta, too: from
six points, LCAM from three.

**Endpoint.** The error on test images with the right labels (497 digits, 2,000 of CIFAR-10) after the last
step. With it, the training error in evaluation mode: a network memorises if it is below the share of wrong
labels.

**Primary contrasts**, for each problem: LCAM - tuned fixed momentum; LCAM - its yoked run, tuned.
Seed by seed, Student's interval; Holm over the four. Not primary: the other direction, the weights at
batch 32 against fixed momentum at batch 32, and all contrasts at each rate, without tuning, where
those with a high rate memorise most.

**Predictions.** If each wrong label had a higher loss than each right one, an example with a wrong label
would lift the probability that its batch of four is in the high-loss phase by 0.43; examples with wrong labels
would then count 0.65 times as much as others, as if 30 % instead of 40 % were wrong. (Batch 1, and
per-example weights: 0.31 times, 17 %.) Perceptrons on digits with 40 % replaced lost 31 % of their test
error at batch 1 and 13 % at batch 2. Pilot runs, one each, with seed 1000, none of the study's; test error in
percent, the training error in brackets:

| problem, epochs, rate | fixed .9 | LCAM | other direction |
|---|---|---|---|
| digits, 40, .02 | 29.8 (0.0) | 24.5 (5.2) | 26.0 (0.7) |
| digits, 40, .08 | 33.8 (0.0) | 30.8 (1.7) | |
| digits, 20, .01 | 8.0 (31.9) | 8.9 (35.2) | |
| digits, 20, .03 | 18.9 (14.3) | 14.9 (24.4) | |
| digits, 20, .09 | 24.7 (6.7) | | |
| CIFAR-10, 40, .005 | 71.2 (65.0) | 70.5 (68.1) | |
| CIFAR-10, 40, .02 | 77.1 (0.3) | 74.9 (3.6) | |
| CIFAR-10, 40, .08 | 76.6 (0.0) | 76.5 (0.0) | |

So:

1. Digits, LCAM - fixed: tuned between -2 and +1 points, not shown, because a low rate avoids most of the
   memorising. At the highest rate, where the network memorises, -2 to -5 points against fixed .9.
2. Digits, LCAM - yoked: -1 to -3 points at the highest rate; between -2 and 0 if tuned. The other
   direction minus fixed .475, which is its mean momentum: above 0. (In the pilot it was below fixed .9;
   that would then be due to its mean momentum.)
3. CIFAR-10: every tuned contrast between -2 and 0 points, not shown with 3 seeds.
4. Weights at batch 32 - fixed momentum at batch 32: below 0, by more than LCAM gains at batch 4.

A run whose loss became NaN gives all images one class; it counts with that error, as a guess would. No
run is left out.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int32

from train import Comparison, Dataset, Split
from train.data import find_source
from train.problem.arms import Arm, Fixed, Lcam, Weighted, Yoked
from train.problem.networks import WideResNet
from train.problem.schedules import Cosine

CLASSES = 10
TRAINING = 1000  # images
REPLACED = 0.4  # the share of wrong labels
SMALL, LARGE = 4, 32  # examples per step
EPOCHS = 20
LOW, HIGH = 0.95, 0.0  # the momenta of the low-loss and of the high-loss phase
MEAN = (LOW + HIGH) / 2
STRENGTH = (HIGH - LOW) / 2


@dataclasses.dataclass(frozen=True)
class Kind:
  """A kind of run.

  Attributes:
    arm: Its arm.
    batch_size: Examples per step.
  """

  arm: Arm
  batch_size: int = SMALL

  def learning_rate(self, rate: float) -> float:
    """Returns the learning rate of an effective rate, which is that of the small batch."""
    momentum = self.arm.momentum if isinstance(self.arm, Fixed | Weighted) else MEAN
    return rate * (1 - momentum) * self.batch_size / SMALL


class Images(NamedTuple):
  """The images of a seed.

  Attributes:
    training: To train on; a part of the labels is wrong.
    right: For each of them, whether its label is right.
    validation: To tune on; as large a part of the labels is wrong.
    test: To test on; all labels are right.
  """

  training: Split
  right: Bool[np.ndarray, ' images']
  validation: Split
  test: Split


@dataclasses.dataclass(frozen=True)
class Problem:
  """Images to learn from.

  Attributes:
    name: Its name.
    load: Returns all images, to be divided anew for each seed.
    validation: The number of images to tune on.
    test: The number of images to test on.
    rates: The effective learning rates.
    seeds: The seeds.
  """

  name: str
  load: Callable[[], Split]
  validation: int
  test: int
  rates: tuple[float, ...]
  seeds: tuple[int, ...]

  def images(self, seed: int) -> Images:
    """Returns the images of a seed, standardized by those to train on."""
    every, random = self.load(), np.random.default_rng(seed)
    ends = np.cumsum((TRAINING, self.validation, self.test))
    rows = random.permutation(len(every))[: ends[-1]]
    inputs, labels = every.inputs[rows], every.labels[rows]
    first = inputs[:TRAINING]
    inputs = (inputs - first.mean((0, 1, 2))) / first.std((0, 1, 2))
    given = with_wrong_labels(labels, random)
    given[ends[1] :] = labels[ends[1] :]
    training, validation, test = map(Split, np.split(inputs, ends[:-1]), np.split(given, ends[:-1]))
    return Images(training, (given == labels)[:TRAINING], validation, test)


def with_wrong_labels(
  labels: Int32[np.ndarray, ' images'], random: np.random.Generator
) -> Int32[np.ndarray, ' images']:
  """Replaces each label, with the probability ``REPLACED``, by that of another class."""
  replaced = random.random(len(labels)) < REPLACED
  shift = random.integers(1, CLASSES, len(labels), dtype=labels.dtype)
  return np.where(replaced, (labels + shift) % CLASSES, labels)


def comparison(images: Images, kind: Kind, rate: float) -> Comparison:
  """Returns what the trainer needs to know of a run."""
  names = tuple(map(str, range(CLASSES)))
  return Comparison(
    name='noisy-convolutions',
    dataset=Dataset('noisy', images.training, images.test, names),
    network=WideResNet(10, 1),
    epochs=EPOCHS,
    batch_size=kind.batch_size,
    arms=(kind.arm,),
    schedule=Cosine(kind.learning_rate(rate)),
    weight_decay=0.0,
    rule='algorithm1',
  )


@functools.cache
def digits() -> Split:
  """Returns all images of scikit-learn's digits."""
  data = find_source('digits').load()
  inputs, labels = (
    np.concatenate([getattr(split, name) for split in (data.train, data.test)])
    for name in ('inputs', 'labels')
  )
  return Split(inputs.astype(np.float32), labels)


@functools.cache
def cifar10() -> Split:
  """Returns the training images of CIFAR-10, each pixel the mean of four."""
  data = find_source('cifar10').load().train
  blocks = np.asarray(data.inputs, np.float32).reshape(len(data), 16, 2, 16, 2, 3)
  return Split(blocks.mean((2, 4)), np.asarray(data.labels))


PROBLEMS = (
  Problem('digits', digits, 300, 497, (0.003, 0.01, 0.03), tuple(range(5))),
  Problem('cifar10', cifar10, 2000, 2000, (0.01, 0.03, 0.09), tuple(range(3))),
)
KINDS = {
  'low0.95-high0': Kind(Lcam(LOW, HIGH)),
  'yoked0.95-0': Kind(Yoked(LOW, HIGH)),
  'low0-high0.95': Kind(Lcam(HIGH, LOW)),
  'fixed-0.9': Kind(Fixed(0.9)),
  'fixed-0.475': Kind(Fixed(MEAN)),
  'fixed-0.9 at 32': Kind(Fixed(0.9), LARGE),
  'easy-0.475 at 32': Kind(Weighted(STRENGTH), LARGE),
}
LCAM, YOKED, OTHER, FIXED, FIXED_MEAN, FIXED_LARGE, WEIGHTS_LARGE = KINDS
