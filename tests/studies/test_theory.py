"""The theory of docs/theory.md, against the library."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from lcam_optax import scale_by_lcam
from studies.dispersion.memory import shares_of_luck
from studies.quadratic.contrasts import contrasts, losses_of_modes
from studies.quadratic.theory import Quadratic, predict

C, DELTA, STEPS, RUNS = 0.7, 0.25, 1000, 8


def total_weights(rule):
  """Returns how often each step's gradient was applied, and the sign of each step's loss."""
  solver = scale_by_lcam(C + DELTA, C - DELTA, mean_decay=0.999, rule=rule)
  noise = np.random.default_rng(0).normal(size=(RUNS, STEPS)).astype(np.float32)

  def run(losses):
    def step(carry, now):
      params, state = carry
      loss, grads = now
      updates, state = solver.update(grads, state, value=loss)
      return (params + updates, state), optax.tree.get(state, 'high_loss_phase')

    # The gradient of step t is 1 in place t, where its weights then add up.
    zeros = jnp.zeros(STEPS)
    (params, _), phases = jax.lax.scan(step, (zeros, solver.init(zeros)), (losses, jnp.eye(STEPS)))
    return params, 2 * phases - 1

  weights, signs = jax.vmap(run)(noise)
  settled = slice(200, STEPS - 100)  # the mean has seen losses, the weights have had their time
  return np.asarray(weights[:, settled]), np.asarray(signs[:, settled])


@pytest.mark.parametrize(('rule', 'effect'), [('algorithm1', DELTA), ('equation9', 0.0)])
def test_the_total_weight_of_a_gradient_is_the_predicted_one(rule, effect):
  weights, signs = total_weights(rule)
  strength = 1 / (1 - C - DELTA * signs.mean())  # S, of the mean momentum
  for sign in (1, -1):
    here = weights[signs == sign]
    error = here.std() / len(here) ** 0.5
    predicted = strength * (1 + effect * (sign - signs.mean()))
    assert abs(here.mean() - predicted) < 4 * error
    assert error < 0.03 * strength  # so that an effect of delta could not be missed


def test_with_equation9_the_loss_weighs_the_gradient_of_the_step_before():
  weights, signs = total_weights('equation9')
  later = signs[:, 1:]
  difference = weights[:, :-1][later == 1].mean() - weights[:, :-1][later == -1].mean()
  assert abs(difference / weights.mean() - 2 * DELTA) < 0.05


@pytest.mark.parametrize(
  ('rule', 'restart'), [('algorithm1', 8), ('equation9', 8), ('equation9', 4)]
)
def test_the_share_of_luck_that_the_mean_of_an_epoch_leaves_is_the_predicted_one(rule, restart):
  n, epochs, runs = 8, 12, 400
  solver = scale_by_lcam(C + DELTA, C - DELTA, steps_per_epoch=restart, rule=rule)
  lucks = np.random.default_rng(0).normal(size=(runs, epochs, n)).astype(np.float32)
  # Without replacement, the lucks of an epoch add up to 0.
  lucks = (lucks - lucks.mean(-1, keepdims=True)) * (n / (n - 1)) ** 0.5

  def run(losses):
    def step(carry, now):
      params, state = carry
      updates, state = solver.update(now[1], state, value=now[0])
      return (params + updates, state), None

    zeros = jnp.zeros(epochs * n)
    return jax.lax.scan(step, (zeros, solver.init(zeros)), (losses, jnp.eye(epochs * n)))[0][0]

  weights = np.asarray(jax.vmap(run)(lucks.reshape(runs, -1))).reshape(lucks.shape)[:, 1:-2]
  covariances = (weights * lucks[:, 1:-2]).mean((1, 2))
  tie = DELTA if rule == 'algorithm1' else -DELTA  # the first loss of each mean
  momentum = C + tie / restart
  unit = DELTA * (2 / np.pi) ** 0.5 / (1 - momentum)  # of a weight S (1 + delta s)
  share = getattr(shares_of_luck(n, momentum, restart), rule)
  error = covariances.std() / runs**0.5 / unit
  assert abs(covariances.mean() / unit - share) < 4 * error + 0.05 * abs(share)
  assert error < 0.03


QUADRATIC = Quadratic((0.003, 0.3), 8, 0.7, 0.25, 'algorithm1', 120)


@pytest.mark.training
@pytest.mark.parametrize('rule', ['algorithm1', pytest.param('equation9', marks=pytest.mark.slow)])
def test_the_effect_on_a_quadratic_is_the_predicted_one(rule):
  problem = dataclasses.replace(QUADRATIC, rule=rule)
  found = contrasts(problem, losses_of_modes, blocks=8, kinds=('luck',))
  for predicted, simulated in zip(found['predicted'], found['luck'], strict=True):
    # Four standard errors; Student's factor with 7 degrees of freedom is 2.4.
    assert abs(simulated.mean - predicted.mean) < 4 / 2.4 * simulated.half_width
  if rule == 'algorithm1':
    assert found['luck'][0].mean < -3 * found['luck'][0].half_width


def test_the_effect_turns_where_modes_swing():
  other = dataclasses.replace(QUADRATIC, delta=-0.25)
  high, low = (predict(problem).square.sum(0) for problem in (QUADRATIC, other))
  soft, stiff = high - low
  assert QUADRATIC.stiffness[0] < QUADRATIC.critical_stiffness < QUADRATIC.stiffness[1]
  assert soft < 0 < stiff
