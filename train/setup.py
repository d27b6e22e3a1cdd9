"""What the runs of a comparison share: data, network structure, optimizers, compiled steps."""

import functools
import pathlib
from collections.abc import Callable

import optax
from flax import nnx

from train.data import Preprocessing, find_source, make_input
from train.errors import UserError
from train.experiments import Arm, Part
from train.networks import make_network
from train.optimizer import make_optimizer, set_arm
from train.step import EpochSums, TrainState, make_eval_step, make_train_step


def preprocessing(dataset: str, image_size: int | None) -> Preprocessing:
  """Returns the preprocessing of a data set for a network that takes images of a size, or any."""
  found = find_source(dataset).preprocessing
  return found if image_size is None else found.resized(image_size)


class Setup:
  """Loads the data of a part and makes the programs of its runs, each when it is first needed.

  Attributes:
    part: The part.
    train_input: The training split, on the device or streamed.
    test_input: The test split.
    test_examples: Its size.
    steps_per_epoch: Steps of an epoch, a short last one included.
    eval_step: See :func:`train.step.make_eval_step`.
  """

  def __init__(
    self,
    part: Part,
    *,
    data_dir: str | None = None,
    stream: bool | None = None,
    pretrained: pathlib.Path | None = None,
  ):
    """Loads the data and checks that the network can be built.

    Args:
      part: The part.
      data_dir: Where TFDS keeps its data sets; None is TFDS's own default.
      stream: Whether to stream the data to the device; None decides by size.
      pretrained: The ImageNet-21k weights that a vision transformer starts from.

    Raises:
      UserError: If the data set cannot be had or there is no such network.
    """
    self.part = part
    self._pretrained = pretrained
    dataset = find_source(part.dataset).load(data_dir, part.train_examples)
    self._num_classes = len(dataset.class_names)
    try:
      self._structure = nnx.eval_shape(lambda: self._make_network(0, None))
    except ValueError as error:  # a depth or width that there is no network of
      raise UserError(str(error)) from error
    self.train_input = make_input(dataset.train, stream)
    self.test_input = make_input(dataset.test, stream)
    self.test_examples = len(dataset.test)
    self.steps_per_epoch = self.train_input.steps_per_epoch(part.batch_size)
    self._preprocessing = preprocessing(part.dataset, part.network.image_size)
    self.eval_step = make_eval_step(self._structure, self._preprocessing)
    self._programs = functools.cache(self._make_program)

  def program(self, arm: Arm) -> tuple[optax.GradientTransformationExtraArgs, Callable]:
    """Returns the optimizer of an arm and its training step, shared with arms like it."""
    return self._programs(arm.method, arm.learning_rate, arm.weight_decay)

  def initial_state(self, arm: Arm, seed: int) -> TrainState:
    """Returns the state before the first step; the arms of a seed start from the same weights.

    Raises:
      UserError: If the pretrained weights do not fit the network.
    """
    try:
      network = self._make_network(seed, self._pretrained)
    except ValueError as error:
      raise UserError(str(error)) from error
    _, params, rest = nnx.split(network, nnx.Param, ...)
    optimizer, _ = self.program(arm)
    return TrainState(params, rest, set_arm(optimizer.init(params), arm, seed), EpochSums.zeros())

  def _make_network(self, seed, pretrained):
    return make_network(self.part.network, self._num_classes, self.part.dtype, seed, pretrained)

  def _make_program(self, method, learning_rate, weight_decay):
    arm = Arm('', method, learning_rate=learning_rate, weight_decay=weight_decay)
    optimizer = make_optimizer(self.part, arm, self.steps_per_epoch)
    return optimizer, make_train_step(self._structure, optimizer, self._preprocessing)
