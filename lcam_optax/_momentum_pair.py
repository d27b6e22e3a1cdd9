"""Computes pairs of momenta that are as strong, on average, as one fixed momentum."""

from lcam_optax._checks import check_momentum


def balanced_momentum(momentum: float, mean: float = 0.9) -> float:
  """Returns the other momentum of a pair that is as strong as a fixed momentum.

  With a constant gradient, SGD with momentum ``c`` moves ``1 / (1 - c)`` times as far as without.
  The partner ``b`` of ``a`` makes the geometric mean of the two factors equal to the factor of
  ``c``: ``(1 - a) * (1 - b) == (1 - c)**2``. The relation is its own inverse.

  This is the paper's relation, and holds for phases that last. Where they flip from step to step,
  as those of batch losses do, the strength of a pair is ``1 / (1 - E[beta])``, with the mean of the
  momenta as they are used: 0.857 and 0.93, each in half of the steps, are 0.94 times as strong as
  fixed 0.9. And while the loss falls within an epoch, most steps are in the low-loss phase.

  Args:
    momentum: One momentum of the pair, in [0, 1).
    mean: The fixed momentum that the pair replaces, in [0, 1).

  Returns:
    The other momentum, in [0, 1).

  Raises:
    ValueError: If an argument is outside [0, 1), or no partner in [0, 1) exists because
      ``momentum`` is above ``1 - (1 - mean)**2``.

  Example:
    >>> round(balanced_momentum(0.93), 3)
    0.857
    >>> round(balanced_momentum(0.857), 2)
    0.93
    >>> round((1 / (1 - (0.857 + 0.93) / 2)) / (1 / (1 - 0.9)), 2)
    0.94

  References:
    Zhang et al., "Asymmetric Momentum: A Rethinking of Gradient Descent" (submission to ICLR 2024,
    version 2), section 4.2.
  """
  check_momentum('momentum', momentum)
  check_momentum('mean', mean)
  partner = 1 - (1 - mean) ** 2 / (1 - momentum)
  if partner < 0:
    raise ValueError(
      f'No momentum balances {momentum} around {mean}: choose one of at most '
      f'{1 - (1 - mean) ** 2:g}.'
    )
  return partner
