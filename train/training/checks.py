"""Checks that a comparison's network, loss and metric fit its data, before anything is trained."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from train.data import Dataset
from train.problem.comparison import Comparison, PerExample, cross_entropy, wrong_answer
from train.problem.own_code import definition, explain_errors
from train.system.environment import check_devices
from train.system.errors import UserError
from train.training.programs import in_float32

_BATCH = 3  # examples of the trial
_MOST_STEPS = 2**31 - 1  # optimizers count steps in int32


def check_fit(comparison: Comparison, dataset: Dataset) -> None:
  """Traces network, loss and metric on the shapes of a small batch; computes next to nothing.

  Raises a ``UserError`` if they fail or do not give one number per example.
  """
  check_devices()
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

  def outputs_of(inputs):
    model = comparison.build_network(dataset.num_classes)
    comparison.load_pretrained(model)
    inputs = comparison.preprocessing.evaluate(inputs)
    model.train()
    model(inputs)
    model.eval()
    return in_float32(model(inputs))

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
      mixes = _mixes_examples(function, outputs, dataset)
    if mixes:
      raise UserError(
        f'{what} must judge each example alone, but what it returns for an example depends on the '
        f'others: outputs are {_shape(outputs)}, targets {_shape(targets)}. Give the targets the shape '
        'of the outputs, take `outputs[:, 0]`, or leave out what compares examples.'
      )


def _mixes_examples(function: PerExample, outputs: Any, dataset: Dataset) -> bool:
  """Returns whether the value of an example depends on the outputs or targets of others.

  It compares the first value of two batches of random outputs and real targets that share only their
  first example.
  """
  rng = np.random.default_rng(0)
  labels = dataset.train.labels
  others = rng.integers(len(labels), size=(2, _BATCH - 1))
  first_output = _random_like(outputs, rng)

  def first_value(rows: np.ndarray) -> jax.Array:
    mixed = jax.tree.map(
      lambda first, random: random.at[0].set(first[0]), first_output, _random_like(outputs, rng)
    )
    targets = np.concatenate([labels[:1], labels[rows]])
    return function(mixed, jnp.asarray(targets, jax.dtypes.canonicalize_dtype(targets.dtype)))[0]

  one, other = map(first_value, others)
  return not np.allclose(one, other, rtol=1e-3, atol=1e-6, equal_nan=True)


def _random_like(shapes: Any, rng: np.random.Generator) -> Any:
  """Returns random arrays; those of outputs that may be probabilities lie between 0 and 1."""
  return jax.tree.map(
    lambda leaf: jnp.asarray(rng.uniform(0.05, 0.95, leaf.shape), leaf.dtype), shapes
  )


def _shape(values) -> str:
  shape = getattr(values, 'shape', None)
  if shape is None:
    return f'a {type(values).__name__}'
  return f'shape ({", ".join(["batch", *map(str, shape[1:])])})' if shape else 'a single number'
