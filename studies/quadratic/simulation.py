"""Simulates the noisy quadratic with the library."""

from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax

from lcam_optax import (
  PhaseTracker,
  ReplayState,
  loss_phase_tracker,
  replay_tracker,
  scale_by_phase,
)
from studies.quadratic.theory import Moments, Quadratic

RUNS_OF_BLOCK = 500
_MEAN_DECAY = 0.99

# 'luck': the loss is above its expectation at these parameters, which is known here. 'running-mean':
# its deviation is above the running mean of such deviations, as in LCAM.
PhaseOf = Literal['luck', 'running-mean']


def simulate(problem: Quadratic, phase_of: PhaseOf, blocks: int) -> tuple[Moments, Moments]:
  """Returns the moments of LCAM and of its yoked runs, block by block of runs.

  Args:
    problem: The quadratic.
    phase_of: What decides the phase.
    blocks: The number of blocks of runs.

  Returns:
    The moments of LCAM, and those of runs that replay the phases of the next run; the first axis is
    that of the blocks.
  """
  c, d = problem.mean_momentum, problem.delta
  moments = _simulate(
    phase_of,
    problem.rule,
    problem.batch_size,
    problem.steps,
    jnp.asarray(problem.stiffness, jnp.float32),
    jnp.asarray(problem.start, jnp.float32),
    jnp.asarray([c + d, c - d], jnp.float32),
    jax.random.split(jax.random.key(0), blocks),  # the same in both directions and rules
  )
  own, yoked = jax.tree.map(np.asarray, moments)
  return own, yoked


@partial(jax.jit, static_argnums=(0, 1, 2, 3))
def _simulate(phase_of, rule, batch_size, steps, stiffness, start, momenta, block_keys):
  def run(key, phases=None):
    if phases is not None:
      tracker = replay_tracker(phases, rule=rule)
    elif phase_of == 'luck':
      tracker = _sign_tracker(rule)
    else:
      tracker = loss_phase_tracker(mean_decay=_MEAN_DECAY, rule=rule)
    solver = optax.chain(
      scale_by_phase(tracker, momenta[0], momenta[1]), optax.scale_by_learning_rate(1.0)
    )
    # Only two things of a batch matter: the mean of its examples, and their scatter around it.
    mean_key, scatter_key = jax.random.split(key)
    means = jax.random.normal(mean_key, (steps, stiffness.size)) / jnp.sqrt(batch_size * stiffness)
    degrees = stiffness.size * (batch_size - 1)
    scatters = jax.random.gamma(scatter_key, degrees / 2, (steps,)) / batch_size

    def step(carry, batch):
      theta, state = carry
      mean, scatter = batch
      loss = (stiffness * (theta - mean) ** 2).sum() / 2 + scatter
      expected = (stiffness * theta**2).sum() / 2 + stiffness.size / 2
      updates, state = solver.update(stiffness * (theta - mean), state, value=loss - expected)
      phase = optax.tree.get(state, 'high_loss_phase').astype(jnp.int8)
      return (optax.apply_updates(theta, updates), state), (theta, phase)

    return jax.lax.scan(step, (start, solver.init(start)), (means, scatters))[1]

  def block(key):
    keys = jax.random.split(key, RUNS_OF_BLOCK)
    paths, phases = jax.vmap(run)(keys)
    yoked_paths, _ = jax.vmap(run)(keys, jnp.roll(phases, -1, axis=0))
    return tuple(Moments(p.mean(0), (p**2).mean(0)) for p in (paths, yoked_paths))

  return jax.lax.map(block, block_keys)


def _sign_tracker(rule: str) -> PhaseTracker:
  """Returns a tracker of the sign of a number whose mean is 0, with the timing of the rule."""
  replay = replay_tracker(jnp.zeros(1, jnp.int8), rule=rule)

  def update(state: ReplayState, loss: jax.Array) -> tuple[jax.Array, ReplayState]:
    phases = jnp.reshape(loss > 0, 1).astype(jnp.int8)
    return replay.update(state._replace(phases=phases, step=jnp.zeros_like(state.step)), loss)

  return PhaseTracker(replay.init, update)
