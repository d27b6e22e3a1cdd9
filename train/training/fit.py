"""Brings a comparison's network together with its data, and says where they do not fit."""

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Key

from train.data import Dataset, DataSource
from train.data.preprocess import AsStored, Preprocessing
from train.problem.comparison import Comparison, PerExample, cross_entropy, wrong_answer
from train.problem.own_code import definition, explain_errors
from train.system.devices import ONE_DEVICE, Devices
from train.system.errors import UserError
from train.training.compiler_options import compiler_options
from train.training.memory import check_parameters_fit
from train.training.programs import Programs

_BATCH = 3  # examples of the trial
_OTHER_BATCH = 5  # which no array operation takes for the same
_MOST_STEPS = 2**31 - 1  # which optimizers count in int32


def make_initializer(
  comparison: Comparison, num_classes: int, structure: nnx.Module
) -> Callable[[int], nnx.Module]:
  """Returns a function of the seed that gives the network of a comparison with its initial weights.

  One program draws all random weights: compiled one by one, they take several times as long.

  Args:
    comparison: The comparison.
    num_classes: How many classes its data set has.
    structure: The network, of which only the structure is used, as :func:`make_programs` has it.

  Raises:
    UserError: By the function, if pretrained weights do not fit.
  """
  graphdef = nnx.graphdef(structure)

  @functools.partial(jax.jit, compiler_options=compiler_options(comparison.network, runs_once=True))
  def draw(key: Key[Array, '']) -> nnx.State:
    return nnx.state(build_network(comparison, num_classes, key))

  def initialize(seed: int) -> nnx.Module:
    model = nnx.merge(graphdef, draw(jax.random.key(seed)))
    load_pretrained(comparison, model)
    return model

  return initialize


def build_network(
  comparison: Comparison, num_classes: int, key: Key[Array, ''] | int = 0
) -> nnx.Module:
  """Returns the network of a comparison with random weights; to be called under a trace.

  Args:
    comparison: The comparison.
    num_classes: How many classes its data set has.
    key: Determines the weights, which ``nnx.eval_shape`` of it does not draw.

  Raises:
    UserError: If there is no such network.
  """
  with _told_to_the_user():  # a depth or width that there is no network of
    return comparison.network.build(num_classes, dtype=comparison.dtype, rngs=nnx.Rngs(key))


def load_pretrained(comparison: Comparison, model: nnx.Module) -> None:
  """Gives a network the weights that it starts from, where the comparison names some.

  Raises:
    UserError: If they do not fit.
  """
  with _told_to_the_user():
    comparison.network.load_pretrained(model)


@contextlib.contextmanager
def _told_to_the_user() -> Iterator[None]:
  try:
    yield
  except ValueError as error:
    raise UserError(str(error)) from error


def preprocessing_of(comparison: Comparison) -> Preprocessing:
  """Returns what turns stored inputs into what the network takes.

  Data of the user's own are taken as they are; a named data set has its usual preprocessing.
  """
  if not isinstance(comparison.dataset, DataSource):
    return AsStored()
  preprocessing = comparison.dataset.preprocessing
  size = comparison.network.image_size
  return preprocessing if size is None else preprocessing.resized(size)


def make_programs(
  comparison: Comparison, num_classes: int, devices: Devices = ONE_DEVICE
) -> Programs:
  """Returns the programs of a comparison's network; allocates nothing.

  Args:
    comparison: The comparison.
    num_classes: How many classes its data set has.
    devices: The devices that a batch is divided among.

  Raises:
    UserError: If there is no such network, or no device could hold it.
  """
  structure = nnx.eval_shape(lambda: build_network(comparison, num_classes))
  parameters = jax.tree.leaves(nnx.state(structure, nnx.Param))
  check_parameters_fit(sum(array.size for array in parameters), comparison.network.describe())
  preprocessing = preprocessing_of(comparison)
  return Programs(
    structure,
    preprocessing,
    comparison.loss,
    comparison.metric,
    devices,
    compiler_options(comparison.network),
  )


def check_fit(comparison: Comparison, dataset: Dataset) -> None:
  """Tries network, loss and metric on the shapes of a small batch; computes next to nothing.

  Raises:
    UserError: If they fail, or give something else than one number per example, or there would be
      more steps than can be counted.
  """
  steps = comparison.epochs * -(-len(dataset.train) // comparison.batch_size)
  if steps > _MOST_STEPS:
    raise UserError(
      f'{comparison.epochs} epochs are {steps:,} steps, and a run counts up to {_MOST_STEPS:,}: lower '
      '--epochs.'
    )
  inputs, targets = (
    jax.ShapeDtypeStruct((_BATCH, *array.shape[1:]), array.dtype)
    for array in (dataset.train.inputs, dataset.train.labels)
  )
  name = comparison.network.full_name
  usual = comparison.loss is cross_entropy or comparison.metric is wrong_answer
  if usual and not dataset.num_classes:
    raise UserError(
      f'{dataset.name} has no class_names: name its classes, or give the comparison a loss and a '
      'metric of its own.'
    )
  preprocessing = preprocessing_of(comparison)

  def outputs_of(inputs):
    model = build_network(comparison, dataset.num_classes)
    load_pretrained(comparison, model)
    inputs = preprocessing.evaluate(inputs)
    model.train()
    model(inputs)
    model.eval()
    return model(inputs)

  with explain_errors(f'The network {name}, on inputs of shape {inputs.shape}'):
    outputs = nnx.eval_shape(outputs_of, inputs)
  expected = (_BATCH, dataset.num_classes)
  if comparison.loss is cross_entropy and getattr(outputs, 'shape', None) != expected:
    raise UserError(
      f'The network {name} must return one logit per class, shape (batch, {expected[1]}), but '
      f'returns {_shape(outputs)}.'
    )
  for function in (comparison.loss, comparison.metric):
    what = f'{function.__name__} ({definition(function)})'
    with explain_errors(what):
      values = jax.eval_shape(function, outputs, targets)
    if getattr(values, 'shape', None) != (_BATCH,):
      raise UserError(
        f'{function.__name__} must return one number per example, shape (batch,), but returns '
        f'{_shape(values)}; outputs are {_shape(outputs)}, targets {_shape(targets)}.'
      )
    with explain_errors(what):
      mixes = _mixes_examples(function, outputs, targets)
    if mixes:
      raise UserError(
        f'{what} sets each output against the targets of all examples: outputs are {_shape(outputs)}, '
        f'targets {_shape(targets)}. Give the targets the shape of the outputs, or take '
        '`outputs[:, 0]`.'
      )


def _mixes_examples(function: PerExample, outputs: Any, targets: jax.ShapeDtypeStruct) -> bool:
  """Returns whether outputs are broadcast against the targets of other examples.

  Shapes tell almost always: what goes through examples one by one fails where there are more
  targets than outputs. A function that takes these either broadcasts, or looks at one of them only.
  """
  more = jax.ShapeDtypeStruct((_OTHER_BATCH, *targets.shape[1:]), targets.dtype)
  try:
    jax.eval_shape(function, outputs, more)
  except Exception:
    return False
  zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), (outputs, targets))
  others_first = jax.tree.map(lambda leaf: leaf.at[0].set(1), zeros)
  plain = function(*zeros)
  return any(
    not jnp.array_equal(function(*changed)[1:], plain[1:], equal_nan=True)
    for changed in ((others_first[0], zeros[1]), (zeros[0], others_first[1]))
  )


def _shape(values) -> str:
  shape = getattr(values, 'shape', None)
  if shape is None:
    return f'a {type(values).__name__}'
  return f'shape ({", ".join(["batch", *map(str, shape[1:])])})' if shape else 'a single number'
