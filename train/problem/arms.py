"""The optimizers of a comparison, each a dataclass that builds itself.

An arm has a name that says what it is and can be asked for by it, with any numbers::

    fixed-0.9   low0.9-high0.95   coin0.9-0.95   yoked0.9-0.95      (low before high)
    adam   adamw   amsgrad   rmsprop   adagrad   lion   ademamix   momo   schedule-free-sgd
    adam-low0.85-high0.95   lion-low0.85-high0.95
"""

import abc
import dataclasses
import functools
import re
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import jax.numpy as jnp
import optax
import optax.contrib

from lcam_optax import lcam, loss_phase_schedule, scale_by_phase
from train.problem.controls import coin_tracker, replay_tracker
from train.problem.schedules import Schedule
from train.system.errors import UserError


class Setting(NamedTuple):
  """What an arm is built for.

  Attributes:
    schedule: Of the learning rate; an arm with a learning rate of its own follows its shape.
    epochs: How many the run has.
    steps_per_epoch: Steps of an epoch, a short last one included.
    weight_decay: Times every parameter, added to its gradient, by arms that do not decay weights in
      their own way.
    rule: See :func:`lcam_optax.lcam`.
    seed: The seed of the run.
    partner_phases: The phases that a yoked arm replays.
  """

  schedule: Schedule
  epochs: int
  steps_per_epoch: int
  weight_decay: float
  rule: str
  seed: int = 0
  partner_phases: Any = None

  def learning_rate(self, init_value: float | None = None) -> optax.Schedule:
    """Returns the schedule, from another first value if one is given."""
    schedule = self.schedule
    if init_value is not None:
      schedule = dataclasses.replace(schedule, init_value=init_value)
    return schedule.build(self.epochs, self.steps_per_epoch)

  def coupled(
    self, optimizer: optax.GradientTransformation
  ) -> optax.GradientTransformationExtraArgs:
    """Returns an optimizer of gradients to which the weight decay was added."""
    return optax.chain(optax.add_decayed_weights(self.weight_decay), optimizer)


@dataclasses.dataclass(frozen=True)
class Arm(abc.ABC):
  """One optimizer of a comparison; see the kinds below.

  Every number that differs between arms of one kind is injected, so that it lives in the
  optimizer's state: their runs share a compiled program.
  """

  kind: ClassVar[str]

  @property
  def name(self) -> str:
    """What the command line, the working directory and the reports call it."""
    return self.kind

  @property
  def program(self) -> Any:
    """Hashable; arms for which it is equal share a compiled program."""
    return self

  @property
  def own_learning_rate(self) -> bool:
    """Whether the arm has a learning rate of its own."""
    return getattr(self, 'learning_rate', None) is not None

  def config(self) -> dict[str, Any]:
    """Returns what determines the arm, as JSON-able values."""
    return {'name': self.name, 'kind': self.kind, **dataclasses.asdict(self)}

  @abc.abstractmethod
  def build(self, setting: Setting) -> optax.GradientTransformationExtraArgs:
    """Returns the optimizer. Its state holds ``hyperparams`` with the learning rate."""

  def evaluation_params(self, opt_state: optax.OptState, params: optax.Params) -> optax.Params:
    """Returns the parameters that are evaluated: those that are trained, but for averaging arms."""
    del opt_state
    return params


@dataclasses.dataclass(frozen=True)
class Fixed(Arm):
  """SGD with one momentum: LCAM with equal momenta, which is ``optax.sgd`` to the bit."""

  momentum: float
  kind: ClassVar[str] = 'fixed'

  @property
  def name(self) -> str:
    return f'fixed-{self.momentum:g}'

  @property
  def program(self) -> Any:
    return Lcam.kind

  def build(self, setting: Setting) -> optax.GradientTransformationExtraArgs:
    return Lcam(self.momentum, self.momentum).build(setting)


@dataclasses.dataclass(frozen=True)
class Pair(Arm):
  """An arm with two momenta, named low before high.

  Attributes:
    low_loss_momentum: The momentum in the low-loss phase.
    high_loss_momentum: The momentum in the high-loss phase.
  """

  low_loss_momentum: float
  high_loss_momentum: float

  @property
  def momenta(self) -> tuple[float, float]:
    """Low before high."""
    return self.low_loss_momentum, self.high_loss_momentum

  @property
  def name(self) -> str:
    return f'{self.kind}{self.low_loss_momentum:g}-{self.high_loss_momentum:g}'

  @property
  def program(self) -> Any:
    return self.kind


@dataclasses.dataclass(frozen=True)
class Lcam(Pair):
  """LCAM: the loss chooses the momentum."""

  kind: ClassVar[str] = 'lcam'

  @property
  def name(self) -> str:
    return f'low{self.low_loss_momentum:g}-high{self.high_loss_momentum:g}'

  def build(self, setting: Setting) -> optax.GradientTransformationExtraArgs:
    return setting.coupled(
      optax.inject_hyperparams(lcam)(
        setting.learning_rate(),
        self.high_loss_momentum,
        self.low_loss_momentum,
        steps_per_epoch=setting.steps_per_epoch,
        rule=setting.rule,
      )
    )


@dataclasses.dataclass(frozen=True)
class Coin(Pair):
  """A control: LCAM's momenta in the proportion that the losses would give, chosen by a coin."""

  kind: ClassVar[str] = 'coin'

  def build(self, setting: Setting) -> optax.GradientTransformationExtraArgs:
    return setting.coupled(
      optax.inject_hyperparams(_coin)(
        setting.learning_rate(),
        self.high_loss_momentum,
        self.low_loss_momentum,
        steps_per_epoch=setting.steps_per_epoch,
        rule=setting.rule,
        coin_seed=setting.seed,
      )
    )


def _coin(
  learning_rate, high_loss_momentum, low_loss_momentum, *, steps_per_epoch, rule, coin_seed
):
  tracker = coin_tracker(steps_per_epoch=steps_per_epoch, rule=rule, coin_seed=coin_seed)
  return optax.chain(
    scale_by_phase(tracker, high_loss_momentum, low_loss_momentum),
    optax.scale_by_learning_rate(learning_rate),
  )


@dataclasses.dataclass(frozen=True)
class Yoked(Pair):
  """A control: the momenta that the LCAM run of another seed had, in the same order.

  It has LCAM's schedule of momenta, warm-up included, and nothing that its own losses say.
  """

  kind: ClassVar[str] = 'yoked'

  @property
  def partner(self) -> Lcam:
    """The arm whose phases it replays."""
    return Lcam(*self.momenta)

  def build(self, setting: Setting) -> optax.GradientTransformationExtraArgs:
    phases = setting.partner_phases
    if phases is None:  # a program is compiled before phases are known
      phases = jnp.zeros(setting.epochs * setting.steps_per_epoch, jnp.int8)

    def yoked(learning_rate, high_loss_momentum, low_loss_momentum):
      return optax.chain(
        scale_by_phase(
          replay_tracker(phases, rule=setting.rule), high_loss_momentum, low_loss_momentum
        ),
        optax.scale_by_learning_rate(learning_rate),
      )

    return setting.coupled(
      optax.inject_hyperparams(yoked)(
        setting.learning_rate(), self.high_loss_momentum, self.low_loss_momentum
      )
    )


@dataclasses.dataclass(frozen=True)
class Adaptive(Arm):
  """An optimizer of Optax with its usual settings: a row of the table below.

  Where ``weight_decay`` is one of the settings, the optimizer decays weights by itself; elsewhere
  the comparison's weight decay is added to the gradient.

  Attributes:
    label: Its name.
    family: What configurations call it.
    optimizer: Takes the learning rate and the settings.
    settings: Names and values, the first learning rate among them.
  """

  label: str
  family: str
  optimizer: Callable[..., optax.GradientTransformation]
  settings: tuple[tuple[str, float], ...]

  @property
  def kind(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
    return self.family

  @property
  def name(self) -> str:
    return self.label

  @property
  def learning_rate(self) -> float:
    """The first learning rate."""
    return dict(self.settings)['learning_rate']

  def with_settings(self, **changes: float) -> 'Adaptive':
    """Returns the arm with other values of some settings."""
    return dataclasses.replace(self, settings=tuple({**dict(self.settings), **changes}.items()))

  def config(self) -> dict[str, Any]:
    amsgrad = {'amsgrad': self.optimizer is optax.amsgrad} if self.family == 'adam' else {}
    return {'name': self.name, 'kind': self.kind, **dict(self.settings), **amsgrad}

  def build(self, setting: Setting, **replaced: Any) -> optax.GradientTransformationExtraArgs:
    settings = {**dict(self.settings), **replaced}
    rate = setting.learning_rate(settings.pop('learning_rate'))
    optimizer = optax.inject_hyperparams(self.optimizer)(rate, **settings)
    return optimizer if 'weight_decay' in settings else setting.coupled(optimizer)


def _adaptive(label: str, optimizer: Callable, *, family: str = '', **settings: float) -> Adaptive:
  return Adaptive(label, family or label, optimizer, tuple(settings.items()))


ADAM = _adaptive('adam', optax.adam, learning_rate=1e-3, b1=0.9, b2=0.999)
LION = _adaptive('lion', optax.lion, learning_rate=1e-4, weight_decay=0.5, b1=0.9, b2=0.99)
ADAPTIVE: tuple[Arm, ...] = (
  ADAM,
  _adaptive('adamw', optax.adamw, learning_rate=1e-3, weight_decay=0.05, b1=0.9, b2=0.999),
  _adaptive('amsgrad', optax.amsgrad, family='adam', learning_rate=1e-3, b1=0.9, b2=0.999),
  _adaptive('rmsprop', optax.rmsprop, learning_rate=1e-3, decay=0.9),
  _adaptive('adagrad', optax.adagrad, learning_rate=1e-2),
  LION,
)
ADEMAMIX = _adaptive(
  'ademamix',
  optax.contrib.ademamix,  # Adam with a second, slow average of the gradients
  learning_rate=1e-3,
  weight_decay=0.05,
  b1=0.9,
  b2=0.999,
  b3=0.9999,
  alpha=5.0,
)


@dataclasses.dataclass(frozen=True)
class ByPhase(Pair):
  """An optimizer of the table whose ``b1`` the loss phase chooses.

  Attributes:
    base: The optimizer.
  """

  base: Adaptive

  @property
  def kind(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
    return f'{self.base.kind}-by-phase'

  @property
  def name(self) -> str:
    return f'{self.base.name}-{Lcam(*self.momenta).name}'

  @property
  def program(self) -> Any:
    return self  # the two values are constants of the program

  @property
  def learning_rate(self) -> float:
    """The first learning rate."""
    return self.base.learning_rate

  def config(self) -> dict[str, Any]:
    settings = {name: value for name, value in self.base.settings if name != 'b1'}
    low, high = self.momenta
    momenta = {'low_loss_momentum': low, 'high_loss_momentum': high}
    return {'name': self.name, 'kind': self.kind, **momenta, **settings}

  def build(self, setting: Setting) -> optax.GradientTransformationExtraArgs:
    return self.base.build(
      setting,
      b1=loss_phase_schedule(
        self.high_loss_momentum,
        self.low_loss_momentum,
        steps_per_epoch=setting.steps_per_epoch,
        rule=setting.rule,
      ),
    )


@dataclasses.dataclass(frozen=True)
class Momo(Arm):
  """``optax.contrib.momo``: SGD with momentum, its step bounded by what the loss leaves to gain.

  It reads the loss, as LCAM does. Its learning rate is an upper bound, the schedule's.
  """

  beta: float = 0.9
  lower_bound: float = 0.0
  kind: ClassVar[str] = 'momo'

  def build(self, setting: Setting) -> optax.GradientTransformationExtraArgs:
    # Its gradients are averaged, not added up: a momentum of beta makes them 1 - beta as large.
    bound = setting.schedule.init_value / (1 - self.beta)
    return optax.inject_hyperparams(optax.contrib.momo)(
      setting.learning_rate(bound),
      beta=self.beta,
      lower_bound=self.lower_bound,
      weight_decay=setting.weight_decay,
    )


@dataclasses.dataclass(frozen=True)
class ScheduleFreeSgd(Arm):
  """``optax.contrib.schedule_free_sgd``: a constant rate after a warm-up, evaluated at an average.

  The rate is the schedule's first divided by ``1 - b1``, that of SGD with such a momentum. Batch
  statistics are those of the parameters that are trained, not of the average.

  Attributes:
    b1: How far the trained parameters are pulled to the average.
    warmup: The share of all steps in which the rate rises from zero.
  """

  b1: float = 0.9
  warmup: float = 0.05
  kind: ClassVar[str] = 'schedule-free-sgd'

  def build(self, setting: Setting) -> optax.GradientTransformationExtraArgs:
    steps = max(1, round(self.warmup * setting.epochs * setting.steps_per_epoch))
    inject = optax.inject_hyperparams(
      optax.contrib.schedule_free_sgd, static_args=('warmup_steps', 'b1')
    )
    rate = setting.schedule.init_value / (1 - self.b1)
    return setting.coupled(inject(rate, warmup_steps=steps, b1=self.b1))

  def evaluation_params(self, opt_state: optax.OptState, params: optax.Params) -> optax.Params:
    (found,) = (state for _, state in optax.tree.get_all_with_path(opt_state, 'ScheduleFreeState'))
    return optax.contrib.schedule_free_eval_params(found, params)


OTHERS: tuple[Arm, ...] = (*ADAPTIVE, ADEMAMIX, Momo(), ScheduleFreeSgd())

_NUMBER = r'(\d*\.?\d+)'
_PATTERNS: dict[str, Callable[..., Arm]] = {
  rf'fixed-{_NUMBER}': Fixed,
  rf'low{_NUMBER}-high{_NUMBER}': Lcam,
  rf'coin{_NUMBER}-{_NUMBER}': Coin,
  rf'yoked{_NUMBER}-{_NUMBER}': Yoked,
  rf'adam-low{_NUMBER}-high{_NUMBER}': functools.partial(ByPhase, base=ADAM),
  rf'lion-low{_NUMBER}-high{_NUMBER}': functools.partial(ByPhase, base=LION),
}
ARM_FORMS = (
  'fixed-M, lowA-highB, coinA-B, yokedA-B, adam-lowA-highB, lion-lowA-highB (momenta M, A, B in '
  f'[0, 1)), {", ".join(arm.name for arm in OTHERS)}'
)


def arm_of_name(name: str) -> Arm:
  """Returns the arm of a name, with any momenta.

  Raises:
    UserError: If there is none; it says what there is.

  Example:
    >>> arm_of_name('yoked0.9-0.95')
    Yoked(low_loss_momentum=0.9, high_loss_momentum=0.95)
  """
  for arm in OTHERS:
    if arm.name == name:
      return arm
  for pattern, make in _PATTERNS.items():
    if match := re.fullmatch(pattern, name):
      momenta = [float(number) for number in match.groups()]
      if all(momentum < 1 for momentum in momenta):
        return make(*momenta)
  raise UserError(f'There is no arm {name!r}: choose of {ARM_FORMS}.')
