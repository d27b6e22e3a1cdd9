"""Checks that a comparison's network, loss and metric fit its data, before anything is trained."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from train.data import Dataset
from train.problem.comparison import Comparison, PerExample, cross_entropy, wrong_answer
from train.problem.own_code import definition, explain_errors
from train.system.errors import UserError

_BATCH = 3  # examples of the trial
_OTHER_BATCH = 5  # a number that broadcasts against no other here
_MOST_STEPS = 2**31 - 1  # optimizers count steps in int32


def check_fit(comparison: Comparison, dataset: Dataset) -> None:
  """Traces network, loss and metric on the shapes of a small batch; computes next to nothing.

  Raises:
    UserError: If they fail or do not give one number per example, or a run has more steps than can
      be counted.
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
  preprocessing = comparison.preprocessing

  def outputs_of(inputs):
    model = comparison.build_network(dataset.num_classes)
    comparison.load_pretrained(model)
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
  """Returns whether a function broadcasts outputs against the targets of other examples.

  Shapes almost always tell: a function of single examples fails where there are more targets than
  outputs. One that takes them either broadcasts, or ignores its outputs or its targets.
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
