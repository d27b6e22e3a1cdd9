"""States that version 0.1 saved go on (make_old_state.py made them)."""

import pathlib
import pickle

import chex
import numpy as np
import optax
import pytest

from lcam_optax import LcamState
from tests.lcam_optax.make_old_state import LOSSES, go_on

FIXTURE = pathlib.Path(__file__).with_name('old_state.pickle')


@pytest.mark.parametrize('rule', ['equation9', 'algorithm1'])
def test_a_state_of_version_0_1_goes_on_with_the_same_numbers(rule):
  record = pickle.loads(FIXTURE.read_bytes())[rule]
  params, state = record['before']
  assert isinstance(state[0], LcamState)
  for (ours, our_state), (theirs, their_state) in zip(
    go_on(rule, params, state, LOSSES[10:]), record['after'], strict=True
  ):
    chex.assert_trees_all_close(ours, theirs, rtol=1e-6)
    chex.assert_trees_all_close(our_state, their_state, rtol=1e-6)
    for name in ('count', 'epoch_step', 'high_loss_phase', 'momentum'):
      np.testing.assert_array_equal(optax.tree.get(our_state, name), getattr(their_state[0], name))
