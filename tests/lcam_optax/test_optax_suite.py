"""Optax's own suite for contributed optimizers, run on LCAM.

The suite looks its optimizers up by name in ``optax.contrib`` and passes the loss to those it knows
to need one. LCAM stands in for one of them, momo, and runs all of its cases.
"""

import functools

import optax
import optax.contrib
import pytest
from optax.contrib import _common_test

from lcam_optax import lcam

pytestmark = pytest.mark.training


@functools.wraps(lcam)
def lcam_for_rosenbrock(learning_rate, **kwargs):
  # The suite gives momo a rate of 0.1 that it adapts; the Rosenbrock function wants a small one.
  return optax.chain(lcam(learning_rate, **kwargs), optax.scale(1e-3))


CASES = sorted(
  name
  for name, arguments in _common_test.ContribTest._test_params_reprs.items()
  if "opt_name='momo'" in arguments
)


def test_the_cases_are_found():
  assert len(CASES) > 10


@pytest.mark.filterwarnings('ignore:Without steps_per_epoch or mean_decay')
@pytest.mark.parametrize('case', CASES)
def test_case_of_the_suite(case, monkeypatch):
  monkeypatch.setattr(optax.contrib, 'momo', lcam_for_rosenbrock)
  result = _common_test.ContribTest(case).run()
  failures = result.failures + result.errors
  assert result.testsRun == 1
  assert not failures, failures[0][1]
