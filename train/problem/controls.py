"""Controls: LCAM's two momenta, with phases that are independent of the run's own losses."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from lcam_optax import LossPhaseState, PhaseTracker, loss_phase_tracker
from train.data import coin_key


class CoinState(NamedTuple):
  """State of :func:`coin_tracker`."""

  # Of a tracker that only observes the losses; `optax.tree.get` finds no fields in a plain tuple.
  observed: tuple
  high_share: jax.Array  # the recent share of high losses: the probability of a high phase
  step: jax.Array  # the number of updates so far
  high_loss_phase: jax.Array  # of the last update, 0 or 1


def coin_tracker(
  *, steps_per_epoch: jax.typing.ArrayLike, rule: str, coin_seed: jax.typing.ArrayLike
) -> PhaseTracker:
  """Returns a tracker that draws each phase at random, for :func:`lcam_optax.scale_by_phase`.

  The probability of a high phase is the share of this run's losses that were high: of all so far in
  the first epoch, then of about the last epoch (an exponential average). So the momenta are mixed
  as LCAM would mix them, but the loss of a step does not affect its phase.
  """
  watcher = loss_phase_tracker(steps_per_epoch=steps_per_epoch, rule=rule)

  def init() -> CoinState:
    return CoinState(
      observed=tuple(watcher.init()),
      high_share=jnp.full([], 0.5, float),
      step=jnp.zeros([], jnp.int32),
      high_loss_phase=jnp.zeros([], jnp.int32),
    )

  def update(state: CoinState, loss: jax.typing.ArrayLike) -> tuple[jax.Array, CoinState]:
    high = jax.random.bernoulli(coin_key(coin_seed, state.step), state.high_share)
    _, observed = watcher.update(LossPhaseState(*state.observed), loss)
    # The share starts as if two losses, one high and one low, had preceded the first.
    weight = jnp.maximum(1 / (state.step + 3), 1 / steps_per_epoch)
    share = state.high_share + weight * (observed.high_loss_phase - state.high_share)
    phase = high.astype(jnp.int32)
    return phase, CoinState(tuple(observed), share, optax.safe_increment(state.step), phase)

  return PhaseTracker(init, update)


class ReplayState(NamedTuple):
  """State of :func:`replay_tracker`."""

  phases: jax.Array  # of every step of the other run; int8, 1 where its loss was high
  step: jax.Array  # the number of updates so far
  high_loss_phase: jax.Array  # of the last update, 0 or 1


def replay_tracker(phases: jax.typing.ArrayLike, *, rule: str) -> PhaseTracker:
  """Returns a tracker that replays another run's phases, for :func:`lcam_optax.scale_by_phase`.

  The phases are part of its state, so that runs with different ones share a compiled program. Both
  runs must have the same rule.
  """
  phases = jnp.asarray(phases, jnp.int8)
  previous_decides = rule == 'algorithm1'

  def init() -> ReplayState:
    return ReplayState(phases, jnp.zeros([], jnp.int32), jnp.asarray(previous_decides, jnp.int32))

  def update(state: ReplayState, loss: jax.typing.ArrayLike) -> tuple[jax.Array, ReplayState]:
    phase = state.phases[state.step].astype(jnp.int32)
    return state.high_loss_phase if previous_decides else phase, ReplayState(
      state.phases, optax.safe_increment(state.step), phase
    )

  return PhaseTracker(init, update)
