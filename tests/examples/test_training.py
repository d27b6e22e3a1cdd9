"""Each example learns, and its momenta are those that NumPy chooses by its losses."""

import re

import chex
import jax.numpy as jnp
import numpy as np
import pytest

from tests.examples.support import columns, load, losses_on_one_device
from tests.lcam_optax import reference

pytestmark = pytest.mark.training

EPOCH = {'steps_per_epoch': 21}  # 1,344 digits in batches of 64


def assert_chosen_by(losses, momenta, high, low, **mean):
  expected = reference.momenta(losses, rule='algorithm1', high=high, low=low, **mean)
  assert len(set(expected)) == 2
  np.testing.assert_allclose(momenta, expected, rtol=1e-6)


@pytest.mark.parametrize(
  ('name', 'high', 'low', 'mean'),
  [
    ('plain_jax', 0.93, 0.857, EPOCH),
    ('flax_nnx', 0.93, 0.857, EPOCH),
    ('flax_linen', 0.93, 0.857, EPOCH),
    ('equinox_mlp', 0.93, 0.857, EPOCH),
    ('microbatching', 0.93, 0.857, EPOCH),
    ('bfloat16', 0.93, 0.857, EPOCH),
    ('adam_b1', 0.95, 0.85, EPOCH),
    ('streaming', 0.93, 0.857, {'mean_decay': 0.95}),
  ],
)
def test_the_losses_choose_the_momenta(name, high, low, mean, capsys):
  if name == 'microbatching':
    pytest.importorskip('optax.microbatching')  # new in Optax 0.2.7
  losses, momenta = columns(load(name)['main']())
  assert_chosen_by(losses, momenta, high, low, **mean)
  assert losses[-1] < losses[0] / 3
  if name == 'microbatching':
    np.testing.assert_allclose(losses, losses_on_one_device(), rtol=1e-2)
  for accuracy in re.findall(r'accuracy ([\d.]+)%', capsys.readouterr().out)[-1:]:
    assert float(accuracy) > 85


def test_bfloat16_keeps_the_trace_in_float32():
  example = load('bfloat16')
  params = {'hidden': jnp.ones((64, 32), jnp.bfloat16), 'output': jnp.ones((32, 10), jnp.bfloat16)}
  state = example['optimizer'].init(params)
  params, state, loss = example['train_step'](params, state, example['x'][:8], example['y'][:8])
  chex.assert_type(list(params.values()), jnp.bfloat16)
  chex.assert_type(list(state[0].trace.values()), jnp.float32)
  assert loss.dtype == jnp.float32


def test_multi_steps_with_the_mean_is_right_and_with_the_last_loss_wrong():
  losses, momenta = columns(load('multi_steps')['main']())
  assert_chosen_by(losses, momenta, 0.93, 0.857, **EPOCH)
  np.testing.assert_allclose(losses, losses_on_one_device(), rtol=1e-2)

  losses, momenta = columns(load('multi_steps')['main'](wrong=True))
  expected = reference.momenta(losses, rule='algorithm1', high=0.93, low=0.857, **EPOCH)
  assert np.mean(~np.isclose(momenta, expected)) > 0.1
