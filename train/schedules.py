"""The learning-rate schedules of a comparison, for your own problem."""

from train.problem.schedules import Constant, Cosine, Drops, HoldThenDecay, Optax, Schedule

__all__ = ['Constant', 'Cosine', 'Drops', 'HoldThenDecay', 'Optax', 'Schedule']
