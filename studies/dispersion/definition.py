"""What the study asks, runs and compares. Committed before its runs; not changed after them.

**The theory** (docs/theory.md). Momenta ``c + delta`` and ``c - delta``, chosen by whether the loss
of the batch is above its mean in the epoch so far. With ``algorithm1`` the gradient of a batch gets
the total weight ``S * (1 + delta * (s - mean s))``, ``s`` +1 if its own loss was high, else -1: SGD
on ``F + delta * E|L_B - F|``, a penalty on the dispersion of the losses of the size
``delta / sqrt(B)`` where the high momentum goes with the high loss, and a reward for it in the
other direction. With ``equation9`` the loss of a batch never weighs its own gradient.

**Runs.** Every cell is a problem, a batch size, a delta, a rule and a direction, with 400 seeds of
every arm. The arms of a seed have the same initial weights and the same batches, in all cells of
a problem and batch size. ``lcam`` and ``yoked`` are in all cells; a run of ``yoked`` replays the
phases of the ``lcam`` run of the next seed (the last one those of the first). The rule ``weights``
changes no momentum: the momentum is ``c`` and the gradient is multiplied by
``1 + delta * (s - mean s)``; its ``yoked`` replays those weights. It is the theory in its purest
form, and what it does is the *predicted* effect. The other arms are in the cells of the largest
delta, where they can be resolved: ``independent`` has the phase of the loss of an independent
batch with the same weights, ``luck`` that of the loss minus the loss of that batch, each with its
own yoked run; ``fixed-mean`` has the mean momentum of the ``lcam`` runs of the cell at every step,
``fixed-rate`` the fixed momentum whose gradients have the same mean total weight.

**Primary endpoint**: the mean loss over the whole training set after the last step. Then: the
standard deviation of the losses of the training examples, test loss, test error.

**Primary contrast**, per problem, batch and delta: half the difference between the directions
(high momentum in the high phase, minus high momentum in the low phase) of (lcam - yoked), each
divided by the mean of yoked in its direction. It is taken seed by seed; the interval is Student's.

**Predictions.**

1. ``algorithm1``: the contrast is negative, grows as ``delta / sqrt(B)``, and is that of
   ``weights``. (Sign of the training loss: where training has not converged, the gradient of the
   dispersion points along that of the loss, and a penalty on it speeds training up.) The slope
   against ``delta / sqrt(B)`` through the origin is estimated per problem for both, cells weighed
   by their inverse variance, and their ratio is reported; the prediction is a ratio of 1.
2. ``equation9``: the contrast is 0. It is called *equivalent to zero* where the 90 % interval (two
   one-sided tests at 5 %) lies within +-0.5 %.
3. At the largest delta, ``algorithm1``: ``independent`` minus its yoked is 0 (the same bound), and
   ``luck`` minus its yoked is ``1 / sqrt(2)`` of ``lcam`` minus its yoked (the difference of two
   batch losses has that correlation with the luck of one).

**Verdicts.** Of the primary contrasts of ``algorithm1`` those with p < 0.05 after Holm's adjustment
over all its cells count as shown; those of ``equation9`` likewise, over its own cells. Pooled over
problems, contrasts are averaged seed by seed, so that their dependence through common seeds is in
the interval.

**Exclusions.** A run has *diverged* if its training loss is not below twice that of a uniform
guess (log of the number of classes), NaN included. A seed is left out of a contrast if one of the
runs in it has diverged. A cell that loses more than 5 % of its seeds gets no verdict and is left
out of pools and slopes; the report counts both.

**Sizes** were chosen by a pilot on seeds from 1,000,000 on (``python -m studies.dispersion.pilot``):
the learning rate at batch 8 is a quarter of the power of two with the lowest training loss at the
fixed momentum ``c``, so that the effective learning rate of the largest momentum, six times that
of ``c``, is near the best and not far beyond it; it grows in proportion to the batch. A run takes 2
to 10 ms of one core, the grid (504,000 runs) about 30 minutes and compiling ten more.
"""

import dataclasses
import itertools
from collections.abc import Iterator

from studies.arms import Arm, Rule
from studies.problems import PROBLEMS

MEAN_MOMENTUM = 0.7  # c
DELTAS = (0.25, 0.1, 0.025)
EPOCHS = {8: 4, 32: 8, 128: 16}  # by batch size: 512, 256 and 128 steps
RULES: tuple[Rule, ...] = ('algorithm1', 'equation9', 'weights')
DIRECTIONS = {'high': 1, 'low': -1}  # the phase that has the higher momentum
SEEDS = range(400)
PILOT_SEEDS = range(1_000_000, 1_000_032)
ENDPOINTS = ('train_loss', 'loss_spread', 'test_loss', 'test_error')
EQUIVALENCE_BOUND = 0.005
LARGEST_EXCLUDED_SHARE = 0.05

# At batch 8; in proportion to the batch.
LEARNING_RATES = {
  'digits': 2**-6,
  'digits-softmax': 2**-5,
  'one-hot': 2**-4,
  'spoken-digits': 2**-7,
  'long-tail': 2**-7,
  'vehicles': 2**-7,
  'cifar100': 2**-6,
}

LCAM = Arm('lcam')
YOKED = Arm('yoked', partner='lcam')
MECHANISM = (
  Arm('independent', signal='other'),
  Arm('independent-yoked', signal='other', partner='independent'),
  Arm('luck', signal='difference'),
  Arm('luck-yoked', signal='difference', partner='luck'),
)
FIXED = ('fixed-mean', 'fixed-rate')  # their momenta are taken from the runs of LCAM


@dataclasses.dataclass(frozen=True)
class Cell:
  """Runs that are written together.

  Attributes:
    problem: Name of the problem.
    batch_size: Examples of a step.
    delta: Half the difference of the momenta.
    rule: See :data:`RULES`.
    direction: See :data:`DIRECTIONS`.
  """

  problem: str
  batch_size: int
  delta: float
  rule: Rule
  direction: str

  @property
  def name(self) -> str:
    """The name of its file."""
    return f'{self.problem}-batch{self.batch_size}-{self.rule}-delta{self.delta}-{self.direction}'

  @property
  def learning_rate(self) -> float:
    """The learning rate."""
    return LEARNING_RATES[self.problem] * self.batch_size / 8

  @property
  def momenta(self) -> tuple[float, float]:
    """The momenta in the high-loss phase and in the low-loss phase."""
    half = DIRECTIONS[self.direction] * self.delta
    return MEAN_MOMENTUM + half, MEAN_MOMENTUM - half

  @property
  def has_mechanism_arms(self) -> bool:
    """Whether it has more arms than LCAM and its yoked run."""
    return self.rule != 'weights' and self.delta == max(DELTAS)

  @property
  def runs(self) -> int:
    """How many runs it has with one seed."""
    return 2 + (len(MECHANISM) + len(FIXED)) * self.has_mechanism_arms


def cells() -> Iterator[Cell]:
  """Returns all cells in the order in which they are run, the largest delta first."""
  problems = [problem.name for problem in PROBLEMS]
  for delta, problem, batch_size, rule, direction in itertools.product(
    DELTAS, problems, EPOCHS, RULES, DIRECTIONS
  ):
    yield Cell(problem, batch_size, delta, rule, direction)
