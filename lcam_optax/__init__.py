"""Loss-Controlled Asymmetric Momentum (LCAM) as an Optax gradient transformation."""

from lcam_optax._lcam import LcamState, lcam, scale_by_lcam
from lcam_optax._momentum_pair import balanced_momentum
from lcam_optax._schedules import hold_then_decay, step_drops

__all__ = [
  'LcamState',
  'balanced_momentum',
  'hold_then_decay',
  'lcam',
  'scale_by_lcam',
  'step_drops',
]
