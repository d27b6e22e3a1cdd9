"""What a user hears who passes something wrong."""

import fractions
import inspect
import typing

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import optax
import pytest

import lcam_optax
from lcam_optax import (
  balanced_momentum,
  coin_tracker,
  hold_then_decay,
  lcam,
  loss_phase_schedule,
  loss_phase_tracker,
  loss_phase_weights,
  replay_tracker,
  scale_by_lcam,
  scale_by_phase,
  step_drops,
)

TRACKER = loss_phase_tracker(steps_per_epoch=4)


def build_lcam(*args, **keywords):
  return lcam(0.1, *args, **{'steps_per_epoch': 4} | keywords)


def build_scale_by_lcam(*args, **keywords):
  return scale_by_lcam(*args, **{'steps_per_epoch': 4} | keywords)


def build_schedule(**keywords):
  return loss_phase_schedule(0.9, 0.5, **keywords)


def build_scale_by_phase(high=0.9, low=0.5, **keywords):
  return scale_by_phase(TRACKER, high, low, **keywords)


USERS_OF_THE_LOSS = [
  lambda **kw: lcam(0.1, **kw),
  scale_by_lcam,
  loss_phase_tracker,
  build_schedule,
]
NO_NUMBERS = [None, True, np.True_, '0.9', [0.9], 0.9j, object(), fractions.Fraction(1, 2)]


@pytest.mark.parametrize('build', [build_lcam, build_scale_by_lcam])
@pytest.mark.parametrize('name', ['high_loss_momentum', 'low_loss_momentum'])
@pytest.mark.parametrize(
  'momentum', [1.0, 1, -0.1, float('nan'), float('inf'), np.float32(1.5), *NO_NUMBERS]
)
def test_momentum_out_of_range(build, name, momentum):
  with pytest.raises(ValueError, match=f'{name} must be at least 0 and below 1'):
    build(**{name: momentum})


@pytest.mark.parametrize('momentum', [1.0, -0.1, *NO_NUMBERS])
def test_momentum_of_a_phase_out_of_range(momentum):
  with pytest.raises(ValueError, match='high_phase_momentum must be at least 0 and below 1'):
    build_scale_by_phase(high=momentum)
  with pytest.raises(ValueError, match='low_phase_momentum must be at least 0 and below 1'):
    build_scale_by_phase(low=momentum)


@pytest.mark.parametrize('build', USERS_OF_THE_LOSS)
@pytest.mark.parametrize('steps', [0, -1, 0.5, 390.625, float('nan'), np.int64(0), *NO_NUMBERS[1:]])
def test_steps_per_epoch_out_of_range(build, steps):
  with pytest.raises(ValueError, match='steps_per_epoch must be a whole number of at least 1'):
    build(steps_per_epoch=steps)


@pytest.mark.parametrize('steps', [2**31, np.int64(2**31), float('inf'), 1e10])
def test_steps_per_epoch_too_large_to_count(steps):
  with pytest.raises(ValueError, match='steps_per_epoch must be'):
    lcam(0.1, steps_per_epoch=steps)


@pytest.mark.parametrize('build', USERS_OF_THE_LOSS)
@pytest.mark.parametrize('decay', [0, 0.0, 1.0, 1, 1.5, -0.5, float('nan'), *NO_NUMBERS[1:]])
def test_mean_decay_out_of_range(build, decay):
  with pytest.raises(ValueError, match='mean_decay must be above 0 and below 1'):
    build(mean_decay=decay)


@pytest.mark.parametrize('build', USERS_OF_THE_LOSS)
def test_two_kinds_of_mean(build):
  with pytest.raises(ValueError, match='steps_per_epoch and mean_decay are two kinds of mean'):
    build(steps_per_epoch=4, mean_decay=0.9)


@pytest.mark.parametrize('build', USERS_OF_THE_LOSS)
@pytest.mark.parametrize('rule', ['eq9', None, 9, ('equation9',), ['equation9']])
def test_unknown_rule(build, rule):
  with pytest.raises(ValueError, match=r"one of 'equation9', 'algorithm1', but is"):
    build(rule=rule, steps_per_epoch=4)


def test_controls_check_what_they_are_built_from():
  for steps in (0, None, 2.5):
    with pytest.raises(ValueError, match='steps_per_epoch must be a whole number'):
      coin_tracker(0, steps_per_epoch=steps)
  for build in (
    lambda rule: coin_tracker(0, steps_per_epoch=4, rule=rule),
    lambda rule: replay_tracker([1], rule=rule),
  ):
    with pytest.raises(ValueError, match="rule must be one of 'equation9', 'algorithm1'"):
      build('eq9')
  for phases in (1, [[1, 0]], np.zeros(0, int)):
    with pytest.raises(ValueError, match=r'phases must have shape \(steps,\)'):
      replay_tracker(phases)
  for phases in ([0.9, 0.95], np.zeros(3)):  # momenta, for one
    with pytest.raises(ValueError, match='phases must be 1 for high and 0 for low'):
      replay_tracker(phases)


@pytest.mark.parametrize('build', [build_lcam, build_scale_by_lcam, build_scale_by_phase])
def test_options_of_the_trace(build):
  for nesterov in (1, 'yes', None, jnp.array(True)):
    with pytest.raises(ValueError, match='nesterov must be True or False'):
      build(nesterov=nesterov)
  for dtype in ('float99', 'int32', int, bool, 32, jnp.zeros(())):
    with pytest.raises(ValueError, match='accumulator_dtype must be a floating-point or complex'):
      build(accumulator_dtype=dtype)


@pytest.mark.parametrize('value', [*NO_NUMBERS, loss_phase_schedule(0.2, 0.1, mean_decay=0.9)])
def test_numbers_that_may_follow_the_step_count(value):
  for name, build in {
    'learning_rate': lambda: lcam(value, steps_per_epoch=4),
    'high_loss_value': lambda: loss_phase_schedule(value, 0.1, steps_per_epoch=4),
    'low_loss_value': lambda: loss_phase_schedule(0.1, value, steps_per_epoch=4),
  }.items():
    with pytest.raises(ValueError, match=f'{name} must be a number or a function of the step'):
      build()


@pytest.mark.parametrize(
  'schedule', [lambda step: 0.9, loss_phase_schedule(0.9, 0.8, mean_decay=0.9)]
)
@pytest.mark.parametrize('name', ['high_loss_momentum', 'low_loss_momentum', 'mean_decay'])
def test_a_schedule_needs_inject_hyperparams(name, schedule):
  with pytest.raises(ValueError, match=rf'{name} .*optax\.inject_hyperparams.*{name}=schedule'):
    scale_by_lcam(**{'mean_decay': 0.9, name: schedule})


def test_an_injected_accumulator_dtype_is_named():
  def build(dtype):  # Optax takes a type for a schedule
    return optax.inject_hyperparams(lcam)(0.1, steps_per_epoch=4, accumulator_dtype=dtype)

  with pytest.raises(ValueError, match=r"inject_hyperparams.*pass its name, as in 'float32'"):
    build(jnp.float32).init(jnp.ones(2))
  state = build('float32').init(jnp.ones(2, jnp.bfloat16))
  assert optax.tree.get(state, 'trace').dtype == jnp.float32


@pytest.mark.parametrize(
  'tracker', ['equation9', loss_phase_tracker, optax.identity(), None, ('init', 'update')]
)
def test_scale_by_phase_takes_trackers_only(tracker):
  with pytest.raises(ValueError, match='tracker must be a PhaseTracker'):
    scale_by_phase(tracker, 0.9, 0.5)


@pytest.mark.parametrize(
  'build',
  [
    lambda x: lcam(x, steps_per_epoch=4),
    lambda x: build_lcam(x),
    lambda x: build_lcam(0.9, x),
    lambda x: lcam(0.1, steps_per_epoch=x),
    lambda x: lcam(0.1, mean_decay=x),
    lambda x: build_scale_by_phase(x, x),
    lambda x: loss_phase_schedule(x, x, mean_decay=x),
    lambda x: loss_phase_weights(np.ones(2), x, mean=x) is not None,
  ],
)
def test_what_is_traced_is_not_checked_but_for_its_shape_and_dtype(build):
  for x in (jnp.array(5.0), np.array(-1.0)):
    build(x)
  jax.jit(lambda x: build(x) and 0)(5.0)
  jax.vmap(lambda x: build(x) and 0)(jnp.array([5.0, -1.0]))
  with pytest.raises(ValueError, match=r'must be one number, but has shape \(2,\)'):
    build(jnp.array([0.5, 0.6]))
  with pytest.raises(ValueError, match='must be a number, but is a boolean array'):
    build(jnp.array(True))
  with pytest.raises(ValueError, match='must be a real number, but is complex64'):
    build(jnp.array(0.5j))


def test_numbers_of_numpy_are_numbers():
  lcam(np.float32(0.1), np.float64(0.9), np.float16(0.5), steps_per_epoch=np.int64(391))
  loss_phase_tracker(steps_per_epoch=391.0)
  loss_phase_schedule(np.float32(0.9), np.int32(0), mean_decay=np.float32(0.9))


def optimizers():
  b1 = loss_phase_schedule(0.9, 0.5, steps_per_epoch=4)
  return [build_lcam(), build_scale_by_lcam(), optax.inject_hyperparams(optax.adam)(0.1, b1=b1)]


def update(solver, value, jit=False):
  params = jnp.ones(2)
  call = jax.jit(solver.update) if jit else solver.update
  return call(params, solver.init(params), params, value=value)


@pytest.mark.parametrize('solver', optimizers())
@pytest.mark.parametrize(
  ('value', 'sentence'),
  [
    (None, r'update\(grads, state, params, value=loss\).*TrainState.*lookahead.*sam'),
    ((jnp.ones(()), {'accuracy': 1.0}), r'tuple of 2: with `has_aux=True`, unpack'),
    (1j, 'must be a real loss, but is complex'),
    (jnp.complex64(1), 'must be a real loss, but is complex64'),
    (True, 'must be a loss, but is a boolean'),
    ('1.0', 'must be a scalar loss, but is a str'),
    ({'loss': 1.0}, 'must be a scalar loss, but is a dict'),
    (jnp.sum, 'must be a scalar loss, but is a function'),
    ([1.0, 2.0], r'has shape \(2,\): average per-example or per-device losses first'),
  ],
)
def test_losses_that_are_none(solver, value, sentence):
  with pytest.raises(ValueError, match=sentence):
    update(solver, value)


@pytest.mark.parametrize('jit', [False, True])
@pytest.mark.parametrize('shape', [(4,), (1,), (2, 3)])
def test_loss_that_is_not_a_scalar(shape, jit):
  with pytest.raises(ValueError, match='average per-example or per-device losses first'):
    update(build_lcam(), jnp.ones(shape), jit)


@pytest.mark.parametrize('strength', [0.6, -1, float('nan'), np.float32(0.51), *NO_NUMBERS])
def test_strength_out_of_range(strength):
  with pytest.raises(ValueError, match=r'strength must be at least -0\.5 and at most 0\.5'):
    loss_phase_weights(np.ones(2), strength)


def test_weights_are_of_the_losses_of_examples():
  with pytest.raises(
    ValueError, match='losses must be those of single examples, but is one number'
  ):
    loss_phase_weights(1.0, 0.3)
  for dtype in (int, bool, complex):
    with pytest.raises(ValueError, match='losses must be floating-point numbers, but are'):
      loss_phase_weights(np.ones(2, dtype), 0.3)
  for mean in ('1', True, [1.0]):
    with pytest.raises(ValueError, match='mean must be a number'):
      loss_phase_weights(np.ones(2), 0.3, mean=mean)
  with pytest.raises(ValueError, match=r'mean must be one number, but has shape \(2,\)'):
    loss_phase_weights(np.ones(2), 0.3, mean=np.ones(2))


@pytest.mark.parametrize(('momentum', 'mean'), [(1.0, 0.9), (-0.1, 0.9), (0.9, 1.0), (0.9, -1.0)])
def test_balanced_momentum_out_of_range(momentum, mean):
  with pytest.raises(ValueError, match='must be at least 0 and below 1'):
    balanced_momentum(momentum, mean)


def test_balanced_momentum_without_a_partner():
  with pytest.raises(ValueError, match=r'choose one of at most 0\.99'):
    balanced_momentum(0.995, mean=0.9)


@pytest.mark.parametrize('schedule', [step_drops, hold_then_decay])
def test_schedules_check_steps_per_epoch(schedule):
  with pytest.raises(ValueError, match='steps_per_epoch'):
    schedule(0.1, steps_per_epoch=0)


def test_schedules_check_their_epochs():
  for epochs in ((0, 31), (-5,), (31, float('nan')), (True, 31), ('31',)):
    with pytest.raises(ValueError, match='each of drop_epochs must be at least 1, but is'):
      step_drops(0.1, 391, drop_epochs=epochs)
  with pytest.raises(ValueError, match=r'drop_epochs must be in order, but are \(61, 31\)'):
    step_drops(0.1, 391, drop_epochs=(61, 31))
  with pytest.raises(ValueError, match='factor must be above 0'):
    step_drops(0.1, 391, factor=0.0)
  with pytest.raises(ValueError, match='hold_epochs must be at least 0'):
    hold_then_decay(0.1, 391, hold_epochs=-1)
  with pytest.raises(ValueError, match='hold_epochs must be at least 0, but is nan'):
    hold_then_decay(0.1, 391, hold_epochs=float('nan'))
  for epochs in (2**40, float('inf')):
    with pytest.raises(ValueError, match=r'fewer than 2\*\*31 updates'):
      step_drops(0.1, 391, drop_epochs=(31, epochs))
    with pytest.raises(ValueError, match=r'hold_epochs must have fewer than 2\*\*31 updates'):
      hold_then_decay(0.1, 391, hold_epochs=epochs)
  with pytest.raises(ValueError, match='decay_rate must be above 0 and at most 1'):
    hold_then_decay(0.1, 391, decay_rate=1.5)


def test_every_public_name_has_an_example():
  for name in lcam_optax.__all__:
    documented = getattr(lcam_optax, name).__doc__
    assert documented, name
    assert name.endswith('State') or '>>>' in documented, name


def test_signatures_are_short_and_their_types_can_be_resolved():
  for name in lcam_optax.__all__:
    function = getattr(lcam_optax, name)
    if inspect.isfunction(function):
      signature = inspect.signature(function)
      assert 'jaxlib' not in str(signature), name  # unions of arrays fill a screen
      hints = typing.get_type_hints(function)
      assert hints.keys() == {*signature.parameters, 'return'}, name


@pytest.mark.parametrize(
  'make',
  [
    lambda schedule: optax.adam(1e-3, b1=schedule),
    lambda schedule: optax.lion(1e-3, b2=schedule),
    lambda schedule: optax.sgd(0.1, momentum=schedule),
    lambda schedule: optax.sgd(schedule),
    lambda schedule: optax.adamw(1e-3, weight_decay=schedule),
  ],
)
def test_a_phase_schedule_without_inject_hyperparams_is_told_of(make):
  params = jnp.ones(3)

  def train():
    optimizer = make(loss_phase_schedule(0.95, 0.85, steps_per_epoch=10))
    optimizer.update(params, optimizer.init(params), params)

  with pytest.raises(TypeError, match=r'wrap the optimizer, as in `optax.inject_hyperparams'):
    train()


@pytest.mark.parametrize('dtype', ['bfloat16', 'float16'])
def test_steps_per_epoch_that_a_float_may_have_rounded_are_refused(dtype):
  params = jnp.zeros(2, dtype)
  optimizer = optax.inject_hyperparams(lcam)(0.1, steps_per_epoch=5005.0)
  with pytest.raises(ValueError, match='steps_per_epoch must be an integer'):
    optimizer.init(params)
  whole = optax.inject_hyperparams(lcam)(0.1, steps_per_epoch=5005).init(params)
  assert int(whole.hyperparams['steps_per_epoch']) == 5005


@pytest.mark.parametrize('steps', [5, 5.0])
@pytest.mark.parametrize('wrap', [lambda lcam: lcam, optax.inject_hyperparams])
def test_steps_per_epoch_as_a_whole_float_restarts_as_the_integer_does(steps, wrap):
  params = jnp.zeros(2)
  optimizer = wrap(lcam)(0.1, steps_per_epoch=steps)
  state, seen = optimizer.init(params), []
  for _ in range(11):
    _, state = optimizer.update(params, state, params, value=1.0)
    seen.append(int(optax.tree.get(state, 'epoch_step')))
  assert seen == [1, 2, 3, 4, 5, 1, 2, 3, 4, 5, 1]


def test_complex_parameters_under_inject_hyperparams_name_the_option():
  params = jnp.zeros(2, complex)
  with pytest.raises(ValueError, match='hyperparam_dtype'):
    optax.inject_hyperparams(lcam)(0.1, steps_per_epoch=4).init(params)
  made = optax.inject_hyperparams(lcam, hyperparam_dtype=jnp.float32)(0.1, steps_per_epoch=4)
  made.update(params, made.init(params), params, value=1.0)


@pytest.mark.parametrize('kind', [ml_dtypes.bfloat16, np.float16, np.float64])
def test_scalars_of_numpy_and_ml_dtypes_are_numbers(kind):
  lcam(kind(0.5), kind(0.5), kind(0.25), steps_per_epoch=np.int16(4))
  with pytest.raises(ValueError, match='high_loss_momentum must be at least 0 and below 1'):
    lcam(0.1, kind(1.5), steps_per_epoch=4)
