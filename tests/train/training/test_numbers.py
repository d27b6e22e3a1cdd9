"""Losses and metrics are computed in float32, whatever the network, loss or metric computes in."""

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import optax
import pytest
from flax import nnx

from train import Comparison, Dataset, Split
from train.data import AsStored, Batch
from train.problem.metrics import metric_of
from train.system.errors import UserError
from train.training.checks import check_fit
from train.training.programs import Programs

RNG = np.random.default_rng(0)
INPUTS, TARGETS = RNG.normal(size=(300, 4)).astype('float32'), RNG.integers(0, 3, 300)


class Network(nnx.Module):
  """Returns a fixed product in a dtype."""

  def __init__(self, dtype):
    self.weights = nnx.Param(jnp.asarray(np.random.default_rng(1).normal(size=(4, 3)), 'float32'))
    self.dtype = dtype

  def __call__(self, inputs):
    return inputs.astype(self.dtype) @ self.weights[...].astype(self.dtype)


def cross_entropy(logits, labels):
  return optax.softmax_cross_entropy_with_integer_labels(logits, labels)


def evaluated(dtype, metric, loss=cross_entropy):
  """Returns mean loss and mean metric of the examples, and the training loss of their batch."""
  network = Network(dtype)
  programs = Programs(network, AsStored(), loss, metric_of(metric))
  state = programs.initial_state(network, optax.sgd(0.1), 1)
  batch = Batch(jnp.asarray(INPUTS), jnp.asarray(TARGETS, 'int32'))
  sums = programs.eval_step(state.params, state.model_state, batch)
  trained, _ = programs.loss(state.params, state.model_state, *batch[:2])
  return float(sums.loss) / 300, float(sums.metric) / 300, float(trained)


@pytest.mark.parametrize('dtype', ['bfloat16', 'float16'])
def test_the_loss_of_a_short_dtype_is_that_of_its_outputs_in_float64(dtype):
  kind = np.dtype(getattr(ml_dtypes, dtype, dtype))
  weights = np.random.default_rng(1).normal(size=(4, 3)).astype('float32')
  outputs = np.asarray(jnp.asarray(INPUTS, kind) @ jnp.asarray(weights, kind), np.float64)
  shifted = outputs - outputs.max(1, keepdims=True)
  losses = np.log(np.exp(shifted).sum(1)) - shifted[np.arange(300), TARGETS]
  np.testing.assert_allclose(evaluated(dtype, cross_entropy), [losses.mean()] * 3, rtol=1e-4)


@pytest.mark.parametrize(
  ('dtype', 'value'), [('float16', 60_000.0), ('int32', 1_000_000_000), ('bfloat16', 0.30078125)]
)
def test_the_mean_of_a_metric_does_not_depend_on_its_dtype(dtype, value):
  def metric(outputs, targets):
    return jnp.full(targets.shape, value, dtype)

  assert evaluated('float32', metric)[1] == pytest.approx(value, rel=1e-6)


def test_the_mean_loss_of_a_batch_is_taken_in_float32():
  def loss(outputs, targets):
    return (outputs[:, 0] * 0 + 1 + targets / 512).astype(jnp.bfloat16)

  values = np.asarray(jnp.asarray(1 + TARGETS / 512, jnp.bfloat16), np.float64)
  _, _, trained = evaluated('float32', cross_entropy, loss)
  assert trained == pytest.approx(values.mean(), rel=1e-6)


def info_nce(outputs, targets):
  similar = outputs @ outputs.T
  return optax.softmax_cross_entropy_with_integer_labels(similar, jnp.arange(len(similar)))


def centred(outputs, targets):
  return (outputs[:, 0] - outputs[:, 0].mean() - targets) ** 2


def broadcast(outputs, targets):
  return ((outputs - targets) ** 2).mean(1)


def squared(outputs, targets):
  return (outputs[:, 0] - targets) ** 2


def constant(outputs, targets):
  return jnp.ones(len(targets))


@pytest.mark.parametrize('loss', [info_nce, centred, broadcast])
@pytest.mark.parametrize('role', ['loss', 'metric'])
def test_what_mixes_the_examples_of_a_batch_is_refused(loss, role):
  functions = {'loss': squared, 'metric': squared} | {role: loss}
  with pytest.raises(UserError, match=f'{loss.__name__} .* must judge each example alone'):
    check_fit(*problem(**functions))


@pytest.mark.parametrize('loss', [squared, constant])
def test_what_judges_each_example_alone_is_taken(loss):
  check_fit(*problem(loss=loss, metric=loss))


def problem(**functions):
  split = Split(INPUTS, TARGETS.astype('float32'))
  dataset = Dataset('random', split, split)
  comparison = Comparison(
    name='random',
    dataset=dataset,
    network=lambda num_classes, rngs: nnx.Linear(4, 1, rngs=rngs),
    epochs=1,
    batch_size=32,
    arms=('fixed-0.9',),
    **functions,
  )
  return comparison, dataset


def test_a_network_with_several_outputs_is_cast_as_a_whole():
  from train.training.programs import in_float32

  outputs = in_float32({'a': jnp.ones(2, 'bfloat16'), 'b': (jnp.ones(2, 'int32'),)})
  assert jax.tree.map(lambda leaf: leaf.dtype.name, outputs) == {'a': 'float32', 'b': ('int32',)}
