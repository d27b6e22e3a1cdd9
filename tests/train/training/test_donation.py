"""A training step writes the new state where the old one was: there is never a second copy."""

import warnings

import jax
import numpy as np
import pytest
from flax import nnx

from tests.train.support import assert_state_is_donated, batch_arguments
from train import Comparison, Dataset, Split
from train.command.costs import abstract_step
from train.data import find_source
from train.problem.arms import OTHERS, Arm, Lcam
from train.problem.networks import M11, WideResNet
from train.training.trainer import Trainer

LCAM = Lcam(0.857, 0.93)


def perceptron(num_classes: int, rngs: nnx.Rngs) -> nnx.Module:
  return nnx.Sequential(
    lambda x: x.reshape(len(x), -1),
    nnx.Linear(192, 300, rngs=rngs),
    nnx.relu,
    nnx.Dropout(0.1, rngs=rngs),
    nnx.Linear(300, num_classes, rngs=rngs),
  )


def comparison_of(network, dataset, *arms: Arm | str) -> Comparison:
  return Comparison('donation', dataset, network, epochs=2, batch_size=16, arms=arms)


ARMS = [
  'fixed-0.9',
  'low0.9-high0.95',
  'coin0.9-0.95',
  'yoked0.9-0.95',
  'easy-0.475',
  'adam-low0.85-high0.95',
  'lion-low0.85-high0.95',
  *(arm.name for arm in OTHERS),
]


@pytest.mark.parametrize('name', ARMS)
def test_every_arm_donates_its_state(name):
  comparison = comparison_of(perceptron, find_source('digits'), name)
  step, state, batch = abstract_step(comparison)
  program = step.lower(state, batch, 0, 0, 0).as_text()
  assert_state_is_donated(program, state, batch_arguments(batch, scalars=3))


@pytest.mark.slow
@pytest.mark.parametrize(
  ('network', 'dataset'), [(WideResNet(10, 1), 'digits'), (M11(), 'spoken_digit')]
)
def test_compiled_steps_reuse_the_bytes_of_the_state(network, dataset):
  comparison = comparison_of(network, find_source(dataset), LCAM)
  step, state, batch = abstract_step(comparison)
  # Which buffers are reused does not depend on how far the machine code is optimized.
  options = {'xla_backend_optimization_level': 0}
  lowered = step.lower(state, batch, 0, 0, 0)
  memory = lowered.compile(compiler_options=options).memory_analysis()
  scalars = 3 * 4  # which are overwritten and not read
  size = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state))
  assert size - scalars <= memory.alias_size_in_bytes <= size
  # Beside the state a step returns nothing but those scalars, and pointers to its outputs.
  pointers = 8 * len(jax.tree.leaves(state))
  assert memory.output_size_in_bytes <= size + pointers


@pytest.mark.training
def test_steps_write_to_the_buffers_of_the_state():
  draw = np.random.default_rng(0)
  split = Split(draw.normal(size=(24, 192)), draw.integers(0, 2, 24))
  dataset = Dataset('random', split, split, ('a', 'b'))
  comparison = comparison_of(perceptron, dataset, LCAM)
  trainer = Trainer(comparison, dataset)
  state, step = trainer.start(LCAM, seed=0)
  with warnings.catch_warnings():
    warnings.simplefilter('error')
    for index, batch in enumerate(trainer.train_input.epoch(0, 0, comparison.batch_size)):
      before = [leaf for leaf in jax.tree.leaves((state.params, state.opt_state)) if leaf.ndim]
      buffers = {leaf.unsafe_buffer_pointer() for leaf in before}
      state = step(state, batch, 0, 0, index)
      after = [leaf for leaf in jax.tree.leaves((state.params, state.opt_state)) if leaf.ndim]
      assert {leaf.unsafe_buffer_pointer() for leaf in after} == buffers
      assert all(leaf.is_deleted() for leaf in before)
  assert index == 1  # whole batches and the short one
