"""LCAM as a plain NumPy loop in float64, written from the paper and not from the library."""

import numpy as np


def equation9(params, gradient, losses, *, lr, a, b, steps_per_epoch=None, nesterov=False):
  """Version 2, equation (9): this loss picks this update's momentum; a tie is low.

  Yields (params, momentum used, is this loss high) after every update.
  """
  params, trace, seen, high = np.array(params, np.float64), 0.0, [], False
  for step, loss in enumerate(losses):
    if steps_per_epoch and step % steps_per_epoch == 0:
      seen = []
    if np.isfinite(loss):
      seen.append(float(loss))
      high = float(loss) > np.mean(seen)
    momentum = a if high else b
    grad = gradient(params)
    trace = grad + momentum * trace
    params = params - lr * (grad + momentum * trace if nesterov else trace)
    yield params, momentum, high


def algorithm1(params, gradient, losses, *, lr, a, b, steps_per_epoch=None, nesterov=False):
  """Version 1, Algorithm 1: the update, then the momentum of the next one; a tie is high.

  Yields (params, momentum used, is this loss high) after every update.
  """
  params, trace, total, count, momentum = np.array(params, np.float64), 0.0, 0.0, 0, a
  for step, loss in enumerate(losses):
    if steps_per_epoch and step % steps_per_epoch == 0:
      total, count = 0.0, 0
    used = momentum
    grad = gradient(params)
    trace = grad + used * trace
    params = params - lr * (grad + used * trace if nesterov else trace)
    if np.isfinite(loss):
      total, count = total + float(loss), count + 1
      momentum = b if float(loss) < total / count else a
    yield params, used, momentum == a


RULES = {'equation9': equation9, 'algorithm1': algorithm1}
