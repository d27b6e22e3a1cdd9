"""A digest of what a comparison computes, which tells whether code of the user's has changed."""

import hashlib
import re
from typing import Any

import jax
import numpy as np

from train.data import Batch, Dataset
from train.problem.arms import Arm
from train.problem.comparison import Comparison
from train.problem.own_code import is_users
from train.training.programs import make_programs, split_network

# Parts of the text of a program that do not change what it computes: names, and addresses in memory.
_NAMES = re.compile(r'@[\w.$-]+|\{jax\.result_info = "[^"]*"\}|jax\.[\w.]+ = "[^"]*",? ?')
_ADDRESSES = re.compile(r'(mhlo\.)?backend_config = [^}]*\}|index = \d+')


def program_digest(comparison: Comparison, dataset: Dataset) -> str:
  """Returns a digest of initial weights, gradients, loss, metric, and a schedule of the user's.

  The programs are lowered for a CPU and one device, with all constants, wherever they will run.
  Comments, names and Python's hash seed do not change them; a different number does. The text of a
  program also depends on the version of JAX.
  """
  programs = make_programs(comparison, dataset.num_classes)
  rows = min(comparison.batch_size, len(dataset.train))
  inputs, targets = (
    jax.ShapeDtypeStruct((rows, *array.shape[1:]), jax.dtypes.canonicalize_dtype(array.dtype))
    for array in (dataset.train.inputs, dataset.train.labels)
  )
  key = jax.eval_shape(lambda: jax.random.key(0))

  def network(key: jax.Array, step_key: jax.Array, inputs: jax.Array, targets: jax.Array) -> Any:
    model = comparison.build_network(dataset.num_classes, key)
    _, params, model_state = split_network(model)
    prepared = programs.preprocessing.train(step_key, inputs)
    gradients = jax.value_and_grad(programs.loss, has_aux=True)(
      params, model_state, prepared, targets
    )
    return model_state, gradients, programs.evaluate(params, model_state, Batch(inputs, targets))

  texts = [_text(network, key, key, inputs, targets)]
  if is_users(type(comparison.schedule)):
    schedule = comparison.schedule.build(comparison.epochs, _steps_per_epoch(comparison, dataset))
    texts.append(_text(schedule, jax.ShapeDtypeStruct((), np.int32)))
  return hashlib.sha256(''.join(texts).encode()).hexdigest()


def arm_digest(comparison: Comparison, arm: Arm, dataset: Dataset) -> str:
  """Returns a digest of the optimizer of an arm, as :func:`program_digest` does of the rest."""
  _, params, _ = split_network(make_programs(comparison, dataset.num_classes).model)
  optimizer = comparison.build_optimizer(arm, _steps_per_epoch(comparison, dataset), seed=0)

  def update(params: Any, loss: jax.Array) -> Any:
    return optimizer.update(params, optimizer.init(params), params, value=loss)

  text = _text(update, params, jax.ShapeDtypeStruct((), np.float32))
  return hashlib.sha256(text.encode()).hexdigest()


def _steps_per_epoch(comparison: Comparison, dataset: Dataset) -> int:
  return -(-len(dataset.train) // comparison.batch_size)


def _text(function: Any, *arguments: Any) -> str:
  """Returns a program as text, its symbols numbered, without other names and addresses."""
  text = jax.jit(function).trace(*arguments).lower(lowering_platforms=('cpu',)).as_text()
  symbols: dict[str, str] = {}

  def numbered(match: re.Match[str]) -> str:
    name = match[0]
    return symbols.setdefault(name, f'@{len(symbols)}') if name.startswith('@') else ''

  return _ADDRESSES.sub('', _NAMES.sub(numbered, text))
