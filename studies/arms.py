"""Defines the arms of a study: where the phase comes from, and what it sets."""

import dataclasses
from typing import Any, ClassVar, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax

from lcam_optax import PhaseTracker, lcam, loss_phase_tracker, replay_tracker, scale_by_phase
from studies.network import losses
from studies.problems import Problem
from train import arms
from train.data.randomness import epoch_order
from train.problem.arms import Setting

Number = jax.typing.ArrayLike

# 'weights' is the theory in its purest form: a fixed momentum and weighted gradients.
Rule = Literal[
  'sgd', 'equation9', 'algorithm1', 'weights', 'momo', 'adam', 'examples', 'clip', 'decay', 'tilt'
]
Signal = Literal['own', 'other', 'difference']


@dataclasses.dataclass(frozen=True)
class Arm:
  """A kind of run.

  Attributes:
    name: Its name in tables.
    signal: The number that decides the phase: the loss of the batch ('own'), the loss of an
      independent batch with the same weights ('other'), or the difference ('difference').
    partner: The arm whose phases are replayed, from the run of the next seed; None to decide by the
      signal.
  """

  name: str
  signal: Signal = 'own'
  partner: str | None = None


class Numbers(NamedTuple):
  """The numbers of an optimizer; all may be traced, so that cells share compiled programs.

  Attributes:
    learning_rate: The learning rate.
    high_loss_momentum: The momentum in the high-loss phase.
    low_loss_momentum: The momentum in the low-loss phase.
  """

  learning_rate: Number
  high_loss_momentum: Number
  low_loss_momentum: Number


@dataclasses.dataclass(frozen=True)
class Optimizer(arms.Arm):
  """An optimizer of a study, for the trainer, which trains those that differ in ``numbers`` at once.

  Attributes:
    rule: See :func:`make_optimizer`.
    numbers: Learning rate and momenta, floats.
    replays: Whether it replays the phases that a run is started with.
    restart: The number of updates after which the mean of the losses restarts; None is every epoch.
    decays: Whether the learning rate decays to zero as a cosine, instead of being constant.
    strength: The third number of a rule that has one.
    signal: See :class:`Arm`.
    problem: Where an independent batch comes from.
  """

  rule: Rule
  numbers: Numbers
  replays: bool = False
  restart: int | None = None
  decays: bool = False
  strength: float = 0.0
  signal: Signal = 'own'
  problem: Problem | None = None
  kind: ClassVar[str] = 'study'

  def build(self, setting: Setting) -> optax.GradientTransformationExtraArgs:
    """Returns the optimizer; its state has the losses of all batches, ``batch_losses``."""
    steps = setting.epochs * setting.steps_per_epoch
    numbers, phases = self.numbers, None
    if self.decays:
      schedule = optax.cosine_decay_schedule(numbers.learning_rate, steps)
      numbers = numbers._replace(learning_rate=schedule)
    if self.replays:  # they are in the state; when a program is compiled, they are not known yet
      known = setting.partner_phases
      phases = jnp.zeros(steps, jnp.int8) if known is None else known
    restart = self.restart or setting.steps_per_epoch
    optimizer = make_optimizer(self.rule, restart, numbers, phases, self.strength)
    if self.signal != 'own':
      assert self.problem is not None
      optimizer = _of_others(optimizer, self.signal, self.problem, setting)
    return optax.chain(_keep_losses(steps), optimizer)


def make_optimizer(
  rule: Rule,
  steps_per_epoch: int,
  numbers: Numbers,
  phases: jax.Array | None = None,
  strength: Number = 0.0,
) -> optax.GradientTransformationExtraArgs:
  """Returns LCAM, or an optimizer that it is compared with.

  Args:
    rule: See :func:`lcam_optax.lcam`; with 'weights' the momentum is the mean of the two, and the
      gradient is weighted as in the theory of 'algorithm1'. All others use the first momentum:
      'sgd'; 'momo'; 'adam'; and SGD that weighs the examples of a batch ('examples', the strength of
      :func:`lcam_optax.loss_phase_weights`), clips the norm of the gradient ('clip', at the strength),
      decays weights ('decay', by the strength), or divides the gradient by the tilted mean of
      :func:`tilt` ('tilt').
    steps_per_epoch: The number of updates after which the mean of the losses restarts.
    numbers: Learning rate and momenta.
    phases: The phase of every step, to replay; None to decide by the loss.
    strength: The third number of a rule that has one.

  Returns:
    A transformation whose ``update`` needs ``value``.
  """
  learning_rate, high, low = numbers
  if rule == 'sgd':
    return optax.with_extra_args_support(optax.sgd(learning_rate, high))
  if rule == 'momo':
    return optax.contrib.momo(learning_rate, high)
  if rule == 'adam':
    return optax.with_extra_args_support(optax.adam(learning_rate, high))
  if rule in ('examples', 'clip', 'decay', 'tilt'):
    first = {
      'examples': weigh_examples,
      'clip': optax.clip_by_global_norm,
      'decay': optax.add_decayed_weights,
      'tilt': tilt,
    }[rule]
    return optax.chain(first(strength), optax.sgd(learning_rate, high))
  if rule == 'weights':
    tracker = (
      loss_phase_tracker(steps_per_epoch=steps_per_epoch, rule='equation9')
      if phases is None
      else replay_tracker(phases, rule='equation9')
    )
    return optax.chain(
      weigh_by_phase(tracker, (high - low) / 2, steps_per_epoch),
      optax.sgd(learning_rate, (high + low) / 2),
    )
  if phases is None:
    return lcam(learning_rate, high, low, steps_per_epoch=steps_per_epoch, rule=rule)
  return optax.chain(
    scale_by_phase(replay_tracker(phases, rule=rule), high, low),
    optax.scale_by_learning_rate(learning_rate),
  )


class WeighState(NamedTuple):
  """State of :func:`weigh_by_phase`.

  Attributes:
    phase: The state of the tracker.
    mean: The mean of the signs, +1 or -1, over about the last epoch.
  """

  phase: tuple
  mean: jax.Array


def weigh_by_phase(
  tracker: PhaseTracker, strength: Number, memory: int
) -> optax.GradientTransformationExtraArgs:
  """Multiplies gradients by ``1 + strength * (s - mean s)``, ``s`` +1 in the high phase, else -1.

  Args:
    tracker: Determines the phase of each update.
    strength: Half the difference of two momenta.
    memory: The approximate number of updates before this one over which ``s`` is averaged.

  Returns:
    A transformation whose ``update`` passes ``value`` to the tracker.
  """

  def init_fn(params):
    del params
    return WeighState(tracker.init(), jnp.zeros([]))

  def update_fn(updates, state, params=None, *, value, **extra_args):
    del params, extra_args
    phase, tracked = tracker.update(state.phase, value)
    deviation = 2.0 * phase - 1 - state.mean
    weighed = optax.tree.scale(1 + strength * deviation, updates)
    return weighed, WeighState(tracked, state.mean + deviation / memory)

  return optax.GradientTransformationExtraArgs(init_fn, update_fn)


class ExamplesState(NamedTuple):
  """State that asks the training step of the trainer to weigh the examples of a batch.

  Attributes:
    loss_phase_strength: The strength of :func:`lcam_optax.loss_phase_weights`.
  """

  loss_phase_strength: jax.Array


def weigh_examples(strength: Number) -> optax.GradientTransformation:
  """Asks the training step to weigh examples; changes no updates itself."""

  def init_fn(params):
    del params
    return ExamplesState(jnp.asarray(strength, jnp.float32))

  return optax.GradientTransformation(init_fn, lambda updates, state, params=None: (updates, state))


class TiltState(NamedTuple):
  """State of :func:`tilt`.

  Attributes:
    mean: The mean of ``exp(t * loss)``, exponentially decayed, not yet corrected for its start.
    weight: The total weight of what it is a mean of.
  """

  mean: jax.Array
  weight: jax.Array


def tilt(t: Number, decay: float = 0.9) -> optax.GradientTransformationExtraArgs:
  """Turns the gradient of the mean of ``(exp(t * loss) - 1) / t`` into that of tilted training.

  The gradient of ``log(mean(exp(t * loss))) / t`` is that gradient divided by ``mean(exp(t * loss))``,
  which batches estimate by a running mean.

  Args:
    t: The tilt; below 0, examples with a high loss count less.
    decay: What is left of the mean's weights after a batch.

  Returns:
    A transformation whose ``update`` needs ``value``, the mean of ``(exp(t * loss) - 1) / t``.

  References:
    Li, Beirami, Sanjabi and Smith, Tilted Empirical Risk Minimization, ICLR 2021, algorithm 2.
  """

  def init_fn(params):
    del params
    return TiltState(jnp.zeros([]), jnp.zeros([]))

  def update_fn(updates, state, params=None, *, value, **extra_args):
    del params, extra_args
    mean = decay * state.mean + (1 - decay) * (1 + t * value)
    weight = decay * state.weight + 1 - decay
    return optax.tree.scale(weight / mean, updates), TiltState(mean, weight)

  return optax.GradientTransformationExtraArgs(init_fn, update_fn)


class OthersState(NamedTuple):
  """State of an optimizer that learns the losses of independent batches.

  Attributes:
    rows: The rows of each batch.
    step: The number of the next batch.
    optimizer: The state of the optimizer.
  """

  rows: jax.Array
  step: jax.Array
  optimizer: Any


def _of_others(
  optimizer: optax.GradientTransformationExtraArgs,
  signal: Signal,
  problem: Problem,
  setting: Setting,
) -> optax.GradientTransformationExtraArgs:
  """Gives an optimizer the loss of an independent batch, or the excess over it, as its value."""
  examples = problem.load()
  inputs, labels = jnp.asarray(examples.inputs), jnp.asarray(examples.labels)

  def init_fn(params):
    # The independent batches are those of later epochs, which are never trained.
    epochs = range(setting.epochs, 2 * setting.epochs)
    orders = jnp.stack([epoch_order(setting.seed, epoch, len(labels)) for epoch in epochs])
    rows = orders.reshape(setting.epochs * setting.steps_per_epoch, -1)
    return OthersState(rows, jnp.zeros([], jnp.int32), optimizer.init(params))

  def update_fn(updates, state, params=None, *, value, **extra_args):
    assert params is not None
    rows = state.rows[state.step]
    other = losses(params['layers'], inputs[rows], labels[rows]).mean()
    value = other if signal == 'other' else value - other
    updates, inner = optimizer.update(updates, state.optimizer, params, value=value, **extra_args)
    return updates, OthersState(state.rows, state.step + 1, inner)

  return optax.GradientTransformationExtraArgs(init_fn, update_fn)


class LossesState(NamedTuple):
  """State that keeps the losses of all batches.

  Attributes:
    batch_losses: The loss of each step so far.
    step: The number of steps.
  """

  batch_losses: jax.Array
  step: jax.Array


def _keep_losses(steps: int) -> optax.GradientTransformationExtraArgs:
  """Keeps the values; changes no updates."""

  def init_fn(params):
    del params
    return LossesState(jnp.zeros(steps), jnp.zeros([], jnp.int32))

  def update_fn(updates, state, params=None, *, value, **extra_args):
    del params, extra_args
    return updates, LossesState(state.batch_losses.at[state.step].set(value), state.step + 1)

  return optax.GradientTransformationExtraArgs(init_fn, update_fn)
