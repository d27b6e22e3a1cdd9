"""What a user hears who names no mean: one warning, at the line that built the transformation."""

import inspect
import warnings

import optax
import pytest

from lcam_optax import lcam, loss_phase_schedule, loss_phase_tracker, scale_by_lcam

BUILDERS = {
  'lcam': lambda **mean: lcam(0.1, **mean),
  'scale_by_lcam': lambda **mean: scale_by_lcam(**mean),
  'loss_phase_tracker': lambda **mean: loss_phase_tracker(**mean),
  'loss_phase_schedule': lambda **mean: loss_phase_schedule(0.9, 0.5, **mean),
}


@pytest.mark.parametrize('name', BUILDERS)
def test_without_a_mean_there_is_one_warning_at_the_users_line(name):
  with pytest.warns(UserWarning, match=r'pass steps_per_epoch=.* or mean_decay=') as caught:
    BUILDERS[name]()
  (warning,) = caught
  assert warning.filename == __file__
  assert warning.lineno == inspect.getsourcelines(BUILDERS[name])[1]


@pytest.mark.parametrize('name', BUILDERS)
@pytest.mark.parametrize('mean', [{'steps_per_epoch': 10}, {'mean_decay': 0.9}])
def test_with_a_mean_there_is_none(name, mean):
  with warnings.catch_warnings():
    warnings.simplefilter('error')
    BUILDERS[name](**mean)


def test_injecting_with_a_mean_warns_neither():
  with warnings.catch_warnings():
    warnings.simplefilter('error')
    solver = optax.inject_hyperparams(lcam)(0.1, mean_decay=0.9)
    solver.update(1.0, solver.init(1.0), 1.0, value=1.0)
