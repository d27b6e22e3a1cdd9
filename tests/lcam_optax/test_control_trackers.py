"""The controls: the coin against its definition, the yoked run against the run that it replays."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lcam_optax import coin_tracker, loss_phase_tracker, replay_tracker, scale_by_phase

COIN = {'steps_per_epoch': 50, 'rule': 'algorithm1'}


def track(tracker, losses):
  """Returns the phases used, the phases of the losses, and the last state."""

  def body(state, loss):
    used, state = tracker.update(state, loss)
    return state, (used, state.high_loss_phase)

  state, (used, phases) = jax.lax.scan(body, tracker.init(), losses)
  return used, phases, state


def coin(losses, seed=0):
  return track(coin_tracker(seed, **COIN), losses)[1]


@pytest.fixture(scope='module')
def losses():
  # Skewed, so that high losses are rarer than low ones.
  return np.random.default_rng(0).gamma(0.3, size=5000).astype(np.float32)


def test_the_coin_is_as_often_high_as_the_losses_are(losses):
  _, by_loss, _ = track(loss_phase_tracker(**COIN), losses)
  assert by_loss.mean() < 0.35
  assert abs(coin(losses).mean() - by_loss.mean()) < 0.03


def test_the_coins_share_is_that_of_the_losses_within_the_first_epoch():
  # A loss that falls: nearly all steps are low, as in the first epoch of a training.
  losses = np.linspace(2, 1, 50, dtype=np.float32)
  high = jax.vmap(lambda seed: coin(losses, seed))(jnp.arange(40)).mean()
  _, by_loss, _ = track(loss_phase_tracker(**COIN), losses)
  assert by_loss.mean() == 1 / 50  # the first loss is a tie
  assert high < 0.15  # a share that began at one half and remembered an epoch would give 0.33


def test_the_coin_is_independent_of_the_loss(losses):
  _, by_loss, _ = track(loss_phase_tracker(**COIN), losses)
  assert abs(np.corrcoef(coin(losses), by_loss)[0, 1]) < 0.05
  assert abs(np.corrcoef(coin(losses), losses)[0, 1]) < 0.05


def test_the_coin_of_a_step_does_not_see_that_steps_loss(losses):
  other = losses.copy()
  other[-1] = 1e6
  np.testing.assert_array_equal(coin(losses), coin(other))


def test_each_seed_has_a_coin_of_its_own(losses):
  np.testing.assert_array_equal(coin(losses, 0), coin(losses, 0))
  assert abs(np.corrcoef(coin(losses, 0), coin(losses, 1))[0, 1]) < 0.05


@pytest.mark.parametrize('rule', ['equation9', 'algorithm1'])
def test_a_replay_has_the_momenta_of_the_run_in_its_order(losses, rule):
  losses = losses[:200]
  tracker = loss_phase_tracker(steps_per_epoch=50, rule=rule)
  used, phases, _ = track(tracker, losses)
  again, repeated, _ = track(replay_tracker(phases, rule=rule), losses[::-1].copy())
  np.testing.assert_array_equal(again, used)
  np.testing.assert_array_equal(repeated, phases)
  assert 0 < used.mean() < 1


def test_a_replay_of_its_own_phases_is_the_run_itself(losses):
  losses = losses[:100]
  tracker = loss_phase_tracker(**COIN)
  _, phases, _ = track(tracker, losses)

  def trace(tracker):
    transformation = scale_by_phase(tracker, 0.8, 0.4)

    def body(state, loss):
      updates, state = transformation.update(jnp.ones(2), state, value=loss)
      return state, updates

    return jax.lax.scan(body, transformation.init(jnp.ones(2)), losses)[1]

  replay = replay_tracker(phases, rule=COIN['rule'])
  np.testing.assert_array_equal(trace(replay), trace(tracker))


def test_the_tosses_of_a_seed_never_change(losses):
  # Recorded runs depend on them.
  assert ''.join(map(str, coin(losses)[:40])) == '1000111001000000000001100000011000000110'


@pytest.mark.parametrize('make', [coin_tracker, lambda seed, **options: replay_tracker([0, 1])])
def test_states_keep_their_dtypes_with_strict_promotion(make):
  with jax.numpy_dtype_promotion('strict'):
    tracker = make(0, **COIN)
    before = tracker.init()
    phase, after = tracker.update(before, jnp.bfloat16(1.0))
  assert (phase.dtype, phase.shape) == (jnp.int32, ())
  chex.assert_trees_all_equal_shapes_and_dtypes(before, after)


def test_a_replay_repeats_the_last_phase_after_its_end():
  used, _, _ = track(replay_tracker([True, False, True], rule='equation9'), np.ones(5))
  np.testing.assert_array_equal(used, [1, 0, 1, 1, 1])
