"""The paper's schedules and balanced pairs against the numbers of the paper."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lcam_optax import balanced_momentum, hold_then_decay, step_drops


def test_step_drops_at_every_step_of_figure_3():
  steps = np.arange(150 * 391)
  epochs = steps // 391
  expected = 0.1 * 0.2 ** ((epochs >= 31).astype(int) + (epochs >= 61) + (epochs >= 91))
  np.testing.assert_allclose(jax.vmap(step_drops(0.1, 391))(steps), expected, rtol=1e-6)


@pytest.mark.parametrize('hold_epochs', [0, 31])
def test_hold_then_decay_at_every_step_of_figure_5(hold_epochs):
  rates, rate = [], 0.1  # as the authors' loop does it, in Python floats
  for epoch in range(150):
    for _ in range(391):
      if epoch >= hold_epochs:
        rate *= 0.99985
      rates.append(rate)
  schedule = hold_then_decay(0.1, 391, hold_epochs=hold_epochs)
  np.testing.assert_allclose(jax.vmap(schedule)(np.arange(150 * 391)), rates, rtol=2e-6)


def test_drops_that_meet_each_count():
  np.testing.assert_allclose(step_drops(1.0, 10, drop_epochs=(1, 1, 2))(10), 0.04, rtol=1e-6)


@pytest.mark.parametrize('schedule', [step_drops, hold_then_decay])
@pytest.mark.parametrize('kind', [jnp.int32, np.int64, float])
def test_schedules_take_the_integers_of_jax_and_numpy(schedule, kind):
  steps = np.arange(400)
  expected = jax.vmap(schedule(0.1, 10))(steps)
  np.testing.assert_array_equal(jax.vmap(schedule(0.1, kind(10)))(steps), expected)
  traced = jax.jit(lambda number: jax.vmap(schedule(0.1, number))(steps))(10)
  np.testing.assert_allclose(traced, expected, rtol=1e-6)


def test_schedules_drive_an_optimizer():
  solver = optax.sgd(hold_then_decay(0.5, 1, hold_epochs=1, decay_rate=0.5))
  one = jnp.ones(())
  updates, state = solver.update(one, solver.init(one))
  assert float(updates) == -0.5
  assert float(solver.update(one, state)[0]) == -0.25


def test_the_pair_of_the_paper():
  assert round(balanced_momentum(0.93), 3) == 0.857


@given(momentum=st.floats(0, 0.98), mean=st.floats(0.8, 0.9))
def test_a_balanced_pair_keeps_the_average(momentum, mean):
  if momentum > 1 - (1 - mean) ** 2:
    with pytest.raises(ValueError, match='No momentum balances'):
      balanced_momentum(momentum, mean)
    return
  partner = balanced_momentum(momentum, mean)
  np.testing.assert_allclose((1 - momentum) * (1 - partner), (1 - mean) ** 2)
