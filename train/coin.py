"""The control for momentum noise: the two momenta of LCAM, chosen by a coin and not by the loss."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from lcam_optax import LcamState, scale_by_lcam


class CoinState(NamedTuple):
  """State of :func:`scale_by_coin`.

  Attributes:
    trace: The accumulated gradients.
    observed: The state of an LCAM that only watches the losses, as a plain tuple, so that its
      fields are not taken for these.
    observed_high: How many of this epoch's losses were high.
    step: Updates so far.
    high_loss_phase: The phase that the coin chose for the last update, 0 or 1.
    momentum: The momentum that the last update used.
  """

  trace: optax.Updates
  observed: tuple
  observed_high: jax.Array
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

  Each phase is drawn anew. High is as likely as the losses of this run were high so far in this
  epoch, so that the momenta are mixed as LCAM would mix them; the loss of the step itself has no
  say. What LCAM does better than this is due to the loss, the rest to noise in the momentum.

  Args:
    high_loss_momentum: The momentum in the high phase.
    low_loss_momentum: The momentum in the low phase.
    steps_per_epoch: After how many updates the share of high losses is counted anew.
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
      observed_high=jnp.zeros([], jnp.int32),
      step=jnp.zeros([], jnp.int32),
      high_loss_phase=jnp.zeros([], jnp.int32),
      momentum=jnp.asarray(low_loss_momentum, float),
    )

  def update_fn(updates, state, params=None, *, value, **extra_args):
    del params, extra_args
    in_epoch = state.step % steps_per_epoch
    seen_high = jnp.where(in_epoch == 0, 0, state.observed_high)
    # Half a loss of each phase is added, so that the first draw of an epoch is an even one.
    share = (seen_high + 0.5) / (in_epoch + 1)
    key = jax.random.fold_in(jax.random.key(coin_seed), state.step)
    high = jax.random.bernoulli(key, share).astype(jnp.int32)
    momentum = jnp.where(high, high_loss_momentum, low_loss_momentum)
    trace = jax.tree.map(lambda g, t: g + momentum.astype(t.dtype) * t, updates, state.trace)
    _, observed = watcher.update(jnp.zeros([]), LcamState(*state.observed), value=value)
    return trace, CoinState(
      trace=trace,
      observed=tuple(observed),
      observed_high=seen_high + observed.high_loss_phase,
      step=optax.safe_increment(state.step),
      high_loss_phase=high,
      momentum=momentum.astype(state.momentum.dtype),
    )

  return optax.GradientTransformationExtraArgs(init_fn, update_fn)
