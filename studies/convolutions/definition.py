"""What the study asks, runs and compares. Committed before its runs; not changed after them.

**The question.** The theory (docs/theory.md) was tested with multilayer perceptrons. Does a residual
network with batch normalization do the same, in the trainer, where the theory predicts something
that can be seen? And does it do nothing in a small copy of the paper's figure 4, where it predicts
that nothing can be seen?

**Runs of the confirmation.** WRN-10-1 on the first 5,000 images of CIFAR-10, standardized, without
augmentation, 4 epochs of batch 8, momenta .45 and .95 (c = .7, delta = .25), learning rate 1/32
throughout, no weight decay; both rules, both directions, LCAM and its yoked runs, 12 seeds: 96 runs.
The learning rate is a quarter of the best one of 1/128, 1/32 and 1/8 at fixed momentum .7, found on
seed 1000, which is none of the study's.

**Endpoints.** Registered first, as in the study of dispersion: the training loss over the whole
training set after the last step, and the standard deviation of the losses of the training examples.
To have the trainer measure them its test split holds the training images, and its metric is the
square of the loss; the runs have no test error.

**Primary contrast**, per rule and endpoint: half the difference between the directions (high
momentum in the high-loss phase, minus high momentum in the low-loss phase) of (LCAM - yoked), each
divided by the mean of yoked in its direction; seed by seed, with Student's interval. Four contrasts,
Holm over them.

**Predictions.** ``delta / sqrt(batch)`` is 0.088. On the three CIFAR problems of the study of
dispersion, weighed gradients changed the spread by -8.5, -15.1 and -10.3 % and the training loss by
-0.45, -0.13 and +0.41 % per 0.1. So here, if convolutions change nothing:

1. ``algorithm1``, spread: -7 to -13 %, shown.
2. ``algorithm1``, training loss: between -0.5 and +0.5 %, not to be told from zero with 12 seeds.
3. ``equation9``, both: 0. (With 625 steps an epoch, the memory of the running mean leaves it less
   than 0.04 of the effect of ``algorithm1``, with the other sign.)

**Figure 4 in small.** WRN-10-1 on the first 5,000 images of CIFAR-100, 10 epochs of batch 128,
schedule, augmentation and momenta of figure 4 (.9 and .95, ``algorithm1``), both directions with
their yoked runs and fixed 0.9, 3 seeds: 15 runs. Endpoint: test error at the end. Predictions: the
two directions differ, and their yoked runs differ by as much, because that is a schedule; LCAM minus
yoked is not to be told from zero (``delta / sqrt(batch)`` is 0.0022: 0.3 % of the spread).

A run whose training loss is NaN or infinite has diverged; its seed is left out and counted.
"""

import dataclasses

import numpy as np
import optax

from train import Comparison, Dataset, Split
from train.data import find_source
from train.problem.arms import Fixed, Lcam, Yoked
from train.problem.experiments import find_comparisons
from train.problem.networks import WideResNet
from train.problem.schedules import Constant

RULES = ('algorithm1', 'equation9')
EXAMPLES = 5000


@dataclasses.dataclass(frozen=True)
class Direction:
  """LCAM with its high momentum in one of the phases.

  Attributes:
    lcam: The arm.
  """

  lcam: Lcam

  @property
  def yoked(self) -> Yoked:
    """The arm that has its momenta in the order of another seed's run."""
    return Yoked(*self.lcam.momenta)


# By the phase that has the high momentum.
DIRECTIONS = {'high': Direction(Lcam(0.45, 0.95)), 'low': Direction(Lcam(0.95, 0.45))}
SMALL_DIRECTIONS = {'high': Direction(Lcam(0.9, 0.95)), 'low': Direction(Lcam(0.95, 0.9))}


def squared_loss(logits, labels):
  """Returns the square of each example's loss, for the spread of the losses."""
  return optax.softmax_cross_entropy_with_integer_labels(logits, labels) ** 2


def training_images() -> Dataset:
  """Returns the first images of CIFAR-10, to train and to evaluate on."""
  split = find_source('cifar10').load(train_examples=EXAMPLES).train
  images = np.asarray(split.inputs, np.float32)
  images = (images - images.mean((0, 1, 2))) / images.std((0, 1, 2))
  images = Split(images, split.labels)
  return Dataset('cifar10-standardized', images, images, tuple(map(str, range(10))))


def comparisons() -> tuple[Comparison, ...]:
  """Returns what is run: the confirmation with both rules, and figure 4 in small."""
  confirmation = (
    Comparison(
      name=rule,
      dataset=training_images,
      network=WideResNet(10, 1),
      epochs=4,
      batch_size=8,
      arms=_arms(DIRECTIONS),
      schedule=Constant(1 / 32),
      seeds=tuple(range(12)),
      weight_decay=0.0,
      rule=rule,
      metric=squared_loss,
    )
    for rule in RULES
  )
  (figure4,) = find_comparisons('figure4')
  small = dataclasses.replace(
    figure4,
    name='figure4-small',
    experiment='',
    network=WideResNet(10, 1),
    train_examples=EXAMPLES,
    epochs=10,
    arms=(Fixed(0.9), *_arms(SMALL_DIRECTIONS)),
    seeds=(0, 1, 2),
  )
  return (*confirmation, small)


def _arms(directions: dict[str, Direction]) -> tuple[Lcam | Yoked, ...]:
  return tuple(arm for one in directions.values() for arm in (one.lcam, one.yoked))
