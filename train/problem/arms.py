"""The optimizers of a comparison, each a dataclass that builds itself.

The name of an arm says what it is; users select arms by name, with any momenta::

    fixed-0.9   low0.9-high0.95   coin0.9-0.95   yoked0.9-0.95      (low before high)
    easy-0.475   hard-0.475
    low0.9-high0.95+low0.95-high0.9      (the better of both, for `tune`)
    adam   adamw   amsgrad   rmsprop   adagrad   lion   ademamix   momo   schedule-free-sgd
    adam-low0.85-high0.95   lion-low0.85-high0.95
"""

import abc
import dataclasses
import functools
import inspect
import re
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import optax
import optax.contrib

from lcam_optax import coin_tracker, lcam, loss_phase_schedule, replay_tracker, scale_by_phase
from train.problem.schedules import Schedule
from train.system.errors import UserError, did_you_mean


class Setting(NamedTuple):
  """The run that an arm is built for."""

  schedule: Schedule  # of the learning rate; an arm with its own first rate follows its shape
  epochs: int
  steps_per_epoch: int  # a short last one included
  weight_decay: float  # times every parameter, added to its gradient, unless the arm has its own
  rule: str  # see :func:`lcam_optax.lcam`
  seed: int = 0
  partner_phases: Any = None  # that a yoked arm replays, one per step
  decayed: Callable[[optax.Params], Any] | None = None  # whether each parameter decays; None: all

  @property
  def phases(self) -> dict[str, Any]:
    """The arguments of what tells the loss phases apart."""
    return {'steps_per_epoch': self.steps_per_epoch, 'rule': self.rule}

  @property
  def first_rate(self) -> float:
    """The learning rate that the schedule starts from.

    Raises:
      UserError: If the schedule has none.
    """
    if self.schedule.init_value is None:
      raise UserError('it needs the `init_value` of the schedule: give the schedule one.')
    return self.schedule.init_value

  def learning_rate(self, init_value: float | None = None) -> optax.Schedule:
    """Returns the schedule, from another first value if one is given."""
    schedule = self.schedule
    if init_value is not None:
      schedule = dataclasses.replace(schedule, init_value=init_value)
    built = schedule.build(self.epochs, self.steps_per_epoch)
    step = jax.ShapeDtypeStruct((), jnp.int32)
    rate = jax.eval_shape(built, step) if callable(built) else built
    if not callable(built) or getattr(rate, 'shape', None) != () or jnp.iscomplexobj(rate):
      raise UserError(
        f'`build` of the schedule {schedule.kind} must return a function that returns for each step one '
        f'number, the learning rate, and not {rate}.'
      )
    return built

  def coupled(self, optimizer: Any) -> optax.GradientTransformationExtraArgs:
    """Returns the optimizer, with the weight decay added to its gradients."""
    return optax.chain(optax.add_decayed_weights(self.weight_decay, self.decayed), optimizer)


class Arm(abc.ABC):
  """One optimizer of a comparison, of one of the kinds below, which are frozen dataclasses.

  ``optax.inject_hyperparams`` keeps the numbers that differ between arms of a kind in the
  optimizer's state, so that their runs share a compiled program.

  Attributes:
    kind: Its kind in configurations.
    name: Its name on the command line, in the working directory and in reports; its kind if not
      defined otherwise.
    learning_rate: Its own first learning rate; None for the schedule's.
  """

  kind: str
  name: str
  learning_rate: float | None = None
  partner: 'Arm | None' = None  # whose phases it replays

  def __init_subclass__(cls):
    named = hasattr(cls, 'name') or 'name' in inspect.get_annotations(cls)
    if not named and isinstance(getattr(cls, 'kind', None), str):
      cls.name = cls.kind

  @property
  def program(self) -> Any:
    """A hashable value, equal for arms that share a compiled program."""
    return self

  @property
  def general(self) -> 'Arm':
    """The arm of a more general kind that it equals, if there is one."""
    return self

  @property
  def plain(self) -> 'Arm':
    """The arm as it was asked for, before it was tuned."""
    return self

  @property
  def mean_momentum(self) -> float | None:
    """What one minus it divides the learning rate by in effect; None if the steps do not grow so."""
    return None

  def tuned(
    self,
    learning_rate: float,
    momentum: float | None = None,
    weight_decay: float | None = None,
  ) -> 'Arm':
    """Returns the arm with other numbers: a mean momentum, and those that are its own, not the setting's.

    Raises:
      UserError: If it has no such number.
    """
    del weight_decay
    if momentum is not None:
      raise UserError(f'The arm {self.name} has no momentum to tune: leave momentum out of --tune.')
    if self.learning_rate is None:
      return self
    try:
      return dataclasses.replace(self, learning_rate=learning_rate)
    except TypeError as error:
      raise UserError(
        f'The learning rate of the arm {self.name} cannot be tuned: make `learning_rate` a field of '
        'its class, or leave the arm out.'
      ) from error

  def config(self) -> dict[str, Any]:
    """Returns what determines the arm, as JSON-able values."""
    return {'name': self.name, 'kind': self.kind, **dataclasses.asdict(self)}

  @abc.abstractmethod
  def build(self, setting: Setting) -> optax.GradientTransformationExtraArgs:
    """Returns the optimizer. The tables show the learning rate that ``inject_hyperparams`` keeps."""

  def evaluation_params(self, opt_state: optax.OptState, params: optax.Params) -> optax.Params:
    """Returns the parameters to evaluate: the trained ones, except for arms that average."""
    return params


@dataclasses.dataclass(frozen=True)
class Fixed(Arm):
  """SGD with one momentum: LCAM with equal momenta, bit for bit ``optax.sgd``."""

  momentum: float
  kind: ClassVar[str] = 'fixed'
  program: ClassVar[str] = 'lcam'

  @property
  def name(self) -> str:
    return f'fixed-{self.momentum:g}'

  @property
  def general(self) -> Arm:
    return Lcam(self.momentum, self.momentum)

  @property
  def mean_momentum(self) -> float:
    return self.momentum

  def tuned(self, learning_rate, momentum=None, weight_decay=None) -> Arm:
    return self if momentum is None else dataclasses.replace(self, momentum=momentum)

  def build(self, setting: Setting) -> optax.GradientTransformationExtraArgs:
    return self.general.build(setting)


@dataclasses.dataclass(frozen=True)
class Pair(Arm):
  """An arm with two momenta, low before high."""

  low_loss_momentum: float
  high_loss_momentum: float

  @property
  def momenta(self) -> tuple[float, float]:
    """The momenta of the low-loss and of the high-loss phase."""
    return self.low_loss_momentum, self.high_loss_momentum

  @property
  def mean_momentum(self) -> float | None:
    return sum(self.momenta) / 2

  def tuned(self, learning_rate, momentum=None, weight_decay=None) -> Arm:
    if momentum is None:
      return self
    half = (self.high_loss_momentum - self.low_loss_momentum) / 2
    return dataclasses.replace(
      self, low_loss_momentum=momentum - half, high_loss_momentum=momentum + half
    )

  @property
  def name(self) -> str:
    return f'{self.kind}{self.low_loss_momentum:g}-{self.high_loss_momentum:g}'

  @property
  def program(self) -> Any:
    return self.kind

  def _injected(self, optimizer: Callable, setting: Setting, **further: Any):
    """Returns ``optimizer(learning_rate, high_loss_momentum, low_loss_momentum, **further)``."""
    rate = setting.learning_rate()
    numbers = rate, self.high_loss_momentum, self.low_loss_momentum
    return setting.coupled(optax.inject_hyperparams(optimizer)(*numbers, **further))


@dataclasses.dataclass(frozen=True)
class Lcam(Pair):
  """LCAM: the loss chooses the momentum."""

  kind: ClassVar[str] = 'lcam'

  @property
  def name(self) -> str:
    return f'low{self.low_loss_momentum:g}-high{self.high_loss_momentum:g}'

  def build(self, setting: Setting) -> optax.GradientTransformationExtraArgs:
    return self._injected(lcam, setting, **setting.phases)


@dataclasses.dataclass(frozen=True)
class Coin(Pair):
  """A control: a coin chooses LCAM's momenta, as often as the losses would."""

  kind: ClassVar[str] = 'coin'

  def build(self, setting: Setting) -> optax.GradientTransformationExtraArgs:
    return self._injected(_coin, setting, **setting.phases, coin_seed=setting.seed)


# The names of the arguments are those of the hyperparameters in the state.
def _coin(learning_rate, high_loss_momentum, low_loss_momentum, steps_per_epoch, rule, coin_seed):
  tracker = coin_tracker(coin_seed, steps_per_epoch=steps_per_epoch, rule=rule)
  return _momentum_sgd(tracker, learning_rate, high_loss_momentum, low_loss_momentum)


def _momentum_sgd(tracker, learning_rate, high_loss_momentum, low_loss_momentum):
  return optax.chain(
    scale_by_phase(tracker, high_loss_momentum, low_loss_momentum),
    optax.scale_by_learning_rate(learning_rate),
  )


@dataclasses.dataclass(frozen=True)
class Yoked(Pair):
  """A control: the sequence of momenta that the LCAM run of another seed had.

  It has LCAM's schedule of momenta, warm-up included, independent of its own losses.
  """

  kind: ClassVar[str] = 'yoked'

  @property
  def partner(self) -> Lcam:
    """The arm whose phases it replays."""
    return Lcam(*self.momenta)

  def build(self, setting: Setting) -> optax.GradientTransformationExtraArgs:
    phases = setting.partner_phases
    if phases is None:  # when a program is compiled, phases are not known yet
      phases = jnp.zeros(setting.epochs * setting.steps_per_epoch, jnp.int8)
    tracker = replay_tracker(phases, rule=setting.rule)
    return self._injected(functools.partial(_momentum_sgd, tracker), setting)


@dataclasses.dataclass(frozen=True)
class Weighted(Arm):
  """SGD with one momentum, with examples weighted by :func:`lcam_optax.loss_phase_weights`.

  The training step finds the strength in the optimizer's state. Below 0, easy examples count more.

  Raises:
    UserError: If the strength is 0, or so large that an example could count less than nothing.
  """

  strength: float
  momentum: float = 0.9
  kind: ClassVar[str] = 'weighted'
  program: ClassVar[str] = 'weighted'

  def __post_init__(self):
    if not 0 < abs(self.strength) <= 0.5:
      raise UserError(
        f'The strength of an arm must be above 0 and at most 0.5, so that no example counts less than '
        f'nothing, not {abs(self.strength):g}.'
      )

  @property
  def name(self) -> str:
    return f'{"easy" if self.strength < 0 else "hard"}-{abs(self.strength):g}'

  @property
  def mean_momentum(self) -> float:
    return self.momentum

  def tuned(self, learning_rate, momentum=None, weight_decay=None) -> Arm:
    return self if momentum is None else dataclasses.replace(self, momentum=momentum)

  def build(self, setting: Setting) -> optax.GradientTransformationExtraArgs:
    injected = optax.inject_hyperparams(_with_strength)
    numbers = setting.learning_rate(), self.momentum
    return setting.coupled(injected(*numbers, **setting.phases, loss_phase_strength=self.strength))


# The state keeps the strength, which is for the training step; `momentum` is a field of LCAM's own.
def _with_strength(learning_rate, fixed_momentum, steps_per_epoch, rule, loss_phase_strength):
  del loss_phase_strength
  pair = fixed_momentum, fixed_momentum
  return lcam(learning_rate, *pair, steps_per_epoch=steps_per_epoch, rule=rule)


@dataclasses.dataclass(frozen=True)
class Adaptive(Arm):
  """An optimizer of Optax with its usual settings: a row of the table below.

  If ``weight_decay`` is one of the settings, the optimizer decays weights itself; otherwise the
  comparison's weight decay is added to the gradient.
  """

  name: str
  kind: str
  optimizer: Callable[..., optax.GradientTransformation]
  settings: tuple[tuple[str, float], ...]  # its arguments, the first learning rate included

  def __post_init__(self):
    if 'learning_rate' not in dict(self.settings):
      raise UserError(f'The settings of the arm {self.name} must include its learning_rate.')

  @property
  def learning_rate(self) -> float:
    return dict(self.settings)['learning_rate']

  def with_settings(self, **changes: float) -> 'Adaptive':
    """Returns the arm with other values of some settings."""
    return dataclasses.replace(self, settings=tuple({**dict(self.settings), **changes}.items()))

  def tuned(self, learning_rate, momentum=None, weight_decay=None) -> 'Adaptive':
    if momentum is not None and 'b1' not in dict(self.settings):
      super().tuned(learning_rate, momentum)  # which raises an error
    numbers = {'learning_rate': learning_rate, 'b1': momentum, 'weight_decay': weight_decay}
    known = dict(self.settings).keys()
    return self.with_settings(
      **{name: value for name, value in numbers.items() if value is not None and name in known}
    )

  def config(self) -> dict[str, Any]:
    amsgrad = {'amsgrad': self.optimizer is optax.amsgrad} if self.kind == 'adam' else {}
    return {'name': self.name, 'kind': self.kind, **dict(self.settings), **amsgrad}

  def build(self, setting: Setting, **replaced: Any) -> optax.GradientTransformationExtraArgs:
    settings = {**dict(self.settings), **replaced}
    rate = setting.learning_rate(settings.pop('learning_rate'))
    decays = 'weight_decay' in settings
    masked = {'mask': setting.decayed} if decays and setting.decayed else {}
    injected = optax.inject_hyperparams(self.optimizer, static_args=tuple(masked))
    optimizer = injected(learning_rate=rate, **settings, **masked)
    return optimizer if decays else setting.coupled(optimizer)


def _adaptive(name: str, optimizer: Callable, *, kind: str = '', **settings: float) -> Adaptive:
  return Adaptive(name, kind or name, optimizer, tuple(settings.items()))


_ADAM = {'learning_rate': 1e-3, 'b1': 0.9, 'b2': 0.999}
_ADAMW = {'learning_rate': 1e-3, 'weight_decay': 0.05, 'b1': 0.9, 'b2': 0.999}
ADAM = _adaptive('adam', optax.adam, **_ADAM)
LION = _adaptive('lion', optax.lion, learning_rate=1e-4, weight_decay=0.5, b1=0.9, b2=0.99)
ADAPTIVE: tuple[Arm, ...] = (
  ADAM,
  _adaptive('adamw', optax.adamw, **_ADAMW),
  _adaptive('amsgrad', optax.amsgrad, kind='adam', **_ADAM),
  _adaptive('rmsprop', optax.rmsprop, learning_rate=1e-3, decay=0.9),
  _adaptive('adagrad', optax.adagrad, learning_rate=1e-2),
  LION,
)
# Adam with a second, slow average of the gradients.
ADEMAMIX = _adaptive('ademamix', optax.contrib.ademamix, **_ADAMW, b3=0.9999, alpha=5.0)


@dataclasses.dataclass(frozen=True)
class ByPhase(Pair):
  """An optimizer of the table, its ``b1`` chosen by the loss phase."""

  base: Adaptive

  @property
  def kind(self) -> str:
    return f'{self.base.kind}-by-phase'

  @property
  def name(self) -> str:
    return f'{self.base.name}-{Lcam(*self.momenta).name}'

  @property
  def program(self) -> Any:
    return self  # the two values of b1 are constants of the program

  @property
  def learning_rate(self) -> float:
    return self.base.learning_rate

  @property
  def mean_momentum(self) -> None:
    return None  # Adam's trace is a mean

  def tuned(self, learning_rate, momentum=None, weight_decay=None) -> Arm:
    changed = super().tuned(learning_rate, momentum)
    return dataclasses.replace(changed, base=self.base.tuned(learning_rate, None, weight_decay))

  def config(self) -> dict[str, Any]:
    config = {**super().config(), **dict(self.base.settings)}
    return {name: value for name, value in config.items() if name not in ('base', 'b1')}

  def build(self, setting: Setting) -> optax.GradientTransformationExtraArgs:
    low, high = self.momenta
    return self.base.build(setting, b1=loss_phase_schedule(high, low, **setting.phases))


@dataclasses.dataclass(frozen=True)
class Momo(Arm):
  """``optax.contrib.momo``: SGD with momentum whose step the loss bounds.

  The schedule gives the upper bound of its learning rate.
  """

  beta: float = 0.9
  lower_bound: float = 0.0
  kind: ClassVar[str] = 'momo'

  @property
  def mean_momentum(self) -> float:
    return self.beta

  def tuned(self, learning_rate, momentum=None, weight_decay=None) -> Arm:
    return self if momentum is None else dataclasses.replace(self, beta=momentum)

  def build(self, setting: Setting) -> optax.GradientTransformationExtraArgs:
    if setting.decayed:
      raise UserError('it decays all parameters or none: leave weight_decay_of or the arm out.')
    # It averages gradients instead of adding them up, which scales them by 1 - beta.
    bound = setting.learning_rate(setting.first_rate / (1 - self.beta))
    decay = setting.weight_decay
    momo = optax.inject_hyperparams(optax.contrib.momo)
    return momo(bound, beta=self.beta, lower_bound=self.lower_bound, weight_decay=decay)


@dataclasses.dataclass(frozen=True)
class ScheduleFreeSgd(Arm):
  """``optax.contrib.schedule_free_sgd``: a constant rate after a warm-up, evaluated at an average.

  The rate is the schedule's first value divided by ``1 - b1``, as in SGD with momentum ``b1``.
  Batch statistics are those of the trained parameters, not of the average.
  """

  b1: float = 0.9  # how far the trained parameters are pulled to the average
  warmup: float = 0.05  # the share of all steps in which the rate rises from zero
  kind: ClassVar[str] = 'schedule-free-sgd'

  @property
  def mean_momentum(self) -> float:
    return self.b1

  def tuned(self, learning_rate, momentum=None, weight_decay=None) -> Arm:
    return self if momentum is None else dataclasses.replace(self, b1=momentum)

  def build(self, setting: Setting) -> optax.GradientTransformationExtraArgs:
    steps = max(1, round(self.warmup * setting.epochs * setting.steps_per_epoch))
    rate = setting.first_rate / (1 - self.b1)
    static = ('warmup_steps', 'b1')
    injected = optax.inject_hyperparams(optax.contrib.schedule_free_sgd, static_args=static)
    return setting.coupled(injected(rate, warmup_steps=steps, b1=self.b1))

  def evaluation_params(self, opt_state: optax.OptState, params: optax.Params) -> optax.Params:
    (found,) = (state for _, state in optax.tree.get_all_with_path(opt_state, 'ScheduleFreeState'))
    return optax.contrib.schedule_free_eval_params(found, params)


@dataclasses.dataclass(frozen=True)
class Optax(Arm):
  """An optimizer of your own, built from the learning rate; the tables show the rate that it gets.

  The comparison's weight decay is not added: only what the function builds decays weights. The
  optimizer may take further arguments, as ``value``, the loss of the batch.

  Attributes:
    name: Its name.
    optimizer: ``function(learning_rate) -> optax.GradientTransformation``. It gets a schedule, as the
      optimizers of Optax take it, also inside ``optax.inject_hyperparams``; or at each step a number,
      if it raises a ``TypeError`` for the schedule because it computes with the rate.
    learning_rate: Its own first learning rate; None for the schedule's.

  Example:
    >>> Optax('my adamw', lambda rate: optax.adamw(rate, weight_decay=1e-3), learning_rate=1e-3).name
    'my adamw'
  """

  name: str
  optimizer: Callable[[Any], optax.GradientTransformation]
  learning_rate: float | None = None
  kind: ClassVar[str] = 'optax'

  def __post_init__(self):
    if not callable(self.optimizer):
      raise UserError(
        f'The optimizer of the arm {self.name} must be a function of the learning rate, such as '
        f'`lambda learning_rate: optax.adamw(learning_rate)`, not a {type(self.optimizer).__name__}.'
      )

  def tuned(self, learning_rate, momentum=None, weight_decay=None) -> Arm:
    if weight_decay is not None:
      raise UserError(
        f'The arm {self.name} decays weights itself, if at all: leave weight_decay out of --tune.'
      )
    return super().tuned(learning_rate, momentum)

  def build(self, setting: Setting) -> optax.GradientTransformationExtraArgs:
    rate = setting.learning_rate(self.learning_rate)
    try:
      optimizer = self.optimizer(rate)
    except TypeError:
      return self._of_numbers(rate)
    if isinstance(optimizer, optax.MultiSteps):
      optimizer = optimizer.gradient_transformation()
    if not isinstance(optimizer, optax.GradientTransformation):
      return optimizer  # the comparison says what is wrong
    return optax.chain(optax.inject_hyperparams(_tells)(learning_rate=rate), optimizer)

  def _of_numbers(self, rate: optax.Schedule) -> optax.GradientTransformationExtraArgs:
    injected = optax.inject_hyperparams(lambda learning_rate: self.optimizer(learning_rate))(rate)

    def init(params: optax.Params) -> Any:
      state = injected.init(params)
      if optax.tree.get_all_with_path(state.inner_state, 'hyperparams'):
        raise UserError(
          f'The arm {self.name} gives inject_hyperparams a number, which would never change: give it '
          'the learning rate as it is, which is a schedule.'
        )
      return state

    return optax.GradientTransformationExtraArgs(init, injected.update)


def _tells(learning_rate):
  """Keeps the learning rate in the state, and changes no gradient."""
  del learning_rate
  return optax.identity()


@dataclasses.dataclass(frozen=True)
class BestOf(Arm):
  """Several arms, of which ``tune`` takes the one that is best on validation data.

  Attributes:
    variants: The arms.

  Raises:
    UserError: If there are fewer than two.

  Example:
    >>> BestOf((Lcam(0.9, 0.95), Lcam(0.95, 0.9))).name
    'low0.9-high0.95+low0.95-high0.9'
  """

  variants: tuple[Arm, ...]
  kind: ClassVar[str] = 'best-of'

  def __post_init__(self):
    if len(self.variants) < 2:
      raise UserError('The best of several arms needs two arms or more, as fixed-0.5+fixed-0.9.')

  @property
  def name(self) -> str:
    return '+'.join(arm.name for arm in self.variants)

  def build(self, setting: Setting) -> optax.GradientTransformationExtraArgs:
    raise UserError('validation data choose its arm: use it with `python -m train tune`.')


def learning_rate_in(opt_state: optax.OptState) -> Any:
  """Returns the first learning rate that ``inject_hyperparams`` keeps; None without one."""
  for _, hyperparams in optax.tree.get_all_with_path(opt_state, 'hyperparams'):
    if 'learning_rate' in hyperparams:
      return hyperparams['learning_rate']
  return None


OTHERS: tuple[Arm, ...] = (*ADAPTIVE, ADEMAMIX, Momo(), ScheduleFreeSgd())

_NUMBER = r'(\d*\.?\d+)'
_PATTERNS: dict[str, Callable[..., Arm]] = {
  rf'fixed-{_NUMBER}': Fixed,
  rf'low{_NUMBER}-high{_NUMBER}': Lcam,
  rf'coin{_NUMBER}-{_NUMBER}': Coin,
  rf'yoked{_NUMBER}-{_NUMBER}': Yoked,
  rf'easy-{_NUMBER}': lambda strength: Weighted(-strength),
  rf'hard-{_NUMBER}': Weighted,
  rf'adam-low{_NUMBER}-high{_NUMBER}': functools.partial(ByPhase, base=ADAM),
  rf'lion-low{_NUMBER}-high{_NUMBER}': functools.partial(ByPhase, base=LION),
}
_EXAMPLES = ('fixed-0.9', 'low0.9-high0.95', 'coin0.9-0.95', 'yoked0.9-0.95', 'easy-0.475')
ARM_FORMS = (
  'fixed-M, lowA-highB, coinA-B, yokedA-B, adam-lowA-highB, lion-lowA-highB (momenta M, A, B in '
  '[0, 1)), easy-S, hard-S (strength S above 0 and at most 0.5), several joined by + (the best of them, '
  'for `tune`), '
  f'{", ".join(arm.name for arm in OTHERS)}'
)


def arm_of_name(name: str) -> Arm:
  """Returns the arm with a name; raises a ``UserError`` that lists the names if there is none.

  Example:
    >>> arm_of_name('yoked0.9-0.95')
    Yoked(low_loss_momentum=0.9, high_loss_momentum=0.95)
  """
  for arm in OTHERS:
    if arm.name == name:
      return arm
  for pattern, make in _PATTERNS.items():
    if match := re.fullmatch(pattern, name):
      numbers = [float(number) for number in match.groups()]
      if max(numbers) >= 1:
        raise UserError(
          f'The arm {name} has a number that is not in [0, 1): choose from {ARM_FORMS}.'
        )
      return make(*numbers)
  if '+' in name:
    return BestOf(tuple(map(arm_of_name, name.split('+'))))
  named = [*(arm.name for arm in OTHERS), *_EXAMPLES]
  raise UserError(f'There is no arm {name!r}{did_you_mean(name, named)}: choose from {ARM_FORMS}.')
