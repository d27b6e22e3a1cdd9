"""What the study asks, runs and compares. Committed before its runs; not changed after them.

**The question.** LCAM with the high momentum in the low-loss phase counts examples with a high loss
less; a wrong label is such an example, once a network has learnt the rest. Does that pay, in which
direction, and is it more than what the schedule of momenta does?

**Problems.** Digits; spoken digits; digits as 256 zeros and ones without a hidden layer; breast cancer
and wine, smaller tables; CIFAR-10 and CIFAR-100 in grey at 8x8; and diabetes, a regression. Networks
have one hidden layer of 32, but for the third. Runs see 4,608 examples: 6 epochs of 768, or more of
fewer. The learning rate follows a cosine to zero.

**Wrong labels** (:mod:`studies.label_noise.noise`), in training and validation examples, never in test
examples: *symmetric*, with the given probability another class, all equally likely; *pair*, the next
class; *people*, what people called images of that class (CIFAR-10N, 17 % wrong, one person's, and 40 %,
the worst of three; CIFAR-100N, 40 %); *outliers*, targets 3 to 6 standard deviations off.

**Methods.** Fixed momentum .9. LCAM with the pairs .9/.95, .45/.95 and 0/.95 in both directions, with
``algorithm1``; 0/.95 with ``equation9``, too. For each a *yoked* run: the phases that LCAM's run of the
next seed had, at the same rate. ``easy-0.475`` and ``hard-0.475``: fixed momentum with
:func:`lcam_optax.loss_phase_weights`, not at batch 1, where all weights are 1. Rivals, with their usual
strength or one close to it, fixed momentum .9 but for Adam: generalised cross-entropy, q .7 and .3;
exponential tilting, t -.5; label smoothing, .2; clipping the norm of the gradient at 1; weight decay .01;
Adam; early stopping, at the epoch with the lowest validation error; Huber's loss, delta 1 (regression);
and fixed momentum .475, the mean of the widest pair.

**Tuning.** One number for all alike: the effective rate (the learning rate over one minus the mean of
the momenta), at five points, a factor of 2 apart, the middle one
``batch / 64`` on digits (the others: ``OCTAVES``), as the pilot found. Adam and
generalised cross-entropy have other units: theirs are times a constant, ``scale``, of the pilot. Each
point is tried with 2 seeds. The mean error on the validation examples **with their wrong labels**
decides, 256 of 1,024 (a quarter); for a regression the mean absolute error.

**Repeats.** All of it is done 10 times, with new wrong labels, new seeds, and another division into
training and validation examples. The tuned method trains with 10 fresh seeds, the same for all
methods, 100 in all; then the test examples are looked at. Seeds of a repeat share its tuning, so that
**the unit is the repeat**: intervals are Student's over 10 differences of means, with the luck of
tuning and of the labels in them.

**Primary endpoint**: error on test examples with their right labels; of the regression the mean
absolute error. **Contrasts**: ``low0.95-high0`` against ``fixed-0.9``, and against ``yoked0.95-0``.

**Families** (Holm; *shown* is p < .05 after it):

1. *Primary*: these two contrasts on digits, a fifth of the labels wrong (symmetric), batch 1, 2, 4, 8:
   8 tests.
2. *Direction*: the two contrasts for every other LCAM method on digits, and for all of them at other
   batches and other wrong labels, where the cell has them.
3. *Problems*: ``low0.95-high0`` and ``low0-high0.95`` on the other problems.
4. *Rivals*: every rival, and the weights of examples, against ``fixed-0.9``; and against
   ``low0.95-high0``.

**Cells, in this order**, so that a study that was cut short still answers:

1. digits with 20 % symmetric, batches 1, 2, 4, 8, 32, 128, and 0 and 40 % at batch 2: fixed, 0/.95 and
   .45/.95 in both directions, each with its yoked run, and weights; at batches 2 and 128 also .9/.95;
   at batch 2 also ``equation9``; at batches 2 and 32 also the rivals.
2. The other problems, batch 2, with 0, 6, 20 and 40 % symmetric (CIFAR: people's; diabetes: 0, 5, 10
   and 20 % outliers): fixed, 0/.95 in both directions with their yoked runs, weights; with 20 %
   (CIFAR-10: 17 %, CIFAR-100: 40 %, diabetes: 10 %) also the rivals, and batch 32.
3. digits with 0 and 40 % at the other batches, as at 1.
4. digits with 10, 6 and 3 % symmetric, pair flips of 20 and 40 %, batches 2, 4, 8, 32, 128, then 1:
   fixed, 0/.95 in both directions with their yoked runs, weights.

**Theory** (:mod:`studies.label_noise.theory`). With a share of wrong labels and the distributions of the
losses of wrong and right labels at the end of a run of fixed momentum, what is the total weight of
the gradient of a wrong label with LCAM at batch B, relative to that of all? And the *turning point*: if
more than half of the examples with a loss above the mean have wrong labels, the high momentum belongs
in the low-loss phase. The recipe is judged by how often this is the sign of the *effect of the
direction*: (``low0.95-high0`` - its yoked) - (``low0-high0.95`` - its yoked), where that is told from
zero (p < .05, unadjusted), over problems and shares at batch 2.

**Predictions**, in percent of the answers:

1. digits, 20 %: ``low0.95-high0`` - ``fixed-0.9`` is -1.5 at batch 1, -1.3 at 2, -.5 at 4, 0 (between
   -.4 and +.4) at 8, 32 and 128; shown at 1, 2 and 4. Against the yoked run it is as much or more.
2. The other direction is worse than fixed by 1.1, 1.3 and .9.
3. digits, 0 %: ``low0.95-high0`` is worse than fixed, by 0 to .7 at batch 2. It is better from 3 to 10 %
   on.
4. 40 %: -2.8 at batch 1, -1.2 at batch 2.
5. At batch 2 and 20 % the pair .45/.95 does half (.4 to .7) of what 0/.95 does; .9/.95 nothing to be
   told from zero (less than .2).
6. ``equation9`` does nothing, or a little of the other sign: against its yoked run between -.3 and +.5.
7. Pair flips: better than fixed at 20 %, about half of the gain of symmetric ones; at 40 % none.
8. ``easy-0.475`` gains as much at batch 2 as LCAM, and over .8 at batch 32, where LCAM does not.
9. Generalised cross-entropy is at least as good as LCAM at batch 2; weight decay and clipping are not
   shown to be worse.
10. Batch 2, the most noise with rivals: spoken digits, one-hot digits, breast cancer and wine better
    than fixed, wine not shown; CIFAR-10 and CIFAR-100 within 1 of zero, not shown; diabetes better by
    5 to 12 % of the error.
11. The predicted relative weight of wrong labels is within .1 of the measured one in 9 of 10 cells. The
    recipe is right in 8 of 10 cells.

**Exclusions**: none. A run whose outputs are not finite, or whose error is above that of a uniform
guess (of the regression: of the mean target), counts with the error of the guess.

**Sizes** were chosen by a pilot (``python -m studies.label_noise.pilot``; seeds from 1,000,000 on, no
test examples): the best rates of a problem lie in
the middle of the five, or one octave beside it, for most methods, and two for the rest; the noisy
validation error has its minimum where the right one has. A run takes 2 to 15 ms of one core, the
study (139,000 runs) about half an hour without compilation. Predictions 1 to 4, 9 and 10 know the
prototype and the pilot.
"""

import dataclasses
import itertools
from collections.abc import Iterator, Sequence

from studies.label_noise.methods import Method, pair_methods
from studies.label_noise.noise import Noise
from studies.problems import FURTHER_PROBLEMS, PROBLEMS, Problem

EXAMPLES_SEEN = 4608
REPEATS = 10
TUNING_SEEDS, FINAL_SEEDS = 2, 10
# Of the effective rate at batch 8, the middle one of five.
OCTAVES = {
  'digits': -3,
  'spoken-digits': -3,
  'one-hot': -3,
  'breast-cancer': -5,
  'wine': -5,
  'cifar10': -2,
  'cifar100': -2,
  'diabetes': -6,
}
BATCHES = (1, 2, 4, 8, 32, 128)
SHOWN = 0.05

_FIRST_TUNING_SEED = 100_000

FIXED = Method('fixed-0.9')
WIDE, NARROW, PAPER = (0.95, 0.0), (0.95, 0.45), (0.95, 0.9)


def _both(pair: tuple[float, float], rule='algorithm1') -> tuple[Method, ...]:
  return tuple(itertools.chain(pair_methods(*pair, rule), pair_methods(*pair[::-1], rule)))


LCAM_WIDE, LCAM_NARROW, LCAM_PAPER = map(_both, (WIDE, NARROW, PAPER))
LCAM_EQUATION9 = _both(WIDE, 'equation9')
LOW, HIGH = LCAM_WIDE[0], LCAM_WIDE[2]
WEIGHTS = (
  Method('easy-0.475', 'examples', strength=-0.475),
  Method('hard-0.475', 'examples', strength=0.475),
)
_ANY = (
  Method('fixed-0.475', low=0.475, high=0.475),
  Method('term-0.5', 'tilt', strength=-0.5, loss='tilted-0.5'),
  Method('clip-1', 'clip', strength=1.0),
  Method('decay-0.01', 'decay', strength=0.01),
  Method('adam', 'adam', scale=2.0**-5),
  Method('early', early=True),
)
RIVALS = (
  Method('gce-0.7', loss='gce-0.7', scale=4.0),
  Method('gce-0.3', loss='gce-0.3', scale=2.0),
  Method('smoothing-0.2', loss='smoothed-0.2'),
  *_ANY,
)
RIVALS_OF_REGRESSION = (Method('huber-1', loss='huber-1'), *_ANY)

_PROBLEMS = {problem.name: problem for problem in (*PROBLEMS, *FURTHER_PROBLEMS)}
OTHER_PROBLEMS = (
  'spoken-digits',
  'one-hot',
  'breast-cancer',
  'wine',
  'cifar10',
  'cifar100',
  'diabetes',
)


@dataclasses.dataclass(frozen=True, order=True)
class Setting:
  """What the methods are compared at.

  Attributes:
    problem_name: Name of the problem.
    noise: How its labels are made wrong.
    batch_size: Examples of a step.
  """

  problem_name: str
  noise: Noise
  batch_size: int

  @property
  def name(self) -> str:
    """Its name in tables and files."""
    return f'{self.problem_name}-{self.noise.name}-batch{self.batch_size}'

  @property
  def problem(self) -> Problem:
    """The problem."""
    return _PROBLEMS[self.problem_name]

  @property
  def train_examples(self) -> int:
    """The number of examples that are trained on; the others are for validation."""
    return self.problem.train_examples * 3 // 4

  @property
  def epochs(self) -> int:
    """The number of epochs."""
    return EXAMPLES_SEEN // self.train_examples

  @property
  def rates(self) -> list[float]:
    """The effective rates that are tried."""
    middle = 2.0 ** OCTAVES[self.problem_name] * self.batch_size / 8
    return [middle * 2.0**octave for octave in (-2, -1, 0, 1, 2)]

  @property
  def methods(self) -> Sequence[Method]:
    """The methods; a yoked one comes after its partner."""
    weights = WEIGHTS if self.batch_size > 1 else ()
    if self.problem_name != 'digits':
      rivals = RIVALS_OF_REGRESSION if self.problem.classes == 1 else RIVALS
      with_rivals = self in _MAIN
      return (FIXED, *LCAM_WIDE, *weights, *(rivals if with_rivals else ()))
    methods = (FIXED, *LCAM_WIDE, *LCAM_NARROW, *weights)
    if self.noise not in DIGITS_FIRST:
      return (FIXED, *LCAM_WIDE, *weights)
    if self.batch_size in (2, 128):
      methods = (*methods, *LCAM_PAPER)
    if self.batch_size == 2:
      methods = (*methods, *LCAM_EQUATION9)
    return (*methods, *RIVALS) if self.batch_size in (2, 32) else methods


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
    return f'{self.setting.name}-repeat{self.repeat}'

  @property
  def final_seeds(self) -> range:
    """The seeds that the test examples are looked at with."""
    return range(self.repeat * FINAL_SEEDS, (self.repeat + 1) * FINAL_SEEDS)

  @property
  def tuning_seeds(self) -> range:
    """The seeds of the tuning."""
    first = _FIRST_TUNING_SEED + self.repeat * TUNING_SEEDS
    return range(first, first + TUNING_SEEDS)


def _symmetric(*shares: float) -> tuple[Noise, ...]:
  return tuple(Noise('symmetric', share) for share in shares)


DIGITS_FIRST = _symmetric(0.2, 0.0, 0.4)
DIGITS_LATER = (*_symmetric(0.1, 0.06, 0.03), Noise('pair', 0.2), Noise('pair', 0.4))
_NOISES = {
  'cifar10': (Noise('people', source='random1'), *_symmetric(0.0), Noise('people', source='worst')),
  'cifar100': (Noise('people', source='noisy'), *_symmetric(0.0)),
  'diabetes': tuple(Noise('outliers', share) for share in (0.1, 0.0, 0.05, 0.2)),
}
# The first one of a problem is the one that also has rivals and a larger batch.
OTHER_NOISES = {name: _NOISES.get(name, _symmetric(0.2, 0.0, 0.06, 0.4)) for name in OTHER_PROBLEMS}
_MAIN = frozenset(Setting(name, noises[0], 2) for name, noises in OTHER_NOISES.items())


def settings() -> list[Setting]:
  """Returns all settings in the order in which they are run."""
  digits = [Setting('digits', *of) for of in itertools.product(DIGITS_FIRST, BATCHES)]
  first = [one for one in digits if one.noise == DIGITS_FIRST[0] or one.batch_size == 2]
  first += [one for one in digits if one not in first]
  others = [
    *(Setting(name, noises[0], 2) for name, noises in OTHER_NOISES.items()),
    *(Setting(name, noise, 2) for name, noises in OTHER_NOISES.items() for noise in noises[1:]),
    *(Setting(name, noises[0], 32) for name, noises in OTHER_NOISES.items()),
  ]
  later = [Setting('digits', *of) for of in itertools.product(DIGITS_LATER, BATCHES[1:])]
  last = [Setting('digits', noise, 1) for noise in DIGITS_LATER]
  few, rest = first[:8], first[8:]
  return [*few, *others, *rest, *later, *last]


def cells() -> Iterator[Cell]:
  """Returns all cells in the order in which they are run: all repeats of a setting."""
  for setting, repeat in itertools.product(settings(), range(REPEATS)):
    yield Cell(setting, repeat)
