"""The optimizers of the arms: their names, what they build, and what they share."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from train.data import AsStored
from train.problem.arms import (
  OTHERS,
  Coin,
  Fixed,
  Lcam,
  Optax,
  Setting,
  Weighted,
  Yoked,
  arm_of_name,
  learning_rate_in,
)
from train.problem.experiments import DIGITS, EXPERIMENTS, FIGURE_3, FIGURE_5_CIFAR10
from train.problem.schedules import Constant, Cosine, Drops
from train.problem.schedules import Optax as OptaxSchedule
from train.system.errors import UserError
from train.training.programs import Programs
from train.training.trainer import Trainer

SETTING = Setting(Constant(0.1), epochs=4, steps_per_epoch=5, weight_decay=0.0, rule='equation9')
PARAMS = {'weight': jnp.array([1.0, -2.0, 3.0])}


@pytest.mark.parametrize(
  'name',
  [
    'fixed-0.85',
    'low0.8-high0.95',
    'coin0.8-0.95',
    'yoked0.8-0.95',
    'low0-high0.5',
    'easy-0.475',
    'hard-0.5',
    'adam-low0.85-high0.95',
    'lion-low0.9-high0.8',
    *(arm.name for arm in OTHERS),
  ],
)
def test_every_name_is_that_of_its_arm(name):
  arm = arm_of_name(name)
  assert arm.name == name
  assert json.loads(json.dumps(arm.config()))['name'] == name


@pytest.mark.parametrize(
  'name', ['fixed-1', 'low0.9', 'coin', 'yoked0.9-1.5', 'fixed--0.5', 'fixed-0.9 ', 'sgd', '']
)
def test_other_names_are_told_what_there_is(name):
  with pytest.raises(UserError, match='fixed-M, lowA-highB, coinA-B, yokedA-B'):
    arm_of_name(name)


@pytest.mark.parametrize('name', ['easy-0', 'easy-0.6', 'hard-0.51'])
def test_weights_below_zero_are_refused(name):
  with pytest.raises(UserError, match=r'strength of an arm must be above 0 and at most 0\.5'):
    arm_of_name(name)


def test_weights_need_more_than_one_example_in_a_batch():
  with pytest.raises(UserError, match='weighs the examples of a batch against each other'):
    dataclasses.replace(DIGITS, arms=('fixed-0.9', 'easy-0.3'), batch_size=1)


def test_controls_are_those_of_the_pair():
  assert FIGURE_3.arm('coin') == Coin(0.9, 0.95)
  assert FIGURE_3.arm('yoked') == Yoked(0.9, 0.95)
  assert FIGURE_3.arm('swapped') == Lcam(0.95, 0.9)


def steps(arm, losses, setting=SETTING, params=PARAMS):
  """Yields updates and state of an arm whose gradients are its parameters."""
  optimizer = arm.build(setting)
  state = optimizer.init(params)
  for loss in losses:
    updates, state = optimizer.update(params, state, params, value=loss)
    yield updates, state
    params = optax.apply_updates(params, updates)


def test_fixed_momentum_is_sgd():
  sgd = optax.sgd(0.1, 0.85)
  params, state = PARAMS, sgd.init(PARAMS)
  for updates, _ in steps(Fixed(0.85), [1.0, 3.0, 2.0]):
    expected, state = sgd.update(params, state)
    np.testing.assert_allclose(updates['weight'], expected['weight'], rtol=1e-6)
    params = optax.apply_updates(params, expected)


def test_weighted_arms_take_the_steps_of_fixed_momentum():
  for weighted, fixed in zip(
    steps(Weighted(-0.475), [1.0, 3.0, 2.0]), steps(Fixed(0.9), [1.0, 3.0, 2.0]), strict=True
  ):
    np.testing.assert_array_equal(weighted[0]['weight'], fixed[0]['weight'])
    assert optax.tree.get(weighted[1], 'loss_phase_strength') == np.float32(-0.475)


@pytest.mark.parametrize('arm', [Lcam(0.4, 0.8), Coin(0.4, 0.8), Yoked(0.4, 0.8)])
def test_arms_with_a_pair_apply_the_momentum_that_they_tell(arm):
  trace = 0.0
  params = np.asarray(PARAMS['weight'])
  for updates, state in steps(arm, [1.0, 3.0, 2.0, 0.5, 4.0, 1.0, 2.0]):
    momentum = float(optax.tree.get(state, 'momentum'))
    assert momentum in (np.float32(0.4), np.float32(0.8))
    trace = params + momentum * trace
    np.testing.assert_allclose(updates['weight'], -0.1 * trace, rtol=1e-5)
    params = params + np.asarray(updates['weight'])


@pytest.mark.parametrize('arm', OTHERS, ids=lambda arm: arm.name)
def test_other_arms_go_downhill_from_a_rate_in_their_state(arm):
  setting = SETTING._replace(schedule=Constant(1e-3))
  _, (updates, state) = steps(arm, [7.0, 7.0], setting)
  rate = float(optax.tree.get(state, 'hyperparams')['learning_rate'])
  assert rate > 0
  if arm.learning_rate is not None:
    np.testing.assert_allclose(rate, arm.learning_rate, rtol=1e-6)
  assert (np.sign(updates['weight']) == -np.sign(PARAMS['weight'])).all()


@pytest.mark.parametrize('name', ['adam-low0.85-high0.95', 'lion-low0.85-high0.95'])
def test_the_loss_chooses_b1_of_adam_and_lion(name):
  b1 = [
    float(optax.tree.get(state, 'hyperparams')['b1'])
    for _, state in steps(arm_of_name(name), [2.0, 3.0, 1.0])
  ]
  np.testing.assert_allclose(b1, [0.85, 0.95, 0.85], rtol=1e-6)


def test_schedule_free_is_evaluated_at_its_average():
  arm = arm_of_name('schedule-free-sgd')
  params = PARAMS
  for updates, last in steps(arm, [1.0] * 6):
    params, state = optax.apply_updates(params, updates), last
  (free,) = (found for _, found in optax.tree.get_all_with_path(state, 'ScheduleFreeState'))
  # The parameters that are trained lie between the average and the base sequence z.
  average = arm.evaluation_params(state, params)['weight']
  np.testing.assert_allclose(0.9 * average + 0.1 * free.z['weight'], params['weight'], rtol=1e-5)
  assert (np.abs(average - params['weight']) > 1e-6).all()
  assert Fixed(0.9).evaluation_params(state, params) is params


def adamw(learning_rate):
  return optax.adamw(learning_rate, weight_decay=0.5)


def sgd_of_numbers(learning_rate):
  return optax.chain(optax.trace(0.9), optax.scale(-2 * learning_rate))


OWN_OPTIMIZERS = {
  'takes a schedule': (adamw, adamw),
  'computes with the rate': (
    sgd_of_numbers,
    lambda rate: optax.sgd(lambda step: 2 * rate(step), momentum=0.9),
  ),
  'injects the rate': (optax.inject_hyperparams(adamw), adamw),
  'injects another number': (
    lambda rate: optax.inject_hyperparams(optax.adamw, static_args='learning_rate')(
      rate, weight_decay=0.5
    ),
    adamw,
  ),
  'asks for the loss': (optax.contrib.momo, optax.contrib.momo),
  'adds up the gradients of several steps': (
    lambda rate: optax.MultiSteps(adamw(rate), 2),
    lambda rate: optax.MultiSteps(adamw(rate), 2).gradient_transformation(),
  ),
}


@pytest.mark.parametrize('which', OWN_OPTIMIZERS)
def test_an_optimizer_of_ones_own_takes_its_own_steps(which):
  function, usual = OWN_OPTIMIZERS[which]
  setting = SETTING._replace(schedule=Cosine(), weight_decay=0.3)  # which is not added
  rate = optax.cosine_decay_schedule(0.02, 20)
  expected = optax.with_extra_args_support(usual(rate))
  params, state = PARAMS, expected.init(PARAMS)
  found = steps(Optax('mine', function, learning_rate=0.02), [1.0, 3.0, 2.0], setting)
  for number, (updates, own) in enumerate(found):
    wanted, state = expected.update(params, state, params, value=[1.0, 3.0, 2.0][number])
    np.testing.assert_allclose(updates['weight'], wanted['weight'], rtol=1e-5)
    np.testing.assert_allclose(learning_rate_in(own), rate(number), rtol=1e-6)
    params = optax.apply_updates(params, wanted)


def test_a_rate_that_would_never_change_is_refused():
  injected = optax.inject_hyperparams(optax.adamw)
  optimizer = Optax('mine', lambda rate: injected(rate / 2)).build(SETTING)
  with pytest.raises(UserError, match='mine gives inject_hyperparams a number'):
    optimizer.init(PARAMS)


def test_every_arm_of_every_experiment_has_an_optimizer():
  for comparisons in EXPERIMENTS.values():
    for comparison in comparisons:
      arms = (*comparison.arms, *map(comparison.arm, ('yoked', 'coin', 'swapped')))
      for arm in arms:
        comparison.build_optimizer(arm, steps_per_epoch=10, seed=0).init(PARAMS)


def test_schedules_of_the_paper_at_full_length():
  drops = FIGURE_3.schedule.build(150, 391)
  for epoch, rate in ((30, 0.1), (31, 0.02), (60, 0.02), (61, 0.004), (91, 0.0008)):
    np.testing.assert_allclose(drops(epoch * 391), rate, rtol=1e-6)
  decay = FIGURE_5_CIFAR10.schedule.build(150, 391)
  for step, decays in ((31 * 391 - 1, 0), (31 * 391, 1), (120 * 391, 89 * 391 + 1)):
    np.testing.assert_allclose(decay(step), 0.1 * 0.99985**decays, rtol=1e-5)


def test_shorter_runs_go_through_the_same_rates():
  drops = FIGURE_3.schedule.build(30, 79)
  for epoch, rate in ((5, 0.1), (6, 0.02), (11, 0.02), (12, 0.004), (18, 0.0008)):
    np.testing.assert_allclose(drops(epoch * 79), rate, rtol=1e-6)
  decay = FIGURE_5_CIFAR10.schedule.build(30, 79)
  np.testing.assert_allclose(decay(30 * 79 - 1), 0.1 * 0.99985 ** (119 * 391), rtol=1e-5)
  assert Constant(1e-4).build(3, 5)(14) == np.float32(1e-4)
  np.testing.assert_allclose(Cosine(0.1).build(10, 10)(50), 0.05, rtol=1e-6)
  np.testing.assert_allclose(Drops(0.1, (0.5,), 0.1).build(1, 4)(4), 0.01, rtol=1e-6)


def one_layer(num_classes, rngs):
  return nnx.Sequential(lambda x: x.reshape(len(x), -1), nnx.Linear(192, num_classes, rngs=rngs))


def warm_up(steps):
  return optax.warmup_cosine_decay_schedule(0, 0.1, 6, steps)


def test_a_schedule_of_optax_is_that_of_all_steps_and_scales_to_a_rate():
  expected = np.array([warm_up(20)(step) for step in range(20)])
  assert expected[0] == 0
  setting = SETTING._replace(schedule=OptaxSchedule(warm_up))
  scaled = setting._replace(schedule=dataclasses.replace(setting.schedule, init_value=0.5))
  for rates, factor in (
    (setting.learning_rate()(np.arange(20)), 1),
    (setting.learning_rate(0.001)(np.arange(20)), 0.01),
    (scaled.learning_rate()(np.arange(20)), 5),
    (jax.jit(lambda rate: setting.learning_rate(rate)(np.arange(20)))(0.001), 0.01),
  ):
    np.testing.assert_allclose(rates, factor * expected, rtol=1e-5)


@pytest.mark.parametrize('name', ['momo', 'schedule-free-sgd'])
def test_arms_that_need_a_first_rate_ask_the_schedule_for_one(name):
  comparison = dataclasses.replace(DIGITS, schedule=OptaxSchedule(warm_up))
  with pytest.raises(UserError, match=r'`init_value` of the schedule'):
    comparison.build_optimizer(arm_of_name(name), 5, 0)
  comparison = dataclasses.replace(DIGITS, schedule=OptaxSchedule(warm_up, init_value=0.1))
  comparison.build_optimizer(arm_of_name(name), 5, 0).init(PARAMS)


def test_a_schedule_without_a_rate_cannot_be_scaled():
  schedule = OptaxSchedule(lambda steps: optax.constant_schedule(0.0), init_value=0.1)
  with pytest.raises(UserError, match='highest learning rate is 0'):
    schedule.build(1, 1)


@pytest.mark.training
def test_arms_that_differ_in_numbers_share_one_compiled_step():
  comparison = dataclasses.replace(
    DIGITS, network=one_layer, train_examples=40, batch_size=20, epochs=1
  )
  trainer = Trainer(comparison, comparison.load())
  step_of = {}
  for arm in (*comparison.arms, Fixed(0.5), Coin(0.4, 0.8), Coin(0.5, 0.9)):
    for seed in (0, 1):
      state, step_of[arm] = trainer.start(arm, seed)
      for step, batch in enumerate(trainer.train_input.epoch(seed, 0, comparison.batch_size)):
        state = step_of[arm](state, batch, seed, 0, step)
      assert float(optax.tree.get(state.opt_state, 'momentum')) in map(
        np.float32, getattr(arm, 'momenta', (getattr(arm, 'momentum', None),))
      )
  assert len(set(step_of.values())) == 2
  assert all(train_step._cache_size() == 1 for train_step in step_of.values())


def test_making_a_step_leaves_the_mode_of_a_network_alone():
  model = nnx.BatchNorm(3, use_running_average=True, rngs=nnx.Rngs(0))
  programs = Programs(model, AsStored())
  state = programs.initial_state(model, optax.sgd(0.1), 1)
  inputs, labels = jnp.ones((2, 3)), jnp.zeros(2, int)
  jax.eval_shape(programs.loss, state.params, state.model_state, inputs, labels)
  assert model.use_running_average is True
