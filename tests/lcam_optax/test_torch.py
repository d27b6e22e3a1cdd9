"""LCAM against a trajectory of torch.optim.SGD (make_torch_trajectory.py made it)."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from lcam_optax import lcam

FIXTURE = pathlib.Path(__file__).with_name('torch_trajectory.npz')


@pytest.mark.parametrize('nesterov', [False, True])
def test_follows_torch_sgd_with_algorithm1s_momentum_and_weight_decay(nesterov):
  fixture = np.load(FIXTURE)
  expected = {
    name: fixture[f'{name}-nesterov-{nesterov}']
    for name in ('inputs', 'targets', 'initial_weight', 'loss', 'momentum', 'weight', 'bias')
  }
  steps_per_epoch = len(expected['inputs'])
  with jax.enable_x64(True):
    solver = optax.chain(
      optax.add_decayed_weights(5e-4),
      lcam(0.02, 0.95, 0.9, rule='algorithm1', steps_per_epoch=steps_per_epoch, nesterov=nesterov),
    )

    def objective(params, inputs, targets):
      return jnp.mean((inputs @ params['weight'] + params['bias'] - targets) ** 2)

    @jax.jit
    def step(params, state, inputs, targets):
      loss, grads = jax.value_and_grad(objective)(params, inputs, targets)
      updates, state = solver.update(grads, state, params, value=loss)
      return optax.apply_updates(params, updates), state, loss

    params = {'weight': jnp.asarray(expected['initial_weight']), 'bias': jnp.zeros(1)}
    state = solver.init(params)
    for index, loss in enumerate(expected['loss']):
      batch = index % steps_per_epoch
      params, state, our_loss = step(
        params, state, expected['inputs'][batch], expected['targets'][batch]
      )
      np.testing.assert_allclose(our_loss, loss, rtol=1e-12)
      np.testing.assert_allclose(params['weight'], expected['weight'][index], rtol=1e-11)
      np.testing.assert_allclose(params['bias'], expected['bias'][index], rtol=1e-10, atol=1e-14)
      assert optax.tree.get(state, 'momentum') == expected['momentum'][index]
