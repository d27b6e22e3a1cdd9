"""Makes old_state.pickle: a state of version 0.1, and the steps which that version took from it.

git checkout 513a96e -- lcam_optax && python -m tests.lcam_optax.make_old_state
git checkout HEAD -- lcam_optax
"""

import pathlib
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import optax

from lcam_optax import lcam

LOSSES = np.random.default_rng(0).gamma(2.0, size=20).astype(np.float32)


def make(rule):
  return lcam(0.1, 0.9, 0.5, steps_per_epoch=7, rule=rule, nesterov=True)


def go_on(rule, params, state, losses):
  """Yields (params, state) after each update, as NumPy arrays."""
  solver = make(rule)
  for loss in losses:
    updates, state = solver.update(jax.tree.map(jnp.sin, params), state, params, value=loss)
    params = optax.apply_updates(params, updates)
    yield jax.tree.map(np.asarray, (params, state))


def main():
  record = {}
  for rule in ('equation9', 'algorithm1'):
    params = {'weight': jnp.array([1.0, -2.0, 0.5]), 'bias': jnp.float32(0.25)}
    steps = list(go_on(rule, params, make(rule).init(params), LOSSES))
    record[rule] = {'before': steps[9], 'after': steps[10:]}
  pathlib.Path(__file__).with_name('old_state.pickle').write_bytes(pickle.dumps(record))


if __name__ == '__main__':
  main()
