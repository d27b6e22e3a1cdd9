"""Loss-Controlled Asymmetric Momentum (LCAM) as an Optax gradient transformation."""

from lcam_optax._control_trackers import CoinState, ReplayState, coin_tracker, replay_tracker
from lcam_optax._lcam import LcamState, lcam, scale_by_lcam
from lcam_optax._loss_phase import LossPhaseState, PhaseTracker, loss_phase_tracker
from lcam_optax._loss_weights import loss_phase_weights
from lcam_optax._momentum_pair import balanced_momentum
from lcam_optax._phase_momentum import PhaseMomentumState, scale_by_phase
from lcam_optax._phase_schedule import LossPhaseScheduleState, loss_phase_schedule
from lcam_optax._schedules import hold_then_decay, step_drops

__version__ = '0.2.0.dev0'

__all__ = [
  'CoinState',
  'LcamState',
  'LossPhaseScheduleState',
  'LossPhaseState',
  'PhaseMomentumState',
  'PhaseTracker',
  'ReplayState',
  'balanced_momentum',
  'coin_tracker',
  'hold_then_decay',
  'lcam',
  'loss_phase_schedule',
  'loss_phase_tracker',
  'loss_phase_weights',
  'replay_tracker',
  'scale_by_lcam',
  'scale_by_phase',
  'step_drops',
]
