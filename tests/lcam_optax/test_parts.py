"""The parts of LCAM as parts of their own: the tracker, and the trace that takes any tracker."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from lcam_optax import (
  LossPhaseState,
  PhaseMomentumState,
  PhaseTracker,
  lcam,
  loss_phase_schedule,
  loss_phase_tracker,
  scale_by_lcam,
  scale_by_phase,
)
from tests.lcam_optax import reference

LOSSES = np.array([2.0, 3.0, np.nan, 1.0, 2.5, 0.5, 4.0, 1.0, 1.0], np.float32)
MEANS = [{'steps_per_epoch': 4}, {'mean_decay': 0.75}]


@pytest.mark.parametrize('mean', MEANS)
@pytest.mark.parametrize('rule', reference.RULES)
def test_the_tracker_says_which_phase_each_update_uses(rule, mean):
  tracker = loss_phase_tracker(rule=rule, **mean)
  state, used, decided = tracker.init(), [], []
  for loss in LOSSES:
    phase, state = jax.jit(tracker.update)(state, loss)
    used.append(int(phase))
    decided.append(int(state.high_loss_phase))
  assert isinstance(state, LossPhaseState)
  assert used == reference.momenta(LOSSES, rule=rule, high=1, low=0, **mean)
  if rule == 'equation9':
    assert used == decided
  else:
    assert used[1:] == decided[:-1]


def test_the_default_rule_is_algorithm1():
  b1 = loss_phase_schedule(0.9, 0.5, steps_per_epoch=4)
  for solver in (
    lcam(0.1, steps_per_epoch=4),
    scale_by_lcam(steps_per_epoch=4),
    scale_by_phase(loss_phase_tracker(steps_per_epoch=4), 0.9, 0.5),
    optax.inject_hyperparams(optax.adam)(0.1, b1=b1),
  ):
    state = solver.init(jnp.ones(2))
    assert optax.tree.get(state, 'high_loss_phase') == 1  # a tie is high


def test_a_restart_waits_for_the_first_loss_of_the_new_epoch():
  tracker = loss_phase_tracker(steps_per_epoch=2)
  state, sums = tracker.init(), []
  for loss in (1.0, 2.0, np.nan, 4.0, 8.0):
    _, state = tracker.update(state, loss)
    sums.append((float(state.loss_sum), int(state.count), int(state.epoch_step)))
  assert sums == [(1.0, 1, 1), (3.0, 2, 2), (0.0, 0, 1), (4.0, 1, 2), (8.0, 1, 1)]


@pytest.mark.parametrize('nesterov', [False, True])
@pytest.mark.parametrize('mean', MEANS)
@pytest.mark.parametrize('rule', reference.RULES)
def test_scale_by_phase_with_the_tracker_is_scale_by_lcam(rule, mean, nesterov):
  parts = scale_by_phase(loss_phase_tracker(rule=rule, **mean), 0.9, 0.5, nesterov=nesterov)
  whole = scale_by_lcam(0.9, 0.5, rule=rule, nesterov=nesterov, **mean)
  params = {'weight': jnp.arange(3.0), 'bias': jnp.ones(())}
  ours, theirs = parts.init(params), whole.init(params)
  assert isinstance(ours, PhaseMomentumState)
  for loss in LOSSES:
    our_updates, ours = parts.update(params, ours, value=loss)
    their_updates, theirs = whole.update(params, theirs, value=loss)
    chex.assert_trees_all_equal(our_updates, their_updates)
    chex.assert_trees_all_equal((ours.trace, *ours.phase, ours.momentum), tuple(theirs))


def test_phases_from_elsewhere_choose_the_momentum():
  phases = jnp.array([1, 0, 0, 1, 1, 0])
  recorded = PhaseTracker(
    init=lambda: jnp.int32(0), update=lambda step, loss: (phases[step], step + 1)
  )
  solver = optax.chain(scale_by_phase(recorded, 0.75, 0.25), optax.scale(-1.0))

  def body(state, grad):
    updates, state = solver.update(grad, state)  # this tracker needs no loss
    return state, (updates, optax.tree.get(state, 'momentum'))

  grads = jnp.arange(1.0, 7.0)
  _, (updates, momenta) = jax.lax.scan(body, solver.init(jnp.zeros(())), grads)
  trace, expected = 0.0, []
  for grad, phase in zip(grads, phases, strict=True):
    trace = grad + (0.75 if phase else 0.25) * trace
    expected.append(-trace)
  np.testing.assert_array_equal(updates, expected)
  np.testing.assert_array_equal(momenta, jnp.where(phases, 0.75, 0.25))


def test_micro_batches_through_optax_give_the_loss_of_the_whole_batch():
  microbatching = pytest.importorskip('optax.microbatching')
  rng = np.random.default_rng(0)
  batches = rng.normal(size=(6, 8, 3)).astype(np.float32)

  def objective(params, batch):
    return jnp.mean((batch @ params - 1) ** 2)

  whole = jax.value_and_grad(objective)
  in_parts = microbatching.microbatch(
    whole, argnums=1, microbatch_size=2, accumulator=microbatching.AccumulationType.MEAN
  )

  def train(value_and_grad):
    solver = scale_by_lcam(0.9, 0.5, steps_per_epoch=4)
    params, phases = jnp.zeros(3), []
    state = solver.init(params)
    for batch in batches:
      loss, grads = value_and_grad(params, batch)
      updates, state = solver.update(grads, state, params, value=loss)
      params -= 0.1 * updates
      phases.append(int(state.high_loss_phase))
    return params, phases

  params, phases = train(whole)
  assert len(set(phases)) == 2
  our_params, our_phases = train(in_parts)
  np.testing.assert_allclose(our_params, params, rtol=1e-5)
  assert our_phases == phases
