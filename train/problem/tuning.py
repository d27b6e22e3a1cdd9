"""What is tuned, and where it is looked for: the points that `tune` tries for each arm."""

import dataclasses
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import jax.numpy as jnp
import numpy as np
import optax

from train.problem.arms import Arm, BestOf, Setting
from train.problem.comparison import Comparison
from train.system.errors import UserError

Searched = Literal['momentum', 'weight_decay']
SEARCHED: tuple[Searched, ...] = ('momentum', 'weight_decay')

FIRST_TUNING_SEED = 1_000_000  # far from the seeds that test
_OCTAVES = 7.0  # of learning rates, around the comparison's own
_DECAY_OCTAVES = 10.0
_USUAL_DECAY = 1e-4  # the middle of the range where the comparison's own is 0
_LARGEST_MOMENTUM = 0.98
_EDGE, _WIDENED = 1 / 8, 1 / 2  # of the range of learning rates


class Numbers(NamedTuple):
  """The tuned numbers of an arm; None is as in the comparison.

  Attributes:
    learning_rate: Its first learning rate.
    momentum: Its mean momentum; the difference of two momenta is not tuned.
    weight_decay: Its weight decay.
  """

  learning_rate: float
  momentum: float | None = None
  weight_decay: float | None = None


@dataclasses.dataclass(frozen=True)
class Tuned(Arm):
  """An arm with tuned numbers; arms that differ in these only share a compiled program.

  Attributes:
    asked: The arm as it was asked for.
    name: Its name in reports, that of ``asked`` unless several points of it are trained.
    numbers: The tuned numbers.
    epoch: The number of epochs after which the arm is judged, at most the comparison's; 0 is all.
    tries: How many times as many points were tried for it as for other arms.
  """

  asked: Arm
  name: str
  numbers: Numbers
  epoch: int = 0
  tries: int = 1

  @property
  def kind(self) -> str:
    return self.asked.kind

  @property
  def plain(self) -> Arm:
    return self.asked

  @property
  def program(self) -> Any:
    return 'tuned', self.asked.program, tuple(number is None for number in self.numbers)

  @property
  def general(self) -> Arm:
    # The name and what the arm is judged by do not change the program.
    return Tuned(self.asked.general, f'tuned {self.kind}', self.numbers)

  @property
  def partner(self) -> 'Tuned | None':
    asked = self.asked.partner
    return asked and dataclasses.replace(self, asked=asked, name=asked.name)

  @property
  def arm(self) -> Arm:
    """The arm with those of the numbers that are its own."""
    return self.asked.tuned(*self.numbers)

  def config(self) -> dict[str, Any]:
    numbers = {name: value for name, value in self.numbers._asdict().items() if value is not None}
    numbers.pop('momentum', None)  # it is in the fields of the arm
    judged = {'epoch': self.epoch, 'tries': self.tries}
    return {**self.arm.config(), 'name': self.name, **numbers, 'tuned': judged}

  def build(self, setting: Setting) -> optax.GradientTransformationExtraArgs:
    known = [number for number in self.numbers if number is not None]

    def optimizer(numbers: Sequence[Any]) -> optax.GradientTransformationExtraArgs:
      left = iter(numbers)
      given = Numbers(*(None if one is None else next(left) for one in self.numbers))
      tuned, changed = dataclasses.replace(self, numbers=given), setting
      if given.weight_decay is not None:
        changed = changed._replace(weight_decay=given.weight_decay)
      if self.asked.learning_rate is None:
        schedule = dataclasses.replace(setting.schedule, init_value=given.learning_rate)
        changed = changed._replace(schedule=schedule)
      return optax.with_extra_args_support(tuned.arm.build(changed))

    def init(params: optax.Params) -> TunedState:
      numbers = jnp.array(known, jnp.float32)
      return TunedState(numbers, optimizer(numbers).init(params))

    def update(updates, state, params=None, **extra):
      updates, inner = optimizer(state.numbers).update(updates, state.inner_state, params, **extra)
      return updates, TunedState(state.numbers, inner)

    return optax.GradientTransformationExtraArgs(init, update)

  def evaluation_params(self, opt_state: 'TunedState', params: optax.Params) -> optax.Params:
    return self.arm.evaluation_params(opt_state.inner_state, params)


class TunedState(NamedTuple):
  """The state of a tuned arm.

  Attributes:
    numbers: The tuned numbers, those that are not None.
    inner_state: The state of the arm with these numbers.
  """

  numbers: jnp.ndarray
  inner_state: Any


class Stage(NamedTuple):
  """The arms and seeds that a comparison is trained with, as text and numbers for other processes.

  Attributes:
    name: See :class:`Comparison`.
    arms: The name of the arm as it was asked for, and the other fields of :class:`Tuned`.
    seeds: The seeds.
  """

  name: Literal['tuning', 'tuned']
  arms: tuple[tuple[str, str, Numbers, int, int], ...]
  seeds: tuple[int, ...]

  @classmethod
  def with_arms(cls, name: Any, arms: Iterable[Tuned], seeds: Iterable[int]) -> 'Stage':
    """Returns the stage of a name with these arms."""
    fields = ((arm.asked.name, arm.name, arm.numbers, arm.epoch, arm.tries) for arm in arms)
    return cls(name, tuple(fields), tuple(seeds))

  def of(self, comparison: Comparison) -> Comparison:
    """Returns the comparison of this stage."""
    arms = tuple(Tuned(comparison.arm(asked), *fields) for asked, *fields in self.arms)
    known = comparison.baseline if comparison.baseline in [arm.name for arm in arms] else ''
    return dataclasses.replace(
      comparison, stage=self.name, arms=arms, seeds=self.seeds, baseline=known
    )


class Tuning(NamedTuple):
  """How an arm is tuned.

  Attributes:
    arm: The arm.
    answers: The name of what it is tuned for: its own, or that of several variants.
    again: 0 for the points that all arms share; other tunings have others.
  """

  arm: Arm
  answers: str
  again: int = 0

  @property
  def name(self) -> str:
    """Its name in tables and folders."""
    return f'{self.arm.name}-again{self.again}' if self.again else self.arm.name


class Point(NamedTuple):
  """A point that is tried.

  Attributes:
    tuning: Of which tuning.
    index: Its number in it.
    place: Where it lies between the ends of the range of learning rates, 0 to 1; beyond the ends in
      the second round of an arm whose best point was at an edge.
    effective_rate: The learning rate, over one minus the mean momentum if steps grow by it.
    numbers: The numbers.
  """

  tuning: Tuning
  index: int
  place: float
  effective_rate: float
  numbers: Numbers

  @property
  def arm(self) -> Tuned:
    """The arm at this point; its name is that of the folder of its runs."""
    return Tuned(self.tuning.arm, f'{self.tuning.name}-point{self.index}', self.numbers)


class Search(NamedTuple):
  """Where the numbers of arms are looked for.

  Attributes:
    comparison: The comparison as it was asked for.
    points: The number of points of each arm and round.
    seeds: The number of seeds of each point.
    searched: What is tuned besides the learning rate.
  """

  comparison: Comparison
  points: int
  seeds: int
  searched: tuple[Searched, ...] = ()

  @property
  def tuning_seeds(self) -> tuple[int, ...]:
    """The seeds that every point is tried with."""
    return tuple(range(FIRST_TUNING_SEED, FIRST_TUNING_SEED + self.seeds))

  def check(self) -> None:
    """Raises a ``UserError`` if an arm cannot be tuned, or a number is not possible."""
    for name, least in (('points', 2), ('tuning seeds', 1)):
      value = getattr(self, name.split()[-1])
      if not (type(value) is int and least <= value <= 4096):
        raise UserError(f'The number of {name} must be from {least} to 4096, not {value!r}.')
    if unknown := set(self.searched) - set(SEARCHED):
      raise UserError(f'{min(unknown)} cannot be tuned: choose from {", ".join(SEARCHED)}.')
    if tested := [seed for seed in self.comparison.seeds if seed >= FIRST_TUNING_SEED]:
      raise UserError(
        f'Seeds from {FIRST_TUNING_SEED:,} on are for tuning: choose others, not {min(tested)}.'
      )
    if isinstance(self.comparison.arm(self.comparison.baseline), BestOf):
      raise UserError('The baseline cannot be the best of several arms: name another arm first.')
    for tuning in self.tunings():
      self.first_points(tuning)[0].arm.config()

  def tunings(self) -> list[Tuning]:
    """Returns the tunings: of arms, of variants, and of the baseline as often as of variants."""
    found: dict[Tuning, None] = {}
    baseline = self.comparison.arm(self.comparison.baseline)
    for arm in self.comparison.arms:
      if isinstance(arm, BestOf):
        found |= {Tuning(variant, arm.name): None for variant in arm.variants}
        as_often = as_often_name(baseline.name, len(arm.variants))
        found |= {Tuning(baseline, as_often, again + 1): None for again in range(len(arm.variants))}
      elif arm.partner is None:
        found[Tuning(arm, arm.name)] = None
    return list(found)

  def first_points(self, tuning: Tuning) -> list[Point]:
    """Returns the points of the first round."""
    return [
      self._point(tuning, index, coordinates[0], coordinates)
      for index, coordinates in enumerate(self._coordinates(tuning, 0))
    ]

  def further_points(self, tuning: Tuning, best: Point) -> list[Point]:
    """Returns the points of the second round.

    Where the best point lay at an edge of the learning rates, the range goes on beyond it, by half its
    length; otherwise it stays.
    """
    low, high = 0.0, 1.0
    if is_at_edge(best):
      low, high = (-_WIDENED, 0.0) if best.place < 0.5 else (1.0, 1 + _WIDENED)
    return [
      self._point(tuning, self.points + index, low + (high - low) * coordinates[0], coordinates)
      for index, coordinates in enumerate(self._coordinates(tuning, 1))
    ]

  def _coordinates(self, tuning: Tuning, turn: int) -> list[list[float]]:
    """Returns points of a scrambled Sobol sequence, the same for all arms."""
    from scipy.stats import qmc  # takes a second to import

    seed = [zlib.crc32(self.comparison.name.encode()), tuning.again, turn]
    sequence = qmc.Sobol(1 + len(SEARCHED), rng=np.random.default_rng(seed))
    return sequence.random_base2((self.points - 1).bit_length())[: self.points].tolist()

  def _point(self, tuning: Tuning, index: int, place: float, coordinates: Sequence[float]) -> Point:
    arm, comparison = tuning.arm, self.comparison
    momentum = decay = None
    if 'momentum' in self.searched:
      low, high = 0.0, _LARGEST_MOMENTUM
      if hasattr(arm, 'momenta'):  # both lie in the range
        half = abs(arm.momenta[1] - arm.momenta[0]) / 2
        low, high = half, max(half, _LARGEST_MOMENTUM - half)
      # Evenly in the logarithm of one minus it.
      momentum = _rounded(1 - (1 - low) ** (1 - coordinates[1]) * (1 - high) ** coordinates[1])
    if 'weight_decay' in self.searched:
      own = dict(getattr(arm, 'settings', ())).get('weight_decay', comparison.weight_decay)
      decay = _rounded((own or _USUAL_DECAY) * 2 ** (_DECAY_OCTAVES * (coordinates[2] - 0.5)))
    rate = self._middle(arm) * 2 ** (_OCTAVES * (place - 0.5))
    mean = arm.mean_momentum
    grows = 1.0 if mean is None else 1 - (mean if momentum is None else momentum)
    return Point(
      tuning, index, place, _rounded(rate), Numbers(_rounded(rate * grows), momentum, decay)
    )

  def _middle(self, arm: Arm) -> float:
    """Returns the middle of the range of learning rates, effective ones if steps grow by momentum."""
    if arm.learning_rate is not None:
      return arm.learning_rate
    first = self.comparison.schedule.init_value
    if first is None:
      raise UserError(
        'The schedule has no first learning rate to tune: give it one, as '
        'train.schedules.Optax(function, init_value=0.1).'
      )
    baseline = self.comparison.arm(self.comparison.baseline)
    means = arm.mean_momentum, baseline.mean_momentum
    return first if means[0] is None else first / (1 - (means[0] if means[1] is None else means[1]))


def as_often_name(baseline: str, tries: int) -> str:
  """Returns the name of the baseline that is tuned as often as several variants."""
  return f'{baseline}-x{tries}'


def is_at_edge(point: Point, tried: Iterable[Point] = ()) -> bool:
  """Returns whether a point lies at an edge of the learning rates that were searched.

  These are the first range, and what the points that were tried lie in beyond it.
  """
  places = [one.place for one in tried]
  low = -_WIDENED if min(places, default=0) < 0 else 0
  high = 1 + _WIDENED if max(places, default=1) > 1 else 1
  return not low + _EDGE <= point.place <= high - _EDGE


class Tried(NamedTuple):
  """A point with what validation data say about it.

  Attributes:
    point: The point.
    epoch: The epoch that is judged.
    values: The metric on validation data after that epoch, of each seed; infinite, the worst, if it
      diverged.
    loss: The mean validation loss after that epoch, which decides between equal metrics.
    higher_is_better: Whether a higher metric is better.
  """

  point: Point
  epoch: int
  values: tuple[float, ...]
  loss: float
  higher_is_better: bool = False

  @property
  def mean(self) -> float:
    """The mean over the seeds."""
    return float(np.mean(self.values))


def best(tried: Iterable[Tried]) -> Tried:
  """Returns the point with the best mean, of equal ones that with the smallest loss."""
  return min(tried, key=lambda one: (-one.mean if one.higher_is_better else one.mean, one.loss))


def tuned_arms(
  search: Search, tried: Mapping[Tuning, Sequence[Tried]]
) -> Iterator[tuple[Tuned, Tried]]:
  """Yields the tuned arms, and the point that each has; a yoked arm has that of its partner."""
  by_answer: dict[str, list[Tuning]] = {}
  for tuning in tried:
    by_answer.setdefault(tuning.answers, []).append(tuning)
  picked: dict[str, Tuned] = {}
  for name, tunings in by_answer.items():
    pick = best([one for tuning in tunings for one in tried[tuning]])
    arm = Tuned(pick.point.tuning.arm, name, pick.point.numbers, pick.epoch, len(tunings))
    picked[name] = arm
    yield arm, pick
  for arm in search.comparison.arms:
    if arm.partner is None:
      continue
    if arm.partner.name not in picked:
      raise UserError(f'{arm.name} has the tuned numbers of {arm.partner.name}: add it to --arms.')
    partner = picked[arm.partner.name]
    yield (
      dataclasses.replace(partner, asked=arm, name=arm.name),
      best(tried[Tuning(arm.partner, arm.partner.name)]),
    )


def _rounded(number: float) -> float:
  """Returns a number with the digits that tables and configurations show."""
  return float(f'{number:.4g}')
