"""The arms of a comparison, for your own problem."""

from train.problem.arms import (
  ADAM,
  ADAPTIVE,
  LION,
  OTHERS,
  Adaptive,
  Arm,
  ByPhase,
  Coin,
  Fixed,
  Lcam,
  Momo,
  Pair,
  ScheduleFreeSgd,
  Setting,
  Yoked,
  arm_of_name,
)

__all__ = [
  'ADAM',
  'ADAPTIVE',
  'LION',
  'OTHERS',
  'Adaptive',
  'Arm',
  'ByPhase',
  'Coin',
  'Fixed',
  'Lcam',
  'Momo',
  'Pair',
  'ScheduleFreeSgd',
  'Setting',
  'Yoked',
  'arm_of_name',
]
