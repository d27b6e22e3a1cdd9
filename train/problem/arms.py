"""The optimizers of a comparison, each a dataclass that builds itself.

An arm has a name that says what it is and can be asked for by it, with any numbers::

    fixed-0.9   low0.9-high0.95   coin0.9-0.95   yoked0.9-0.95      (low before high)
    adam   adamw   amsgrad   rmsprop   adagrad   lion   ademamix   momo   schedule-free-sgd
    adam-low0.85-high0.95   lion-low0.85-high0.95
"""

import abc
import dataclasses
import re
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
    """See :attr:`Arm.name`."""
    return f'fixed-{self.momentum:g}'

  @property
  def program(self) -> Any:
    """See :attr:`Arm.program`."""
    return Lcam.kind

  def build(self, setting: Setting) -> optax.GradientTransformationExtraArgs:
    """See :meth:`Arm.build`."""
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
    """See :attr:`Arm.name`."""
    return f'{self.kind}{self.low_loss_momentum:g}-{self.high_loss_momentum:g}'

  @property
  def program(self) -> Any:
    """See :attr:`Arm.program`."""
    return self.kind


@dataclasses.dataclass(frozen=True)
class Lcam(Pair):
  """LCAM: the loss chooses the momentum."""

  kind: ClassVar[str] = 'lcam'

  @property
  def name(self) -> str:
    """See :attr:`Arm.name`."""
    return f'low{self.low_loss_momentum:g}-high{self.high_loss_momentum:g}'

  def build(self, setting: Setting) -> optax.GradientTransformationExtraArgs:
    """See :meth:`Arm.build`."""
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
    """See :meth:`Arm.build`."""
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
    """See :meth:`Arm.build`."""
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
  """An optimizer of Optax with its usual settings.

  Attributes:
    learning_rate: The first learning rate.
  """

  learning_rate: float = 1e-3

  def _optimizer(self, setting: Setting, optimizer, **settings):
    return optax.inject_hyperparams(optimizer)(
      setting.learning_rate(self.learning_rate), **settings
    )


@dataclasses.dataclass(frozen=True)
class Adam(Adaptive):
  """``optax.adam``, with the weight decay in the gradient."""

  b1: float = 0.9
  b2: float = 0.999
  amsgrad: bool = False
  kind: ClassVar[str] = 'adam'

  @property
  def name(self) -> str:
    """See :attr:`Arm.name`."""
    return 'amsgrad' if self.amsgrad else 'adam'

  def build(self, setting: Setting) -> optax.GradientTransformationExtraArgs:
    """See :meth:`Arm.build`."""
    optimizer = optax.amsgrad if self.amsgrad else optax.adam
    return setting.coupled(self._optimizer(setting, optimizer, b1=self.b1, b2=self.b2))


@dataclasses.dataclass(frozen=True)
class AdamW(Adaptive):
  """``optax.adamw``, which decays weights apart from the gradient."""

  weight_decay: float = 0.05
  b1: float = 0.9
  b2: float = 0.999
  kind: ClassVar[str] = 'adamw'

  def build(self, setting: Setting) -> optax.GradientTransformationExtraArgs:
    """See :meth:`Arm.build`."""
    return self._optimizer(
      setting, optax.adamw, b1=self.b1, b2=self.b2, weight_decay=self.weight_decay
    )


@dataclasses.dataclass(frozen=True)
class RmsProp(Adaptive):
  """``optax.rmsprop``, with the weight decay in the gradient."""

  decay: float = 0.9
  kind: ClassVar[str] = 'rmsprop'

  def build(self, setting: Setting) -> optax.GradientTransformationExtraArgs:
    """See :meth:`Arm.build`."""
    return setting.coupled(self._optimizer(setting, optax.rmsprop, decay=self.decay))


@dataclasses.dataclass(frozen=True)
class AdaGrad(Adaptive):
  """``optax.adagrad``, with the weight decay in the gradient."""

  learning_rate: float = 1e-2
  kind: ClassVar[str] = 'adagrad'

  def build(self, setting: Setting) -> optax.GradientTransformationExtraArgs:
    """See :meth:`Arm.build`."""
    return setting.coupled(self._optimizer(setting, optax.adagrad))


@dataclasses.dataclass(frozen=True)
class Lion(Adaptive):
  """``optax.lion``, which decays weights apart from the gradient."""

  learning_rate: float = 1e-4
  weight_decay: float = 0.5
  b1: float = 0.9
  b2: float = 0.99
  kind: ClassVar[str] = 'lion'

  def build(self, setting: Setting) -> optax.GradientTransformationExtraArgs:
    """See :meth:`Arm.build`."""
    return self._optimizer(
      setting, optax.lion, b1=self.b1, b2=self.b2, weight_decay=self.weight_decay
    )


@dataclasses.dataclass(frozen=True)
class AdEMAMix(Adaptive):
  """``optax.contrib.ademamix``, Adam with a second, slow average of the gradients."""

  weight_decay: float = 0.05
  b1: float = 0.9
  b2: float = 0.999
  b3: float = 0.9999
  alpha: float = 5.0
  kind: ClassVar[str] = 'ademamix'

  def build(self, setting: Setting) -> optax.GradientTransformationExtraArgs:
    """See :meth:`Arm.build`."""
    return self._optimizer(
      setting,
      optax.contrib.ademamix,
      b1=self.b1,
      b2=self.b2,
      b3=self.b3,
      alpha=self.alpha,
      weight_decay=self.weight_decay,
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
    """See :meth:`Arm.build`."""
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
    """See :meth:`Arm.build`."""
    steps = max(1, round(self.warmup * setting.epochs * setting.steps_per_epoch))
    inject = optax.inject_hyperparams(
      optax.contrib.schedule_free_sgd, static_args=('warmup_steps', 'b1')
    )
    rate = setting.schedule.init_value / (1 - self.b1)
    return setting.coupled(inject(rate, warmup_steps=steps, b1=self.b1))

  def evaluation_params(self, opt_state: optax.OptState, params: optax.Params) -> optax.Params:
    """See :meth:`Arm.evaluation_params`."""
    (found,) = (state for _, state in optax.tree.get_all_with_path(opt_state, 'ScheduleFreeState'))
    return optax.contrib.schedule_free_eval_params(found, params)


@dataclasses.dataclass(frozen=True)
class ByPhase(Pair):
  """Another optimizer, whose ``b1`` the loss phase chooses."""

  optimizer: ClassVar[str]

  @property
  def name(self) -> str:
    """See :attr:`Arm.name`."""
    return f'{self.optimizer}-{Lcam(*self.momenta).name}'

  @property
  def program(self) -> Any:
    """See :attr:`Arm.program`. The two values are constants of the program."""
    return self

  def b1(self, setting: Setting) -> optax.schedules.StatefulSchedule:
    """Returns the schedule of ``b1``."""
    return loss_phase_schedule(
      self.high_loss_momentum,
      self.low_loss_momentum,
      steps_per_epoch=setting.steps_per_epoch,
      rule=setting.rule,
    )


@dataclasses.dataclass(frozen=True)
class AdamByPhase(ByPhase):
  """Adam whose ``b1`` the loss phase chooses, with the weight decay in the gradient.

  Attributes:
    learning_rate: The first learning rate.
    b2: See ``optax.adam``.
  """

  learning_rate: float = 1e-3
  b2: float = 0.999
  kind: ClassVar[str] = 'adam-by-phase'
  optimizer: ClassVar[str] = 'adam'

  def build(self, setting: Setting) -> optax.GradientTransformationExtraArgs:
    """See :meth:`Arm.build`."""
    adam = optax.inject_hyperparams(optax.adam)
    rate = setting.learning_rate(self.learning_rate)
    return setting.coupled(adam(rate, b1=self.b1(setting), b2=self.b2))


@dataclasses.dataclass(frozen=True)
class LionByPhase(ByPhase):
  """Lion whose ``b1`` the loss phase chooses.

  Attributes:
    learning_rate: The first learning rate.
    weight_decay: Apart from the gradient.
    b2: See ``optax.lion``.
  """

  learning_rate: float = 1e-4
  weight_decay: float = 0.5
  b2: float = 0.99
  kind: ClassVar[str] = 'lion-by-phase'
  optimizer: ClassVar[str] = 'lion'

  def build(self, setting: Setting) -> optax.GradientTransformationExtraArgs:
    """See :meth:`Arm.build`."""
    lion = optax.inject_hyperparams(optax.lion)
    rate = setting.learning_rate(self.learning_rate)
    return lion(rate, b1=self.b1(setting), b2=self.b2, weight_decay=self.weight_decay)


ADAPTIVE: tuple[Arm, ...] = (
  Adam(),
  AdamW(),
  Adam(amsgrad=True),
  RmsProp(),
  AdaGrad(),
  Lion(),
)
OTHERS: tuple[Arm, ...] = (*ADAPTIVE, AdEMAMix(), Momo(), ScheduleFreeSgd())

_NUMBER = r'(\d*\.?\d+)'
_PATTERNS: dict[str, type[Arm]] = {
  rf'fixed-{_NUMBER}': Fixed,
  rf'low{_NUMBER}-high{_NUMBER}': Lcam,
  rf'coin{_NUMBER}-{_NUMBER}': Coin,
  rf'yoked{_NUMBER}-{_NUMBER}': Yoked,
  rf'adam-low{_NUMBER}-high{_NUMBER}': AdamByPhase,
  rf'lion-low{_NUMBER}-high{_NUMBER}': LionByPhase,
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
  for pattern, kind in _PATTERNS.items():
    if match := re.fullmatch(pattern, name):
      momenta = [float(number) for number in match.groups()]
      if all(momentum < 1 for momentum in momenta):
        return kind(*momenta)
  raise UserError(f'There is no arm {name!r}: choose of {ARM_FORMS}.')
