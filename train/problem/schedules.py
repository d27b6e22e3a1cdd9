"""Learning-rate schedules as data; each scales with the number of epochs."""

import abc
import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import optax

from lcam_optax import hold_then_decay, step_drops
from train.system.errors import UserError


@dataclasses.dataclass(frozen=True)
class Schedule(abc.ABC):
  """A schedule of the learning rate, of one of the kinds below."""

  init_value: float | None = 0.1  # the first learning rate
  kind: ClassVar[str]  # its name in configurations

  @property
  def code(self) -> Any:
    """The function or class that says what the rates are."""
    return type(self)

  @abc.abstractmethod
  def build(self, epochs: int, steps_per_epoch: int) -> optax.Schedule:
    """Returns the function from the step count to the learning rate."""

  @abc.abstractmethod
  def describe(self) -> str:
    """Returns the schedule in words."""

  def config(self) -> dict[str, Any]:
    """Returns what determines the schedule, as JSON-able values."""
    return {'kind': self.kind, **dataclasses.asdict(self)}


@dataclasses.dataclass(frozen=True)
class Drops(Schedule):
  """A learning rate that is multiplied by ``factor`` after the shares ``after`` of the epochs.

  The default is figure 3's.
  """

  after: tuple[float, ...] = (31 / 150, 61 / 150, 91 / 150)
  factor: float = 0.2
  kind: ClassVar[str] = 'drops'

  def build(self, epochs: int, steps_per_epoch: int) -> optax.Schedule:
    drop_epochs = sorted(max(1, round(share * epochs)) for share in self.after)
    return step_drops(self.init_value, steps_per_epoch, drop_epochs, self.factor)

  def describe(self) -> str:
    shares = ', '.join(f'{100 * share:.0f} %' for share in self.after)
    return f'learning rate {self.init_value:g}, x{self.factor:g} after {shares} of the epochs'


@dataclasses.dataclass(frozen=True)
class HoldThenDecay(Schedule):
  """A learning rate held for a share of the epochs, then decayed before every step.

  ``last_factor`` is the last rate divided by the first. The default is figure 5's, version 1, of 150
  epochs of 391 steps; a shorter run goes through the same rates.
  """

  hold: float = 31 / 150
  last_factor: float = 0.99985 ** (119 * 391)
  kind: ClassVar[str] = 'hold_then_decay'

  def build(self, epochs: int, steps_per_epoch: int) -> optax.Schedule:
    hold_epochs = round(self.hold * epochs)
    decays = (epochs - hold_epochs) * steps_per_epoch
    return hold_then_decay(
      self.init_value, steps_per_epoch, hold_epochs, self.last_factor ** (1 / decays)
    )

  def describe(self) -> str:
    return (
      f'learning rate {self.init_value:g} for {100 * self.hold:.0f} % of the epochs, then decayed '
      f'to {self.last_factor:.2g} of it'
    )


@dataclasses.dataclass(frozen=True)
class Cosine(Schedule):
  """A learning rate that follows half a cosine, to zero after the last step."""

  kind: ClassVar[str] = 'cosine'

  def build(self, epochs: int, steps_per_epoch: int) -> optax.Schedule:
    return optax.cosine_decay_schedule(self.init_value, epochs * steps_per_epoch)

  def describe(self) -> str:
    return f'learning rate {self.init_value:g}, along a cosine to zero'


@dataclasses.dataclass(frozen=True)
class Constant(Schedule):
  """A constant learning rate."""

  kind: ClassVar[str] = 'constant'

  def build(self, epochs: int, steps_per_epoch: int) -> optax.Schedule:
    del epochs, steps_per_epoch
    return optax.constant_schedule(self.init_value)

  def describe(self) -> str:
    return f'learning rate {self.init_value:g} throughout'


@dataclasses.dataclass(frozen=True)
class Optax(Schedule):
  """Any schedule of Optax, from the total number of steps.

  Attributes:
    function: ``function(steps) -> optax.Schedule``.
    init_value: The highest learning rate, to which the schedule is scaled; None for the rates as they
      are. ``--learning-rate``, and an arm with a learning rate of its own, replace it.

  Example:
    >>> warm_up = Optax(lambda steps: optax.warmup_cosine_decay_schedule(0, 0.1, 100, steps))
    >>> rates = warm_up.build(epochs=10, steps_per_epoch=50)
    >>> [round(float(rates(step)), 3) for step in (0, 50, 100, 500)]
    [0.0, 0.05, 0.1, 0.0]
  """

  function: Callable[[int], optax.Schedule]
  init_value: float | None = dataclasses.field(default=None, kw_only=True)
  kind: ClassVar[str] = 'optax'

  def __post_init__(self):
    if not callable(self.function):
      raise UserError(
        'The schedule Optax must get a function of the number of steps, such as `lambda steps: '
        f'optax.linear_schedule(0.1, 0.0, steps)`, not a {type(self.function).__name__}.'
      )

  @property
  def code(self) -> Any:
    return self.function

  def build(self, epochs: int, steps_per_epoch: int) -> optax.Schedule:
    steps = epochs * steps_per_epoch
    built = self.function(steps)
    if not callable(built):
      raise UserError(
        f'The function of the schedule Optax gets the number of steps, {steps}, and must return a '
        f'schedule, not {built!r:.60}: give it a schedule s as `lambda steps: s`.'
      )
    if self.init_value is None:
      return built
    with jax.ensure_compile_time_eval():
      # Without the digits that differ between devices.
      highest = float(f'{jnp.max(jax.vmap(built)(jnp.arange(steps))):.6g}')
    if not highest > 0:
      raise UserError(f'The schedule cannot be scaled: its highest learning rate is {highest:g}.')
    return lambda step: built(step) * (self.init_value / highest)

  def describe(self) -> str:
    name = getattr(self.function, '__name__', '<lambda>')
    which = 'a schedule of its own' if name == '<lambda>' else f'the schedule {name}'
    scaled = '' if self.init_value is None else f', at most {self.init_value:g}'
    return f'learning rate by {which}{scaled}'
