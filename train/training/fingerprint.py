"""A digest of what a comparison computes, by which changed code of the user's is noticed."""

import hashlib
import re
from typing import Any

import jax
import numpy as np

from train.data import Batch
from train.problem.arms import Arm
from train.problem.comparison import Comparison
from train.training.programs import make_programs, split_network

# Names and places in the text of a program that do not change what it computes.
_NAMES = re.compile(r'@[\w.$-]+|\{jax\.result_info = "[^"]*"\}|jax\.[\w.]+ = "[^"]*",? ?')
_ADDRESSES = re.compile(r'(backend_config|mhlo\.backend_config) = [^}]*\}|index = \d+')


def program_digest(
  comparison: Comparison,
  num_classes: int,
  inputs: jax.ShapeDtypeStruct,
  targets: jax.ShapeDtypeStruct,
) -> str:
  """Returns a digest of the programs of a comparison: initial weights, gradients, loss and metric.

  The programs are lowered for a CPU and one device, with all constants, wherever they will run.
  Comments, names and the hash seed of Python do not change them; a different number does. The text
  of a program depends on the version of JAX.

  Args:
    comparison: The comparison.
    num_classes: The number of classes of its data set.
    inputs: Shape and dtype of a batch of inputs, as stored.
    targets: Shape and dtype of their labels.
  """
  programs = make_programs(comparison, num_classes)

  def everything(key: jax.Array, inputs: jax.Array, targets: jax.Array, step_key: jax.Array) -> Any:
    model = comparison.build_network(num_classes, key)
    _, params, model_state = split_network(model)
    prepared = programs.preprocessing.train(step_key, inputs)
    grads = jax.value_and_grad(programs.loss, has_aux=True)(params, model_state, prepared, targets)
    return (
      params,
      model_state,
      grads,
      programs.evaluate(params, model_state, Batch(inputs, targets)),
    )

  key = jax.eval_shape(lambda: jax.random.key(0))
  return _digest(everything, key, inputs, targets, key)


def optimizer_digest(comparison: Comparison, arm: Arm, steps_per_epoch: int, params: Any) -> str:
  """Returns a digest of an optimizer's programs; for the arguments, see :func:`program_digest`."""
  optimizer = comparison.build_optimizer(arm, steps_per_epoch, seed=0)

  def update(params: Any, grads: Any, loss: jax.Array) -> Any:
    state = optimizer.init(params)
    return optimizer.update(grads, state, params, value=loss)

  loss = jax.ShapeDtypeStruct((), np.float32)
  return _digest(update, params, params, loss)


def _digest(function: Any, *arguments: Any) -> str:
  lowered = jax.jit(function).trace(*arguments).lower(lowering_platforms=('cpu',))
  text = lowered.as_text()
  symbols: dict[str, str] = {}

  def numbered(match: re.Match[str]) -> str:
    name = match[0]
    return symbols.setdefault(name, f'@{len(symbols)}') if name.startswith('@') else ''

  plain = _ADDRESSES.sub('', _NAMES.sub(numbered, text))
  return hashlib.sha256(plain.encode()).hexdigest()
