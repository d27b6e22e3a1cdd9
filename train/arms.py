"""The arms of a comparison, for your own problem."""

from train.problem.arms import (  # noqa: F401
  ADAM,
  ADAPTIVE,
  LION,
  OTHERS,
  Adaptive,
  Arm,
  BestOf,
  ByPhase,
  Coin,
  Fixed,
  Lcam,
  Momo,
  Optax,
  Pair,
  ScheduleFreeSgd,
  Setting,
  Weighted,
  Yoked,
  arm_of_name,
)
