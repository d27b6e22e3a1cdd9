"""The optimizer of an arm."""

from typing import Any

import jax.numpy as jnp
import optax

from lcam_optax import hold_then_decay, lcam, step_drops
from train.coin import scale_by_coin
from train.experiments import Arm, Constant, Cosine, Drops, HoldThenDecay, Part


def make_schedule(
  schedule: Drops | HoldThenDecay | Cosine | Constant, epochs: int, steps_per_epoch: int
) -> optax.Schedule:
  """Returns a learning-rate schedule, stretched over a number of epochs."""
  match schedule:
    case Drops(init_value, after, factor):
      drop_epochs = sorted(max(1, round(share * epochs)) for share in after)
      return step_drops(init_value, steps_per_epoch, drop_epochs, factor)
    case HoldThenDecay(init_value, hold, last_factor):
      hold_epochs = round(hold * epochs)
      decays = (epochs - hold_epochs) * steps_per_epoch
      return hold_then_decay(init_value, steps_per_epoch, hold_epochs, last_factor ** (1 / decays))
    case Cosine(init_value):
      return optax.cosine_decay_schedule(init_value, epochs * steps_per_epoch)
    case Constant(init_value):
      return optax.constant_schedule(init_value)


def make_optimizer(
  part: Part, arm: Arm, steps_per_epoch: int
) -> optax.GradientTransformationExtraArgs:
  """Returns the optimizer of an arm.

  The momenta of LCAM and of the coin are arrays in its state, set by :func:`set_arm`: apart from
  them, arms of one method have the same optimizer and share compiled programs.
  """
  schedule = make_schedule(part.schedule, part.epochs, steps_per_epoch)
  if arm.learning_rate is not None:
    schedule = _scaled(schedule, arm.learning_rate / part.schedule.init_value)
  coupled = optax.add_decayed_weights(part.weight_decay)
  injected = optax.inject_hyperparams
  match arm.method:
    case 'lcam':
      return optax.chain(
        coupled, injected(lcam)(schedule, steps_per_epoch=steps_per_epoch, rule=part.rule)
      )
    case 'coin':
      return optax.chain(
        coupled,
        injected(_coin)(
          schedule, 0.9, 0.9, steps_per_epoch=steps_per_epoch, rule=part.rule, coin_seed=0
        ),
      )
    case 'adamw' | 'lion':
      return injected(getattr(optax, arm.method))(schedule, weight_decay=arm.weight_decay)
    case 'adam' | 'amsgrad' | 'rmsprop' | 'adagrad':
      return optax.chain(coupled, injected(getattr(optax, arm.method))(schedule))


def set_arm(opt_state: Any, arm: Arm, seed: int) -> Any:
  """Returns the state of the optimizer with the momenta of an arm and the coin of a seed."""
  if arm.method not in ('lcam', 'coin'):
    return opt_state
  coin = {'coin_seed': jnp.asarray(seed)} if arm.method == 'coin' else {}
  # With their dtype, as a step returns them: weak types would have the step compiled twice.
  return optax.tree.set(
    opt_state,
    high_loss_momentum=jnp.asarray(arm.high_loss_momentum, float),
    low_loss_momentum=jnp.asarray(arm.low_loss_momentum, float),
    **coin,
  )


def _coin(
  learning_rate, high_loss_momentum, low_loss_momentum, *, steps_per_epoch, rule, coin_seed
):
  return optax.chain(
    scale_by_coin(
      high_loss_momentum,
      low_loss_momentum,
      steps_per_epoch=steps_per_epoch,
      rule=rule,
      coin_seed=coin_seed,
    ),
    optax.scale_by_learning_rate(learning_rate),
  )


def _scaled(schedule, ratio):
  return lambda count: ratio * schedule(count)
