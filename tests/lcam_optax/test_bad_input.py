"""What a user hears who passes something wrong."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import lcam_optax
from lcam_optax import balanced_momentum, hold_then_decay, lcam, scale_by_lcam, step_drops


@pytest.mark.parametrize('build', [lambda **kw: lcam(0.1, **kw), scale_by_lcam])
@pytest.mark.parametrize('name', ['high_loss_momentum', 'low_loss_momentum'])
@pytest.mark.parametrize('momentum', [1.0, 1, -0.1, float('nan'), np.float32(1.5), None, '0.9'])
def test_momentum_out_of_range(build, name, momentum):
  with pytest.raises(ValueError, match=f'{name} must be at least 0 and below 1'):
    build(**{name: momentum})


@pytest.mark.parametrize('steps', [0, -1, 0.5, 390.625, float('nan'), np.int64(0), '391'])
def test_steps_per_epoch_out_of_range(steps):
  with pytest.raises(ValueError, match='steps_per_epoch must be a whole number of at least 1'):
    lcam(0.1, steps_per_epoch=steps)


def test_unknown_rule():
  with pytest.raises(ValueError, match=r"one of 'equation9', 'algorithm1', but is 'eq9'"):
    lcam(0.1, rule='eq9')


def test_arrays_are_not_checked():
  jax.jit(lambda momentum: lcam(0.1, momentum, steps_per_epoch=momentum).init(0.0))(5.0)


def test_missing_value():
  solver = lcam(0.1)
  params = jnp.ones(2)
  with pytest.raises(ValueError, match=r'update\(grads, state, params, value=loss\)'):
    solver.update(params, solver.init(params), params)


@pytest.mark.parametrize('jit', [False, True])
@pytest.mark.parametrize('shape', [(4,), (1,), (2, 3)])
def test_loss_that_is_not_a_scalar(shape, jit):
  solver = lcam(0.1)
  params = jnp.ones(2)
  update = jax.jit(solver.update) if jit else solver.update
  with pytest.raises(ValueError, match='average per-example or per-device losses first'):
    update(params, solver.init(params), params, value=jnp.ones(shape))


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
  for epochs in ((61, 31), (0, 31), (-5,)):
    with pytest.raises(ValueError, match='drop_epochs must be at least 1 and in order'):
      step_drops(0.1, 391, drop_epochs=epochs)
  with pytest.raises(ValueError, match='factor must be above 0'):
    step_drops(0.1, 391, factor=0.0)
  with pytest.raises(ValueError, match='hold_epochs must be at least 0'):
    hold_then_decay(0.1, 391, hold_epochs=-1)
  with pytest.raises(ValueError, match='decay_rate must be above 0 and at most 1'):
    hold_then_decay(0.1, 391, decay_rate=1.5)


def test_every_public_name_has_an_example():
  for name in lcam_optax.__all__:
    documented = getattr(lcam_optax, name).__doc__
    assert documented
    assert name == 'LcamState' or '>>>' in documented, name
