"""LCAM as plain NumPy loops in float64, written from the papers and not from the library."""

import numpy as np


def equation9(params, gradient, losses, *, lr, a, b, nesterov=False, **mean):
  """Version 2, equation (9): this loss picks this update's momentum; a tie is low.

  Yields (params, momentum used, is this loss high) after every update.
  """
  params, trace, high = np.array(params, np.float64), 0.0, False
  for loss, seen in zip(losses, losses_so_far(losses, **mean), strict=True):
    if np.isfinite(loss):
      high = sign_above_mean(seen, **mean) > 0
    momentum = a if high else b
    grad = gradient(params)
    trace = grad + momentum * trace
    params = params - lr * (grad + momentum * trace if nesterov else trace)
    yield params, momentum, high


def algorithm1(params, gradient, losses, *, lr, a, b, nesterov=False, **mean):
  """Version 1, Algorithm 1: the update, then the momentum of the next one; a tie is high.

  Yields (params, momentum used, is this loss high) after every update.
  """
  params, trace, momentum = np.array(params, np.float64), 0.0, a
  for loss, seen in zip(losses, losses_so_far(losses, **mean), strict=True):
    used = momentum
    grad = gradient(params)
    trace = grad + used * trace
    params = params - lr * (grad + used * trace if nesterov else trace)
    if np.isfinite(loss):
      momentum = b if sign_above_mean(seen, **mean) < 0 else a
    yield params, used, momentum == a


RULES = {'equation9': equation9, 'algorithm1': algorithm1}


def losses_so_far(losses, steps_per_epoch=None, mean_decay=None):
  """Yields for each loss the finite ones of its epoch up to it, itself included."""
  seen = []
  for step, loss in enumerate(losses):
    if steps_per_epoch and step % steps_per_epoch == 0:
      seen = []
    if np.isfinite(loss):
      seen = [*seen, float(loss)]
    yield seen


def sign_above_mean(seen, steps_per_epoch=None, mean_decay=None):
  """Returns 1, 0 or -1 as the last loss is above, at or below the mean of all."""
  if len(set(seen)) == 1:  # in exact arithmetic a tie, whatever the weights
    return 0
  weights = (mean_decay or 1.0) ** np.arange(len(seen))[::-1]
  return np.sign(seen[-1] - np.dot(weights, seen) / weights.sum())


def momenta(losses, *, rule, high, low, **mean):
  """Returns the value that is used in each update, one of the two."""
  loop = RULES[rule](0.0, lambda params: 0.0, losses, lr=0.0, a=1, b=0, **mean)
  return [high if used else low for _, used, _ in loop]


def adam(params, gradient, b1s, *, lr, b2=0.999, eps=1e-8):
  """Kingma and Ba, "Adam", Algorithm 1, with a b1 for each step; yields the parameters.

  The bias of the first moment is corrected as Optax does it: with the power of this step's b1.
  """
  params, m, v = np.array(params, np.float64), 0.0, 0.0
  for step, b1 in enumerate(b1s, 1):
    grad = gradient(params)
    m = b1 * m + (1 - b1) * grad
    v = b2 * v + (1 - b2) * grad**2
    params = params - lr * (m / (1 - b1**step)) / (np.sqrt(v / (1 - b2**step)) + eps)
    yield params


def lion(params, gradient, b1s, *, lr, b2=0.99, weight_decay=1e-3):
  """Chen et al., "Symbolic Discovery of Optimization Algorithms", Algorithm 2; as `adam`."""
  params, m = np.array(params, np.float64), 0.0
  for b1 in b1s:
    grad = gradient(params)
    update = np.sign(b1 * m + (1 - b1) * grad)
    m = b2 * m + (1 - b2) * grad
    params = params - lr * (update + weight_decay * params)
    yield params
