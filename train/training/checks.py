"""Checks that the parts of a comparison fit its data and each other, before anything is trained."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from train.data import Batch, Dataset, Split, batch_shapes
from train.problem.arms import Arm, learning_rate_in
from train.problem.comparison import Comparison, cross_entropy
from train.problem.metrics import PerExample
from train.problem.own_code import definition, explain_errors, shapes
from train.system.environment import check_devices
from train.system.errors import UserError
from train.training.programs import (
  Programs,
  eval_batch_size,
  in_float32,
  make_programs,
  split_network,
)

_BATCH = 17  # examples of the trial, enough to show whether a loss mixes them
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
  inputs = batch_shapes(dataset.train, _BATCH).inputs
  name = comparison.network.full_name
  usual = comparison.loss is cross_entropy or comparison.metric.is_wrong_answer
  if usual and not dataset.num_classes:
    raise UserError(
      f'{dataset.name} has no class_names: name its classes, or give the comparison a loss and a '
      'metric of its own.'
    )

  def outputs_of(inputs):
    model = comparison.build_network(dataset.num_classes)
    comparison.load_pretrained(model)
    model.eval()
    return in_float32(model(comparison.preprocessing.evaluate(inputs)))

  with explain_errors(f'The network {name}, on inputs of shape {shapes(inputs)}'):
    outputs = nnx.eval_shape(outputs_of, inputs)
  expected = (_BATCH, dataset.num_classes)
  if comparison.loss is cross_entropy and getattr(outputs, 'shape', None) != expected:
    raise UserError(
      f'The network {name} must return one logit per class, shape (batch, {expected[1]}), but '
      f'returns {_shape(outputs)}.'
    )
  loss, metric = comparison.loss, comparison.metric
  per_batch = 'set mixes_examples=True of the comparison'
  _check_function(loss.__name__, loss, outputs, dataset, comparison.mixes_examples, per_batch)
  if metric.per_example:
    per_split = 'make it a train.Metric of all test examples'
    _check_function(metric.name, metric.function, outputs, dataset, False, per_split)
  else:
    _check_metric_of_all(comparison, outputs, dataset)


def _check_function(
  name: str, function: PerExample, outputs: Any, dataset: Dataset, mixes: bool, instead: str
) -> None:
  """Checks what a loss or metric returns, which may mix examples only if ``mixes`` says so."""
  what, targets = f'{name} ({definition(function)})', batch_shapes(dataset.train, _BATCH).labels
  shown = f'outputs are {_shape(outputs)}, targets {_shape(targets)}'
  with explain_errors(what):
    values = jax.eval_shape(function, outputs, targets)
  shape = getattr(values, 'shape', None)
  if shape not in [(_BATCH,), *([()] if mixes else [])] or jnp.iscomplexobj(values):
    wanted = 'number, or one' if mixes else 'number'
    or_else = f'; if it compares examples, {instead}' if shape == () and not mixes else ''
    raise UserError(
      f'{name} must return one real {wanted} per example, shape (batch,), but returns '
      f'{_shape(values)}; {shown}{or_else}.'
    )
  if mixes:
    return
  with explain_errors(what):
    mixed = _mixes_examples(function, outputs, dataset)
  if mixed:
    raise UserError(
      f'{what} must judge each example alone, but what it returns for an example depends on the '
      f'others: {shown}. Give the targets the shape of the outputs, take `outputs[:, 0]`, or, if it is '
      f'meant to compare examples, {instead}.'
    )


def _check_metric_of_all(comparison: Comparison, outputs: Any, dataset: Dataset) -> None:
  """Computes the metric of random outputs and the targets of the test split."""
  metric, labels = comparison.metric, dataset.test.labels
  for path, leaf in _leaves(outputs).items():
    if leaf.shape[:1] != (_BATCH,):
      of = f'outputs {path}' if path else 'outputs'
      raise UserError(
        f'{metric.what} needs the outputs of all test examples, and the {of} of the network '
        f'{comparison.network.full_name} have shape {leaf.shape} for {_BATCH} examples: return them with '
        'an axis of examples first.'
      )
  rng = np.random.default_rng(0)
  random = jax.tree.map(
    lambda leaf: _probabilities((len(labels), *leaf.shape[1:]), leaf.dtype, rng), outputs
  )
  value = metric.of_all(random, np.array(labels))
  if not np.isfinite(value):
    raise UserError(
      f'{metric.what} returned {value} for random outputs and the {len(labels)} test targets: does the '
      'test split hold all that it needs, such as examples of each class?'
    )


def _probabilities(shape: tuple[int, ...], dtype: Any, rng: np.random.Generator) -> np.ndarray:
  """Returns random outputs that may be probabilities; those of several classes add up to one."""
  values = rng.uniform(0.05, 0.95, shape)
  if len(shape) > 1 and shape[-1] > 1:
    values /= values.sum(-1, keepdims=True)
  return values.astype(dtype)


def check_steps(comparison: Comparison, dataset: Dataset) -> None:
  """Traces whole steps of the user's own parts, on the sizes of batches that a device gets.

  Raises a ``UserError`` if they fail, or change the structure of what they must return. Comes after
  :func:`check_fit`.
  """
  steps = -(-len(dataset.train) // comparison.batch_size)
  batches = _batches(dataset.train, comparison.batch_size)
  tried = [(arm, batches[0]) for arm in comparison.own_arms]
  if comparison.own_parts:
    tried += [(comparison.arms[0], batch) for batch in batches]
  if not tried:
    return
  programs = make_programs(comparison, dataset.num_classes)
  name = comparison.network.full_name
  params, model_state = split_network(programs.model)[1:]
  for path, leaf in _leaves(params).items():
    if not jnp.issubdtype(leaf.dtype, jnp.floating):
      raise UserError(
        f'The parameter {path} of the network {name} is {leaf.dtype}, and only real floats can be '
        'trained: make it one, or an nnx.Variable.'
      )
  for arm, batch in tried:
    what = f'A training step of {name} with {arm.name} on {len(batch.labels)} examples'
    with explain_errors(what):
      _check_step(what, programs, arm, comparison.build_optimizer(arm, steps, seed=0), steps, batch)
  size = eval_batch_size(comparison, len(dataset.train))
  for batch in _batches(dataset.test, size) if comparison.own_parts else ():
    with explain_errors(f'The evaluation of {name} on {len(batch.labels)} examples'):
      jax.eval_shape(programs.evaluate, params, model_state, batch)


def _check_step(
  what: str,
  programs: Programs,
  arm: Arm,
  optimizer: optax.GradientTransformationExtraArgs,
  steps: int,
  batch: Batch,
) -> None:
  before = nnx.eval_shape(
    lambda model: programs.initial_state(model, optimizer, steps), programs.model
  )
  for path, leaf in _leaves(before).items():
    if 0 in leaf.shape:
      raise UserError(f'{what}: {path} has no elements, shape {leaf.shape}, and cannot be saved.')
  after = jax.eval_shape(programs.make_train_step(optimizer), before, batch, 0, 0, 0)
  if changed := _changed(before, after):
    raise UserError(
      f'{what} adds, removes or reshapes {changed}: make all variables of a network and all states of '
      'an optimizer at the start, with the shape and type that they keep.'
    )
  rate = learning_rate_in(before.opt_state)
  if getattr(rate, 'shape', ()):
    raise UserError(
      f'The learning rate of {arm.name} must be one number, not of shape {rate.shape}.'
    )
  evaluated = jax.eval_shape(arm.evaluation_params, after.opt_state, after.params)
  if changed := _changed(before.params, evaluated):
    raise UserError(
      f'`evaluation_params` of {arm.name} must return all parameters, with their shapes and types, but '
      f'not so {changed}.'
    )


def _batches(split: Split, size: int) -> list[Batch]:
  """Returns the shapes of a whole batch, and of a short last one if there is one."""
  whole = min(size, len(split))
  return [batch_shapes(split, rows) for rows in dict.fromkeys((whole, len(split) % size or whole))]


def _leaves(tree: Any) -> dict[str, Any]:
  """Returns the leaves of a pytree by their path."""
  keystr = partial(jax.tree_util.keystr, simple=True, separator='.')
  return {keystr(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


def _changed(before: Any, after: Any) -> str:
  """Returns the first path whose leaf has another shape or type; empty if there is none."""
  one, other = (
    {path: (leaf.shape, leaf.dtype) for path, leaf in _leaves(tree).items()}
    for tree in (before, after)
  )
  return next((path for path in {**one, **other} if one.get(path) != other.get(path)), '')


def _mixes_examples(function: PerExample, outputs: Any, dataset: Dataset) -> bool:
  """Returns whether the value of an example depends on the outputs or targets of others.

  It compares the values of the first examples in two batches of random outputs and real targets that
  share only these examples.
  """
  rng = np.random.default_rng(0)
  labels, half = dataset.train.labels, _BATCH // 2
  rows = rng.integers(len(labels), size=(2, _BATCH))
  rows[:, :half] = np.arange(half) % len(labels)
  shared = _random_like(outputs, rng)

  def first_values(rows: np.ndarray) -> jax.Array:
    mixed = jax.tree.map(
      lambda first, random: random.at[:half].set(first[:half]) if random.shape else first,
      shared,
      _random_like(outputs, rng),
    )
    targets = jnp.asarray(labels[rows], jax.dtypes.canonicalize_dtype(labels.dtype))
    return function(mixed, targets)[:half]

  one, other = map(first_values, rows)
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
  kind = f'{values.dtype} of ' if jnp.iscomplexobj(values) else ''
  return (
    f'{kind}shape ({", ".join(["batch", *map(str, shape[1:])])})' if shape else 'a single number'
  )
