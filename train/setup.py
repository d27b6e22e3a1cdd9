"""What all runs of an experiment share: data, network structure, optimizer, compiled steps."""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import optax
from flax import nnx

from models import WideResNet
from train.data import ResidentInput, StreamedInput, load, make_input, preprocessing
from train.errors import UserError
from train.experiments import Arm, Experiment
from train.optimizer import make_optimizer, set_momenta
from train.step import EpochSums, TrainState, make_eval_step, make_train_step


class Setup(NamedTuple):
  """See :func:`make_setup`.

  Attributes:
    experiment: The experiment.
    train_input: The training split.
    test_input: The test split.
    test_examples: Its size.
    steps_per_epoch: Steps of an epoch, a short last one included.
    make_network: From a seed to a network with initial weights.
    optimizer: What all arms share.
    train_step: See :func:`train.step.make_train_step`.
    eval_step: See :func:`train.step.make_eval_step`.
  """

  experiment: Experiment
  train_input: ResidentInput | StreamedInput
  test_input: ResidentInput | StreamedInput
  test_examples: int
  steps_per_epoch: int
  make_network: Callable[[int], nnx.Module]
  optimizer: optax.GradientTransformationExtraArgs
  train_step: Callable
  eval_step: Callable

  def initial_state(self, arm: Arm, seed: int) -> TrainState:
    """Returns the state before the first step; the arms of a seed start from the same weights."""
    _, params, rest = nnx.split(self.make_network(seed), nnx.Param, ...)
    opt_state = set_momenta(self.optimizer.init(params), arm)
    return TrainState(params, rest, opt_state, EpochSums.zeros())


def make_setup(
  experiment: Experiment, data_dir: str | None = None, stream: bool | None = None
) -> Setup:
  """Loads the data of an experiment and makes the programs that its runs share.

  Args:
    experiment: The experiment.
    data_dir: Where TFDS keeps its data sets; None is TFDS's own default.
    stream: Whether to stream the data to the device; None decides by size.

  Returns:
    The setup. The steps are compiled when they are first called.
  """
  dataset = load(experiment.dataset, data_dir, experiment.train_examples)
  train_input = make_input(dataset.train, stream)
  steps_per_epoch = train_input.steps_per_epoch(experiment.batch_size)

  def make_network(seed: int) -> nnx.Module:
    return WideResNet(
      experiment.network.depth,
      experiment.network.width,
      len(dataset.class_names),
      dtype=jnp.dtype(experiment.dtype),
      rngs=nnx.Rngs(seed),
    )

  optimizer = make_optimizer(experiment, steps_per_epoch)
  prepare_batch = preprocessing(experiment.dataset)
  try:
    structure = nnx.eval_shape(lambda: make_network(0))
  except ValueError as error:  # a depth or width that there is no network of
    raise UserError(str(error)) from error
  return Setup(
    experiment,
    train_input,
    make_input(dataset.test, stream),
    len(dataset.test),
    steps_per_epoch,
    make_network,
    optimizer,
    make_train_step(structure, optimizer, prepare_batch),
    make_eval_step(structure, prepare_batch),
  )
