"""Arms that weigh the examples of a batch, against NumPy."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from train.data import AsStored, Batch
from train.problem.arms import Setting, arm_of_name
from train.problem.schedules import Constant
from train.training.programs import Programs

RATE, DECAY = 0.5, 0.01


@pytest.mark.parametrize(('name', 'strength'), [('easy-0.475', -0.475), ('hard-0.3', 0.3)])
def test_two_steps_are_those_of_numpy_and_their_losses_are_plain_means(name, strength):
  random = np.random.default_rng(0)
  inputs, labels = random.normal(size=(6, 4)).astype('float32'), random.integers(0, 3, 6)
  model = nnx.Linear(4, 3, use_bias=False, rngs=nnx.Rngs(0))
  kernel = np.float64(model.kernel[...])
  setting = Setting(Constant(RATE), 1, 5, weight_decay=DECAY, rule='algorithm1')
  optimizer = arm_of_name(name).build(setting)
  programs = Programs(model, AsStored())
  state = programs.initial_state(model, optimizer, 5)
  step = programs.make_train_step(optimizer)
  batch = Batch(jnp.asarray(inputs), jnp.asarray(labels), jnp.arange(6))

  trace, means = 0.0, []
  for number in range(2):
    state = step(state, batch, 0, 0, number)
    logits = inputs @ kernel
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    losses = -np.log(probabilities[np.arange(6), labels])
    side = np.where(losses > losses.mean(), 1, -1)
    weights = 1 + strength * (side - side.mean())
    errors = weights[:, None] * (probabilities - np.eye(3)[labels])
    gradient = inputs.T @ errors / 6
    trace = gradient + DECAY * kernel + 0.9 * trace
    kernel = kernel - RATE * trace
    means.append(losses.mean())
    np.testing.assert_allclose(state.params['kernel'], kernel, rtol=1e-5, atol=1e-6)

  np.testing.assert_allclose(state.sums.loss, sum(means), rtol=1e-6)
  np.testing.assert_allclose(optax.tree.get(state.opt_state, 'loss_sum'), sum(means), rtol=1e-6)
  evaluated = programs.eval_step(state.params, state.model_state, batch).loss
  logits = inputs @ kernel
  losses = np.log(np.exp(logits).sum(1)) - logits[np.arange(6), labels]
  np.testing.assert_allclose(evaluated, losses.sum(), rtol=1e-5)
