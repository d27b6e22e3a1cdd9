"""The weights that runs start from."""

import chex
import jax
import numpy as np
import pytest
from flax import nnx

from train.problem.experiments import DIGITS
from train.training.programs import make_initializer, make_programs

pytestmark = pytest.mark.training


def params(model):
  return jax.tree.map(np.asarray, nnx.to_pure_dict(nnx.state(model, nnx.Param)))


def test_they_are_those_of_the_network_built_with_that_seed():
  initialize = make_initializer(DIGITS, 10, make_programs(DIGITS, 10).model)
  alone = DIGITS.build_network(10, 3)
  # One program may round otherwise than many.
  chex.assert_trees_all_close(params(initialize(3)), params(alone), rtol=1e-5, atol=1e-7)


def test_they_depend_on_the_seed_alone():
  initialize = make_initializer(DIGITS, 10, make_programs(DIGITS, 10).model)
  first, other, again = params(initialize(0)), params(initialize(1)), params(initialize(0))
  chex.assert_trees_all_equal(first, again)
  kernels = [weights['stem']['kernel'] for weights in (first, other)]
  assert not np.allclose(*kernels)
