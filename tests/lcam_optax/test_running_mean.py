"""The running means and the phases that follow from them, against NumPy and exact fractions."""

import functools
import itertools
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lcam_optax import LossPhaseState, loss_phase_tracker
from tests.lcam_optax.reference import RULES

UPDATES = 20_000_000
WITHOUT_A_MEAN = pytest.mark.filterwarnings('ignore:Without steps_per_epoch or mean_decay')


def track(tracker, losses, state=None):
  """Returns the last state and the phase of every loss."""

  def body(state, loss):
    _, state = tracker.update(state, loss)
    return state, state.high_loss_phase

  return jax.lax.scan(body, tracker.init() if state is None else state, losses)


@functools.cache
def jitted_track(rule, decay):
  """Returns `track` with a tracker; it is compiled once."""
  return jax.jit(functools.partial(track, loss_phase_tracker(mean_decay=decay, rule=rule)))


def total(state):
  return np.float64(state.loss_sum) + np.float64(state.loss_sum_error)


def phases_in_fractions(losses, rule, decay):
  """Returns the phases, None where a float32 is too short to tell."""
  decay, value, weight, phases = Fraction(decay), Fraction(0), Fraction(1), []
  high = rule == 'algorithm1'
  for loss in losses.tolist():
    if np.isfinite(loss):
      value = decay * value + (1 - decay) * Fraction(loss)
      weight *= decay
      excess = Fraction(loss) - value / (1 - weight)
      high = excess >= 0 if rule == 'algorithm1' else excess > 0
      all_equal = len(set(losses[np.isfinite(losses)][: len(phases) + 1])) == 1
      if abs(excess) < 1e-4 and not all_equal and weight != decay:
        high = None
    phases.append(high)
  return phases


@settings(deadline=None, max_examples=50)
@given(
  rule=st.sampled_from(sorted(RULES)),
  losses=st.lists(
    st.sampled_from([np.nan, np.inf, -np.inf]) | st.floats(0.125, 8, width=16),
    min_size=24,
    max_size=24,
  ),
  decay=st.sampled_from([0.5, 0.9, 0.999, 1 - 1e-6, 1 - 1e-9]),
  constant=st.booleans(),
)
def test_mean_decay_decides_as_exact_fractions_do(rule, losses, decay, constant):
  losses = np.array(losses, np.float32)
  if constant:
    losses = np.where(np.isfinite(losses), np.float32(0.1), losses)
  expected = phases_in_fractions(losses, rule, decay)
  state, phases = jitted_track(rule, decay)(losses)
  assert all(
    wanted is None or bool(phase) == wanted for phase, wanted in zip(phases, expected, strict=True)
  )
  assert int(state.count) == np.isfinite(losses).sum()


@pytest.mark.parametrize('decay', [1e-3, 0.5, 0.99, 1 - 1e-4, 1 - 1e-9, 1 - 2**-53])
def test_mean_decay_is_a_weighted_mean(decay):
  losses = np.random.default_rng(0).gamma(2.0, size=1000).astype(np.float32)
  state, _ = track(loss_phase_tracker(mean_decay=decay), losses)
  np.testing.assert_allclose(total(state), weighted_mean(losses, decay), rtol=5e-7)


def weighted_mean(losses, decay):
  weights = decay ** np.arange(len(losses), dtype=np.float64)[::-1]
  return np.dot(weights, losses) / weights.sum()


def test_mean_decay_as_a_traced_argument():
  losses = np.random.default_rng(0).gamma(2.0, size=200).astype(np.float32)
  decays = jnp.array([0.5, 0.9375, 1 - 2**-10])  # exact in float32
  means = jax.vmap(lambda decay: track(loss_phase_tracker(mean_decay=decay), losses)[0].loss_sum)(
    decays
  )
  expected = [weighted_mean(losses, decay) for decay in decays.tolist()]
  np.testing.assert_allclose(means, expected, rtol=2e-6)


@pytest.mark.parametrize('dtype', ['bfloat16', 'float32'])
def test_a_mean_decay_that_was_rounded_to_one_is_the_mean_of_all(dtype):
  losses = np.random.default_rng(0).gamma(2.0, size=200).astype(np.float32)
  state, _ = track(loss_phase_tracker(mean_decay=jnp.ones((), dtype)), losses)
  np.testing.assert_allclose(total(state), losses.mean(dtype=np.float64), rtol=1e-6)


def test_mean_decay_in_float64():
  with jax.enable_x64(True):
    losses = np.random.default_rng(0).gamma(2.0, size=1000)
    state, _ = track(loss_phase_tracker(mean_decay=0.99), losses)
    np.testing.assert_allclose(total(state), weighted_mean(losses, 0.99), rtol=1e-14)


@pytest.mark.parametrize('mean', [{'steps_per_epoch': 3}, {'mean_decay': 0.5}])
@pytest.mark.parametrize('loss', [1, np.float64(2.0), jnp.bfloat16(3.0), np.array(np.nan)])
def test_the_dtypes_of_the_state_never_change(mean, loss):
  tracker = loss_phase_tracker(**mean)
  before = jax.eval_shape(tracker.init)
  phase, after = jax.eval_shape(tracker.update, before, loss)
  assert (phase.dtype, phase.shape) == (jnp.int32, ())
  for old, new in zip(before, after, strict=True):
    assert (old.dtype, old.weak_type, old.shape) == (new.dtype, new.weak_type, new.shape)


@WITHOUT_A_MEAN
@pytest.mark.parametrize('rule', RULES)
def test_the_mean_of_all_is_right_after_twenty_million_updates(rule):
  # The state that 20 million losses leave behind is made in NumPy; a few thousand are run, so that
  # a sum that had stopped growing there would be seen.
  base = np.float64(0.3) * UPDATES
  state = state_after(base, UPDATES)
  losses = np.random.default_rng(0).normal(0.3, 1e-4, 5_000).astype(np.float32)
  state, phases = track(loss_phase_tracker(rule=rule), losses, state)
  sums = base + np.cumsum(losses, dtype=np.float64)
  means = sums / np.arange(UPDATES + 1, UPDATES + len(losses) + 1)
  np.testing.assert_array_equal(phases.astype(bool), losses > means)
  np.testing.assert_allclose(total(state), sums[-1], rtol=1e-12)


@pytest.mark.parametrize('decay', [0.999, 1 - 1e-7])
def test_the_exponential_mean_moves_as_it_should_after_twenty_million_updates(decay):
  mean = np.float64(0.3)
  losses = np.random.default_rng(0).normal(0.3, 1e-4, 5_000).astype(np.float32)
  state, phases = track(loss_phase_tracker(mean_decay=decay), losses, state_after(mean, UPDATES))
  share, expected = (1 - decay) / (1 - decay ** (UPDATES + 1)), []
  for loss in losses.tolist():
    expected.append(loss > mean)
    mean += share * (loss - mean)
  np.testing.assert_array_equal(phases.astype(bool), expected)
  np.testing.assert_allclose(total(state), mean, rtol=1e-9)


def state_after(loss_sum, updates):
  return LossPhaseState(
    loss_sum=jnp.float32(loss_sum),
    loss_sum_error=jnp.float32(loss_sum - np.float64(np.float32(loss_sum))),
    count=jnp.int32(updates),
    epoch_step=jnp.int32(updates),
    high_loss_phase=jnp.int32(0),
  )


@pytest.mark.slow
@WITHOUT_A_MEAN
@pytest.mark.parametrize('decay', [None, 1 - 1e-3, 1 - 1e-7])
def test_twenty_million_updates(decay):
  block, rng = 1_000_000, np.random.default_rng(0)
  tracker = loss_phase_tracker(mean_decay=decay)
  run_block = jax.jit(lambda state, losses: track(tracker, losses, state)[0])
  weights = (decay or 1.0) ** np.arange(block, dtype=np.float64)[::-1]
  state, loss_sum, weight_sum = tracker.init(), 0.0, 0.0
  for index in range(UPDATES // block):
    losses = (rng.gamma(2.0, size=block) / (1 + index)).astype(np.float32)
    state = run_block(state, losses)
    fade = weights[0] * (decay or 1.0)
    loss_sum = fade * loss_sum + np.dot(weights, losses)
    weight_sum = fade * weight_sum + weights.sum()
  assert int(state.count) == UPDATES
  if decay is None:
    np.testing.assert_allclose(total(state), loss_sum, rtol=1e-11)
  else:
    np.testing.assert_allclose(total(state), loss_sum / weight_sum, rtol=3e-7)


@WITHOUT_A_MEAN
@pytest.mark.parametrize('rule', RULES)
@pytest.mark.parametrize(
  ('first', 'then'),
  list(itertools.permutations([{'steps_per_epoch': 391}, {}, {'mean_decay': 0.99}], 2)),
)
def test_a_state_goes_on_with_another_kind_of_mean(rule, first, then):
  losses = (1 + 0.1 * np.random.default_rng(0).normal(size=2000)).astype(np.float32)
  state, _ = track(loss_phase_tracker(rule=rule, **first), losses[:380])
  mean = total(state) / (1 if first.get('mean_decay') else 380)
  _, (phase, *_) = track(loss_phase_tracker(rule=rule, **then), losses[380:381], state)
  assert bool(phase) == (losses[380] > mean)
  _, phases = track(loss_phase_tracker(rule=rule, **then), losses[380:], state)
  _, fresh = track(loss_phase_tracker(rule=rule, **then), losses[380:])
  assert abs(phases.mean() - fresh.mean()) < 0.05


@WITHOUT_A_MEAN
def test_an_exponential_mean_goes_on_from_the_mean_of_all():
  losses = np.random.default_rng(0).gamma(2.0, size=300).astype(np.float32)
  state, _ = track(loss_phase_tracker(), losses[:200])
  state, _ = track(loss_phase_tracker(mean_decay=0.9), losses[200:], state)
  mean = losses[:200].mean(dtype=np.float64)
  for count, loss in enumerate(losses[200:].tolist(), 201):
    mean += (1 - 0.9) / (1 - 0.9**count) * (loss - mean)
  np.testing.assert_allclose(total(state), mean, rtol=1e-6)
