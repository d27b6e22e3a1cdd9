"""What the study asks, runs and compares. Committed before its runs; not changed after them.

**The question.** Is LCAM better than SGD with a fixed momentum when the learning rate and the
momentum of each are tuned with the same effort, on data that neither is tested on? And does it need
half the epochs, as its paper says?

**Methods.** ``fixed``: ``optax.sgd`` with momentum. LCAM with both rules, in both directions
('high': the higher momentum in the high-loss phase), with deltas 0.025, 0.1 and 0.25: twelve
variants. Rivals: ``reweigh``, SGD with fixed momentum on ``F + delta * E|L_B - F|`` itself, which
docs/theory.md says is what LCAM does: the gradient of that loss is ``E[(1 + delta * (s - E[s])) g]``,
``s`` +1 if the loss of the batch is above its mean, else -1, and a step takes one sample of it, with
the running mean of the losses of the epoch and of the signs (rule 'weights' of
:mod:`studies.arms`); in both directions at the same deltas. And ``momo``: ``optax.contrib.momo``.

**Problems.** Three of :mod:`studies.problems`, chosen beforehand for being different: ``digits`` is
easy, ``spoken-digits`` gains from every epoch, and of ``long-tail`` half of the answers stay wrong,
classes have 41 % down to 0.7 % of the examples, and long training overfits. Batches of 8, 32 and
128, with 4, 8 and 16 epochs, halved for the question of half the epochs. The nine pairs of problem
and batch size are the *settings*. The learning rate is constant.

**Tuning.** Two numbers: the effective learning rate (the learning rate over one minus the mean
momentum) from ``2^-6`` to 2, both times ``sqrt(batch / 8)``, evenly in its logarithm, and the mean
momentum from 0 to 0.98, evenly in the logarithm of one minus it. They are tried at 32 points, a
scrambled Sobol sequence, with 4 seeds each: 128 runs. Every method has the same points and seeds. The mean loss on the
validation examples decides, for half the epochs and for all of them separately (the rate is
constant, so that one run says both). LCAM has the momenta ``c + delta`` and ``c - delta``, each put
into [0, 0.99]; its learning rate is the effective one times one minus the mean of the two as they
then are. The learning rate of ``momo``, whose trace is a mean of gradients, is the effective one.

**Repeats.** All of it is done 12 times, with new seeds, new points, and another division of the
1,024 training examples into 768 to train on and 256 for validation. The method that a repeat tuned
trains with 34 fresh seeds, the same for every method, 408 in all, on the same 768 examples, and
only then the 768 test examples are looked at. Seeds of a repeat share its tuning, so that they are
not independent: **the unit is the repeat**, and the intervals are Student's over the 12 differences
of means, which have the luck of tuning in them.

**Controls for the luck of tuning.** ``fixed-again`` is fixed momentum tuned with other points and
seeds: what it differs from ``fixed`` by is that luck alone. Twelve variants of LCAM have twelve
tries. ``lcam-best`` is the variant with the lowest validation loss of a repeat; it has twelve times
the budget. ``fixed-12-fold`` is fixed momentum with the same: the best of twelve tunings, each with
its own points and seeds.

**Primary endpoint**: test error. Then test loss. **Contrast**: (method - fixed) / fixed, with the
mean of ``fixed`` over the repeats of that setting, in percent; negative is better than fixed.

**Verdicts.** A difference counts as *shown* with p < 0.05 after Holm's adjustment. Families, each
once for all epochs and once for half of them: the 19 methods (LCAM, reweigh, momo) by 9 settings;
and the 19 methods with the differences averaged over the settings, repeat by repeat. LCAM *helps* if
one of its variants is shown below 0 in the latter at all epochs. ``lcam-best`` against
``fixed-12-fold``, averaged over settings, is one more test, without adjustment: what tuning
everything about LCAM is worth.

**Half the epochs.** LCAM at half of the epochs minus ``fixed`` at all of them, beside ``fixed`` at
half minus ``fixed`` at all, each tuned for its number of epochs. Half the epochs are *enough* in a
setting if the upper end of the interval is below +2 %, and *not enough* if the lower end is above 0.

**Exclusions**: none. A run whose loss is not finite, or above that of a uniform guess, counts with
the loss of the guess (and if not finite with its error), in tuning and testing.

**Sizes** were chosen by a pilot (``python -m studies.tuned.pilot``; seeds from 1,000,000 on, training
examples only, fixed momentum): from one tuning by 32 points and 4 seeds to the next, the error
moves by 0.7 to 8 % of itself, mostly less where the validation *loss* decides than where the error
does, and more with 16 points or 2 seeds. The best effective rates lay 1.5 octaves or more from the
ends. A run takes 3 to 5 ms of one core, the study (604,000 runs) about 40 minutes.
"""

import dataclasses
import itertools
from collections.abc import Iterator

from scipy.stats import qmc

from studies.problems import PROBLEMS, Problem
from studies.tuned.methods import Method, Point

PROBLEM_NAMES = ('digits', 'spoken-digits', 'long-tail')
EPOCHS = {8: 4, 32: 8, 128: 16}  # by batch size
PARTS = ('half', 'full')  # of the epochs
DELTAS = (0.025, 0.1, 0.25)
DIRECTIONS = {'high': 1, 'low': -1}  # the phase that has the higher momentum, or weight

REPEATS = 12
TRAIN_EXAMPLES = 768  # the other 256 training examples of a problem are for validation
POINTS, TUNING_SEEDS, FINAL_SEEDS = 32, 4, 34
FURTHER_TUNINGS = 12  # of fixed momentum
ENDPOINTS = ('test_error', 'test_loss')
ENOUGH = 2.0  # percent

_FIRST_TUNING_SEED = 100_000
_OCTAVES = (-6, 1)  # of the effective learning rate at batch 8
_LEAST_REST = 0.02  # one minus the largest mean momentum

FIXED = Method('fixed', 'sgd')
LCAM = tuple(
  Method(f'{rule}-{direction}-{delta}', rule, sign * delta)
  for rule, (direction, sign), delta in itertools.product(
    ('algorithm1', 'equation9'), DIRECTIONS.items(), DELTAS
  )
)
RIVALS = (
  *(
    Method(f'reweigh-{direction}-{delta}', 'weights', sign * delta)
    for (direction, sign), delta in itertools.product(DIRECTIONS.items(), DELTAS)
  ),
  Method('momo', 'momo'),
)
METHODS = (FIXED, *LCAM, *RIVALS)
# What tables call the controls.
FIXED_AGAIN, FIXED_12_FOLD, LCAM_BEST = 'fixed-again', 'fixed-12-fold', 'lcam-best'


@dataclasses.dataclass(frozen=True, order=True)
class Setting:
  """What the methods are compared at.

  Attributes:
    problem_name: Name of the problem.
    batch_size: Examples of a step.
  """

  problem_name: str
  batch_size: int

  @property
  def problem(self) -> Problem:
    """The problem."""
    return next(problem for problem in PROBLEMS if problem.name == self.problem_name)


@dataclasses.dataclass(frozen=True)
class Cell:
  """Runs that are written together: one repeat of a setting.

  Attributes:
    setting: The setting.
    repeat: Which repeat.
  """

  setting: Setting
  repeat: int

  @property
  def name(self) -> str:
    """The name of its files."""
    return f'{self.setting.problem_name}-batch{self.setting.batch_size}-repeat{self.repeat}'

  @property
  def final_seeds(self) -> range:
    """The seeds that the test examples are looked at with."""
    return range(self.repeat * FINAL_SEEDS, (self.repeat + 1) * FINAL_SEEDS)

  def tuning_seeds(self, tuning: int) -> range:
    """Returns the seeds of a tuning: 0 is that of every method, later ones are of fixed only."""
    first = _FIRST_TUNING_SEED + self._number(tuning) * TUNING_SEEDS
    return range(first, first + TUNING_SEEDS)

  def points(self, tuning: int) -> list[Point]:
    """Returns the points that a tuning tries."""
    low, high = _OCTAVES
    scale = (self.setting.batch_size / 8) ** 0.5
    return [
      Point(2 ** (low + (high - low) * x) * scale, 1 - _LEAST_REST**y)
      for x, y in self.unit_points(tuning)
    ]

  def unit_points(self, tuning: int) -> list[tuple[float, float]]:
    """Returns where the points are between the ends of their ranges, 0 to 1."""
    return qmc.Sobol(2, seed=self._number(tuning)).random(POINTS).tolist()

  def _number(self, tuning: int) -> int:
    return self.repeat * (1 + FURTHER_TUNINGS) + tuning


def settings() -> list[Setting]:
  """Returns all settings."""
  return [Setting(*of) for of in itertools.product(PROBLEM_NAMES, EPOCHS)]


def cells() -> Iterator[Cell]:
  """Returns all cells in the order in which they are run: whole repeats."""
  for repeat, setting in itertools.product(range(REPEATS), settings()):
    yield Cell(setting, repeat)
