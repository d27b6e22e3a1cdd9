"""The control for momentum noise: the two momenta of LCAM, chosen by a coin and not by the loss."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from lcam_optax import LcamState, scale_by_lcam
from train.data import coin_key


class CoinState(NamedTuple):
  """State of :func:`scale_by_coin`.

  Attributes:
    trace: The accumulated gradients.
    observed: The state of an LCAM that only watches the losses, as a plain tuple, so that its
      fields are not taken for these.
    high_share: The share of high losses lately; the chance of a high phase.
    step: Updates so far.
    high_loss_phase: The phase that the coin chose for the last update, 0 or 1.
    momentum: The momentum that the last update used.
  """

  trace: optax.Updates
  observed: tuple
  high_share: jax.Array
  step: jax.Array
  high_loss_phase: jax.Array
  momentum: jax.Array


def scale_by_coin(
  high_loss_momentum: jax.typing.ArrayLike,
  low_loss_momentum: jax.typing.ArrayLike,
  *,
  steps_per_epoch: jax.typing.ArrayLike,
  rule: str,
  coin_seed: jax.typing.ArrayLike,
) -> optax.GradientTransformationExtraArgs:
  """Accumulates gradients like LCAM, with phases that are independent of the loss.

  Each phase is drawn anew. High is as likely as this run's losses were high over about the last
  epoch (an exponential average), so that the momenta are mixed as LCAM would mix them; the loss of
  the step itself has no say. What LCAM does better than this is due to the loss, the rest to noise
  in the momentum.

  Args:
    high_loss_momentum: The momentum in the high phase.
    low_loss_momentum: The momentum in the low phase.
    steps_per_epoch: After how many updates the mean loss restarts; also the memory of the share.
    rule: On which side a tie is, see :func:`lcam_optax.lcam`.
    coin_seed: Determines the draws, with the number of the update.

  Returns:
    A transformation whose ``update`` needs ``value=loss``.
  """
  watcher = scale_by_lcam(0.0, 0.0, steps_per_epoch=steps_per_epoch, rule=rule)

  def init_fn(params):
    return CoinState(
      trace=optax.tree.zeros_like(params),
      observed=tuple(watcher.init(jnp.zeros([]))),
      high_share=jnp.full([], 0.5),
      step=jnp.zeros([], jnp.int32),
      high_loss_phase=jnp.zeros([], jnp.int32),
      momentum=jnp.asarray(low_loss_momentum, float),
    )

  def update_fn(updates, state, params=None, *, value, **extra_args):
    del params, extra_args
    key = coin_key(coin_seed, state.step)
    high = jax.random.bernoulli(key, state.high_share).astype(jnp.int32)
    momentum = jnp.where(high, high_loss_momentum, low_loss_momentum)
    trace = jax.tree.map(lambda g, t: g + momentum.astype(t.dtype) * t, updates, state.trace)
    _, observed = watcher.update(jnp.zeros([]), LcamState(*state.observed), value=value)
    return trace, CoinState(
      trace=trace,
      observed=tuple(observed),
      high_share=state.high_share + (observed.high_loss_phase - state.high_share) / steps_per_epoch,
      step=optax.safe_increment(state.step),
      high_loss_phase=high,
      momentum=momentum.astype(state.momentum.dtype),
    )

  return optax.GradientTransformationExtraArgs(init_fn, update_fn)
