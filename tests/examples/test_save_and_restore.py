"""What Orbax restored goes on as if it had never stopped."""

import chex
import jax
import numpy as np
import pytest

from tests.examples.support import load

pytestmark = pytest.mark.training


def test_a_restored_optimizer_goes_on_bit_for_bit():
  example = load('save_and_restore')
  whole, resumed = example['main']()
  chex.assert_trees_all_equal(whole, resumed)
  # It would not without the optimizer's state.
  half, _ = example['train'](*example['start'](), range(30))
  forgetful = example['train'](half, example['optimizer'].init(half), range(30, 60))
  assert not np.allclose(jax.tree.leaves(forgetful)[0], jax.tree.leaves(whole)[0])
