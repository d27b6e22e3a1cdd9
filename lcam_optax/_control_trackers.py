"""Control runs of LCAM: its two momenta, with phases that are independent of the run's own losses."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike

from lcam_optax._checks import check_phases, check_rule, checked_steps_per_epoch
from lcam_optax._loss_phase import RULES, LossPhaseState, PhaseTracker, Rule, loss_phase_tracker

_COIN = 2**31  # keeps the keys of the tosses apart from others that are folded from the same seed


class CoinState(NamedTuple):
  """State of :func:`coin_tracker`.

  Attributes:
    observed: The fields of the :class:`LossPhaseState` of this run's losses, as a plain tuple, in
      which ``optax.tree.get`` finds no names.
    high_share: The recent share of high losses, which is the probability of a high phase; shape (),
      float.
    step: The number of updates so far; shape (), int32.
    high_loss_phase: 1 if the phase of the last update was high, else 0; shape (), int32.
  """

  observed: tuple
  high_share: jax.Array
  step: jax.Array
  high_loss_phase: jax.Array


def coin_tracker(
  seed: ArrayLike, *, steps_per_epoch: ArrayLike, rule: Rule = 'algorithm1'
) -> PhaseTracker:
  """Draws each phase at random, as often high as the losses are.

  The probability of a high phase is the share of this run's losses that were high: of all so far in
  the first epoch, then of about the last epoch (an exponential average). So the momenta are mixed
  as LCAM would mix them, but the loss of a step does not affect its phase. If LCAM is no better
  than this control, it is not the loss of each batch that helps.

  Args:
    seed: An integer; each seed has its own sequence of phases.
    steps_per_epoch: The number of updates in an epoch; see :func:`lcam_optax.lcam`.
    rule: The rule of the LCAM that it is a control for; see :func:`lcam_optax.lcam`.

  Returns:
    A tracker for :func:`lcam_optax.scale_by_phase`, whose state is a :class:`CoinState` and whose
    ``update`` needs a scalar loss.

  Raises:
    ValueError: As :func:`lcam_optax.loss_phase_tracker`.

  Example:
    >>> import jax, optax
    >>> from lcam_optax import scale_by_phase
    >>> solver = optax.chain(
    ...   scale_by_phase(coin_tracker(0, steps_per_epoch=100), 0.95, 0.5),
    ...   optax.scale_by_learning_rate(0.1),
    ... )
    >>> def step(state, loss):
    ...   updates, state = solver.update(1.0, state, value=loss)
    ...   return state, optax.tree.get(state, 'high_loss_phase')
    >>> losses = jax.random.exponential(jax.random.key(0), (1000,))  # high in 37 % of the steps
    >>> _, phases = jax.lax.scan(step, solver.init(1.0), losses)
    >>> bool(0.3 < phases.mean() < 0.44)
    True
  """
  steps_per_epoch = checked_steps_per_epoch(steps_per_epoch)
  watcher = loss_phase_tracker(steps_per_epoch=steps_per_epoch, rule=rule)

  def init() -> CoinState:
    return CoinState(
      observed=tuple(watcher.init()),
      high_share=jnp.full([], 0.5, float),
      step=jnp.zeros([], jnp.int32),
      high_loss_phase=jnp.zeros([], jnp.int32),
    )

  def update(state: CoinState, loss: ArrayLike) -> tuple[jax.Array, CoinState]:
    key = jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), _COIN), state.step)
    phase = jax.random.bernoulli(key, state.high_share).astype(jnp.int32)
    _, observed = watcher.update(LossPhaseState(*state.observed), loss)
    # The share starts as if two losses, one high and one low, had preceded the first.
    weight = jnp.maximum(1 / (state.step + 3), 1 / steps_per_epoch)
    high = observed.high_loss_phase.astype(state.high_share.dtype)
    share = state.high_share + weight * (high - state.high_share)
    step = jnp.asarray(optax.safe_increment(state.step))
    return phase, CoinState(tuple(observed), share, step, phase)

  return PhaseTracker(init, update)


class ReplayState(NamedTuple):
  """State of :func:`replay_tracker`.

  Attributes:
    phases: The phase of every step of the other run; shape (steps,), int8.
    step: The number of updates so far; shape (), int32.
    high_loss_phase: The phase of the last step of the other run that was replayed, 0 or 1; shape
      (), int32.
  """

  phases: jax.Array
  step: jax.Array
  high_loss_phase: jax.Array


def replay_tracker(phases: ArrayLike, *, rule: Rule = 'algorithm1') -> PhaseTracker:
  """Replays the phases of another run.

  A *yoked* run has the momenta of the LCAM run of another seed, in the same order: LCAM's schedule
  of momenta, independent of its own losses. If LCAM is better than fixed momentum, but not better
  than its yoked run, it is the schedule that helps.

  Args:
    phases: For every step of the other run, ``optax.tree.get(state, 'high_loss_phase')`` after it:
      1 if its loss was in the high-loss phase, else 0; integers or booleans, shape (steps,). They
      are part of the state, so that runs with different phases share a compiled program.
    rule: The rule of the other run; see :func:`lcam_optax.lcam`.

  Returns:
    A tracker for :func:`lcam_optax.scale_by_phase`, whose state is a :class:`ReplayState` and whose
    ``update`` ignores the loss. After its last step the other run's last phase is repeated.

  Raises:
    ValueError: If the phases have another shape or dtype, or the rule is unknown.

  Example:
    >>> import optax
    >>> from lcam_optax import scale_by_phase
    >>> replay = replay_tracker([0, 0, 1, 0])
    >>> solver = optax.chain(scale_by_phase(replay, 0.95, 0.5), optax.scale_by_learning_rate(0.1))
    >>> state = solver.init(1.0)
    >>> for _ in range(4):
    ...   updates, state = solver.update(1.0, state)
    ...   print(round(float(optax.tree.get(state, 'momentum')), 2))
    0.95
    0.5
    0.5
    0.95
  """
  check_rule(rule, RULES)
  previous_loss_decides, tie_is_high = RULES[rule]
  phases = jnp.asarray(phases)
  check_phases(phases)
  phases = phases.astype(jnp.int8)

  def init() -> ReplayState:
    return ReplayState(phases, jnp.zeros([], jnp.int32), jnp.asarray(tie_is_high, jnp.int32))

  def update(state: ReplayState, loss: ArrayLike) -> tuple[jax.Array, ReplayState]:
    del loss
    phase = state.phases[state.step].astype(jnp.int32)
    step = jnp.asarray(optax.safe_increment(state.step))
    used = state.high_loss_phase if previous_loss_decides else phase
    return used, ReplayState(state.phases, step, phase)

  return PhaseTracker(init, update)
