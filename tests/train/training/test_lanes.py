"""Runs trained at once have the numbers of runs trained alone, whatever runs beside them."""

import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import models
from train import Comparison, Dataset, Split
from train.problem.arms import Optax, arm_of_name
from train.problem.schedules import Constant
from train.training.lanes import LanePrograms, Lanes
from train.training.trainer import Alone, Settings, Start, Trainer

pytestmark = pytest.mark.training
LANES, EPOCHS = 4, 2
AT_ONCE = Settings(together=LANES)
SEEDS = (0, 5)
LCAM = arm_of_name('low0.5-high0.9')


def dataset(*shape, examples=44, classes=2):
  """Returns classes that differ in their means; the last batch of 8 has four examples."""
  rng = np.random.default_rng(0)
  labels = rng.integers(classes, size=examples)
  inputs = rng.normal(size=(examples, *shape)) + labels.reshape(-1, *[1] * len(shape))
  split = Split(inputs.astype(np.float32), labels)
  return Dataset('means', split, split, tuple(map(str, range(classes))))


class Mlp(nnx.Module):
  """Two layers, with batch statistics and dropout."""

  def __init__(self, num_classes, rngs, dtype=None):
    self.first = nnx.Linear(6, 8, dtype=dtype, rngs=rngs)
    self.norm = nnx.BatchNorm(8, dtype=dtype, rngs=rngs)
    self.dropout = nnx.Dropout(0.2, rngs=rngs)
    self.last = nnx.Linear(8, num_classes, dtype=dtype, rngs=rngs)

  def __call__(self, x):
    return self.last(self.dropout(nnx.relu(self.norm(self.first(x)))))


class Gru(nnx.Module):
  """A recurrent layer, whose last output is read."""

  def __init__(self, num_classes, rngs):
    self.layer = nnx.RNN(nnx.GRUCell(6, 8, rngs=rngs))
    self.last = nnx.Linear(8, num_classes, rngs=rngs)

  def __call__(self, x):
    return self.last(self.layer(x)[:, -1])


class Attention(nnx.Module):
  """A layer of attention, whose mean output is read."""

  def __init__(self, num_classes, rngs):
    self.layer = nnx.MultiHeadAttention(2, 6, 8, decode=False, rngs=rngs)
    self.last = nnx.Linear(6, num_classes, rngs=rngs)

  def __call__(self, x):
    return self.last(self.layer(x).mean(1))


class OfSeveral(nnx.Module):
  """Reads a dictionary of features and a pair of numbers."""

  def __init__(self, num_classes, rngs):
    self.mlp = Mlp(num_classes, rngs)
    self.scale = nnx.Param(jnp.ones(1))

  def __call__(self, inputs):
    age, height = inputs['person']
    return self.mlp(inputs['features']) + self.scale * (age - height)[:, None]


def of_several():
  """Returns data whose inputs are a dictionary of an array and a pair."""
  data = dataset(6)
  values = data.train.inputs
  inputs = {'features': values, 'person': (values[:, 0], values[:, 1])}
  split = Split(inputs, data.train.labels)
  return dataclasses.replace(data, train=split, test=split)


def wide_resnet(num_classes, rngs):
  return models.WideResNet(10, 1, num_classes, rngs=rngs)


def m11(num_classes, rngs):
  return models.M11(num_classes, rngs=rngs)


def trainer_of(network=Mlp, data=None, **changes):
  comparison = Comparison(
    name='small',
    dataset=data or dataset(6),
    network=network,
    epochs=EPOCHS,
    batch_size=8,
    schedule=Constant(0.05),
    **changes,
  )
  return Trainer(comparison, comparison.load(), AT_ONCE)


def trained(engine):
  """Returns for each run the sums of each epoch and of the evaluation after it."""
  state, found = engine.state, []
  for epoch in range(EPOCHS):
    *_, (state, _) = engine.train(state, epoch, 0)
    found.append(jax.device_get((state.sums, engine.evaluate(state))))
    sums = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), state.sums)
    state = state._replace(sums=sums)
  return [list(of_run) for of_run in zip(*map(engine.by_run, found), strict=True)]


def phases(steps):
  return np.random.default_rng(1).integers(2, size=steps).astype(np.int8)


def check_agreement(trainer, arm):
  replayed = phases(EPOCHS * trainer.steps_per_epoch) if arm.name.startswith('yoked') else None
  starts = [Start(arm, seed, replayed) for seed in SEEDS]
  programs = LanePrograms(trainer, LANES)
  together = trained(Lanes(programs, starts))
  for start, at_once in zip(starts, together, strict=False):
    (alone,) = trained(Alone(trainer, start))
    for tolerance, one, other in zip((1e-5, 1e-4), alone, at_once, strict=True):
      np.testing.assert_array_equal(one[0].phases, other[0].phases)
      np.testing.assert_allclose(one[0].loss, other[0].loss, rtol=tolerance)
      np.testing.assert_allclose(one[1].loss, other[1].loss, rtol=1e-4)
      np.testing.assert_allclose(one[0].gradient_norm, other[0].gradient_norm, rtol=1e-3)
      np.testing.assert_allclose(one[0].momentum, other[0].momentum, rtol=1e-6)


def slow(*values):
  return pytest.param(*values, marks=pytest.mark.slow)


@pytest.mark.parametrize(
  'name',
  [
    'yoked0.5-0.9',
    # That of LCAM is also in test_several_inputs_reach_the_network.
    *map(slow, ('low0.5-high0.9', 'coin0.5-0.9', 'easy-0.4', 'momo', 'schedule-free-sgd', 'adamw')),
    *map(slow, ('adam-low0.5-high0.9', 'lion-low0.5-high0.9')),
  ],
)
def test_runs_at_once_agree_with_runs_alone(name):
  check_agreement(trainer_of(), arm_of_name(name))


@pytest.mark.parametrize('streamed', [False, slow(True)])
def test_several_inputs_reach_the_network(streamed):
  trainer = trainer_of(OfSeveral, of_several())
  if not streamed:
    check_agreement(trainer, LCAM)
    return
  start = Start(LCAM, 0)
  resident = trained(Alone(trainer, start))
  settings = Settings(stream=True)
  streamed_trainer = Trainer(trainer.comparison, trainer.comparison.load(), settings)
  chex.assert_trees_all_close(trained(Alone(streamed_trainer, start)), resident, rtol=1e-5)


@pytest.mark.parametrize('rate', [slow(None), 0.01])
def test_own_optimizers_at_once_agree_with_those_alone(rate):
  arm = Optax('mine', lambda rate: optax.adamw(rate, eps=1e-4, weight_decay=0.1), rate)
  check_agreement(trainer_of(arms=('fixed-0.9', arm)), arm)


@pytest.mark.slow
def test_losses_that_mix_examples_at_once_agree_with_those_alone():
  def contrastive(outputs, labels):
    products = outputs @ outputs[:, ::-1].T
    return optax.softmax_cross_entropy_with_integer_labels(products, jnp.arange(len(labels))).mean()

  check_agreement(trainer_of(loss=contrastive, mixes_examples=True), LCAM)


@pytest.mark.slow
def test_networks_that_compute_in_bfloat16_agree_at_the_start():
  trainer = trainer_of(dtype='bfloat16')
  at_once = trained(Lanes(LanePrograms(trainer, LANES), [Start(LCAM, 0)]))[0]
  (alone,) = trained(Alone(trainer, Start(LCAM, 0)))
  for one, other in zip(alone, at_once, strict=True):
    np.testing.assert_allclose(one[0].loss, other[0].loss, rtol=2e-2)


@pytest.mark.slow
@pytest.mark.parametrize('network', [Attention, Gru])
def test_networks_at_once_agree_with_networks_alone(network):
  check_agreement(trainer_of(network, dataset(5, 6)), LCAM)


def logarithms(run):
  """Returns the logarithms of a run's losses and gradient norm, a row for each epoch."""
  return np.log([[sums.loss, sums.gradient_norm, test.loss] for sums, test in run])


@pytest.mark.slow
@pytest.mark.parametrize(('network', 'shape'), [(wide_resnet, (8, 8, 3)), (m11, (8000,))])
def test_convolutions_at_once_differ_from_those_alone_as_rounding_makes_them_differ(network, shape):
  """XLA sums grouped convolutions in another order, and training amplifies what rounding leaves."""
  trainer = trainer_of(network, dataset(*shape))
  starts = [Start(LCAM, seed) for seed in SEEDS]
  together = trained(Lanes(LanePrograms(trainer, LANES), starts))
  rng = np.random.default_rng(0)
  for start, at_once in zip(starts, together, strict=False):
    alone = logarithms(*trained(Alone(trainer, start)))
    amplified = np.zeros(EPOCHS)
    for _ in range(3):
      engine = Alone(trainer, start)
      factors = jax.tree.map(
        lambda leaf: 1 + 3e-7 * rng.choice([-1, 1], leaf.shape), engine.state.params
      )
      params = jax.tree.map(lambda leaf, by: leaf * jnp.float32(by), engine.state.params, factors)
      engine.state = engine.state._replace(params=params)
      rounded = logarithms(*trained(engine))
      amplified = np.maximum(amplified, abs(rounded - alone).max(1))
    assert (abs(logarithms(at_once) - alone).max(1) <= 3 * amplified + 1e-6).all()


def test_lanes_train_on_other_examples_in_place_of_the_trainers():
  one, other = dataset(6), dataset(6, examples=88)
  other = dataclasses.replace(one, train=Split(other.train.inputs[44:], other.train.labels[44:]))

  def linear(num_classes, rngs):
    return nnx.Linear(6, num_classes, rngs=rngs)

  trainers = [trainer_of(linear, data) for data in (one, other)]
  programs = [LanePrograms(trainer, LANES) for trainer in trainers]
  start = [Start(LCAM, 3)]
  replaced = trained(Lanes(programs[0], start, programs[1].data))
  chex.assert_trees_all_equal(replaced, trained(Lanes(programs[1], start)))
  assert replaced[0][0][0].loss != trained(Lanes(programs[0], start))[0][0][0].loss


def test_a_lane_depends_on_no_other_and_not_on_its_place():
  trainer = trainer_of()
  programs = LanePrograms(trainer, LANES)
  arms = LCAM, arm_of_name('fixed-0.3'), arm_of_name('fixed-0.9')
  first = [Start(arms[0], 3), Start(arms[1], 4), Start(arms[2], 5)]
  second = [Start(arms[2], 9), Start(arms[2], 5), Start(arms[0], 8), Start(arms[0], 3)]
  one, other = (trained(Lanes(programs, starts)) for starts in (first, second))
  chex.assert_trees_all_equal(one[0], other[3])
  chex.assert_trees_all_equal(one[2], other[1])


def test_a_diverging_lane_leaves_the_others_alone():
  trainer = trainer_of(weight_decay=0.0)
  programs = LanePrograms(trainer, LANES)
  bad = dataclasses.replace(arm_of_name('fixed-0.9'), momentum=1e30)
  beside = trained(Lanes(programs, [Start(bad, 1), Start(LCAM, 0)]))
  without = trained(Lanes(programs, [Start(LCAM, 0)]))
  assert not np.isfinite(beside[0][-1][0].loss)
  chex.assert_trees_all_equal(beside[1], without[0])


@pytest.mark.parametrize(('network', 'shape'), [(Mlp, (6,)), (wide_resnet, (8, 8, 3))])
def test_on_a_cpu_networks_without_convolutions_are_trained_at_once(network, shape):
  trainer = trainer_of(network, dataset(*shape))
  trainer.settings = Settings(together='auto')
  reason = LanePrograms(trainer, LANES).of(LCAM).reason_against()
  assert reason == (None if network is Mlp else '')
