"""The recipe resumes bit for bit in mid-epoch, and accumulates to what whole batches give."""

import chex
import numpy as np
import pytest

from tests.examples.support import load
from tests.lcam_optax import reference

pytestmark = pytest.mark.training


@pytest.fixture(scope='module')
def trained():
  return load('recipe')['main']()


def test_a_run_stopped_in_mid_epoch_resumes_bit_for_bit(trained):
  (whole, history), (resumed, rest) = trained
  # It trained again only what came after its newest checkpoint, inside an epoch.
  assert len(rest) == len(history) - 100
  assert 100 % load('recipe')['STEPS_PER_EPOCH']
  chex.assert_trees_all_equal(whole, resumed)
  assert history[-len(rest) :] == rest


def test_the_mean_loss_of_the_micro_batches_chooses_the_momenta(trained):
  losses, momenta, *_ = np.array(trained[0][1]).T
  expected = reference.momenta(losses, rule='algorithm1', high=0.93, low=0.857, steps_per_epoch=21)
  assert len(set(expected)) == 2
  np.testing.assert_allclose(momenta, expected, rtol=1e-6)


def test_accumulation_takes_the_steps_of_whole_batches(trained, tmp_path):
  # Rounding may flip the phase of a loss beside the mean, so only the first epochs are compared.
  _, whole_batches = load('recipe')['train'](tmp_path, stop=40, parts=1)
  np.testing.assert_allclose(whole_batches, trained[0][1][:40], rtol=1e-3)


def test_the_average_of_the_weights_is_not_the_weights(trained):
  params, average, _ = trained[0][0]
  assert not np.allclose(average['output'], params['output'], rtol=1e-3)
