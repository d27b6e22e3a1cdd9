"""A digest of what a comparison computes, which tells whether code of the user's has changed."""

import hashlib
import re
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from train.data import Batch, Dataset, Split, batch_shapes
from train.problem.arms import OTHERS, Arm
from train.problem.comparison import Comparison
from train.problem.own_code import explain_errors, is_users, own_modules, source_digest
from train.training.programs import eval_batch_size, make_programs, split_network

# Parts of the text of a program that do not change what it computes: names, and addresses in memory.
_NAMES = re.compile(
  r'(?<!custom_call )@[\w.$-]+|\{jax\.result_info = "[^"]*"\}|jax\.[\w.]+ = "[^"]*",? ?'
)
_ADDRESSES = re.compile(r'backend_config = "\d+"')
# A function of Python's that returns something. The text holds no more of it.
_CALLBACK = re.compile(r'custom_call @\w*python\w*callback\(.* -> (?!\(\))')


def program_digest(comparison: Comparison, dataset: Dataset) -> str:
  """Returns a digest of initial weights, gradients, loss, metric, and a schedule of the user's.

  The programs are lowered for a CPU and one device, with all constants, wherever they will run, and
  for each length of a batch. Comments, names and Python's hash seed do not change them; a different
  number does. The text of a program also depends on the version of JAX.
  """
  programs = make_programs(comparison, dataset.num_classes)
  key = jax.eval_shape(lambda: jax.random.key(0))

  def network(key: jax.Array, step_key: jax.Array, train: list[Batch], test: list[Batch]) -> Any:
    model = comparison.build_network(dataset.num_classes, key)
    _, params, model_state = split_network(model)
    gradients = [
      jax.value_and_grad(programs.loss, has_aux=True)(
        params, model_state, programs.preprocessing.train(step_key, inputs), targets
      )
      for inputs, targets, _ in train
    ]
    sums = [programs.evaluate(params, model_state, batch) for batch in test]
    # A number for each parameter that decays, where the program shows it.
    decayed = comparison.decayed(params) if comparison.weight_decay_of else {}
    return model_state, gradients, sums, jax.tree.map(jnp.asarray, decayed)

  train = _batches(dataset.train, comparison.batch_size)
  test = _batches(dataset.test, eval_batch_size(comparison, len(dataset.train)))
  texts = [_text(network, key, key, train, test)]
  if is_users(comparison.schedule.code):
    schedule = comparison.schedule.build(comparison.epochs, _steps_per_epoch(comparison, dataset))
    texts.append(_text(schedule, jax.ShapeDtypeStruct((), np.int32)))
  if not comparison.metric.per_example:  # it is Python, and in no program
    texts.append(source_digest([comparison.metric.function, *own_modules()]))
  return hashlib.sha256(''.join(texts).encode()).hexdigest()


def needs_digest(arm: Arm) -> bool:
  """Returns whether an arm is, or holds, what its configuration does not tell."""
  known = {one for other in OTHERS for one in _objects(other)}
  return is_users(type(arm)) or not known.issuperset(_objects(arm))


def arm_digest(comparison: Comparison, arm: Arm, dataset: Dataset) -> str:
  """Returns a digest of the optimizer of an arm, as :func:`program_digest` does of the rest."""
  _, params, _ = split_network(make_programs(comparison, dataset.num_classes).model)
  optimizer = comparison.build_optimizer(arm, _steps_per_epoch(comparison, dataset), seed=0)

  def update(params: Any, loss: jax.Array) -> Any:
    updates, state = optimizer.update(params, optimizer.init(params), params, value=loss)
    return updates, state, arm.evaluation_params(state, params)

  text = _text(update, params, jax.ShapeDtypeStruct((), np.float32))
  return hashlib.sha256(text.encode()).hexdigest()


def _steps_per_epoch(comparison: Comparison, dataset: Dataset) -> int:
  return -(-len(dataset.train) // comparison.batch_size)


def _batches(split: Split, batch_size: int) -> list[Batch]:
  """Returns the shapes of a whole batch of a split, and of a short last one."""
  lengths = {min(batch_size, len(split)), len(split) % batch_size} - {0}
  return [batch_shapes(split, length) for length in sorted(lengths)]


def _objects(arm: Arm) -> Iterator[tuple[str, int]]:
  """Yields what an arm holds besides numbers and text, by identity, each with the arm's kind."""
  for value in jax.tree.leaves(vars(arm)):
    if isinstance(value, Arm):
      yield from _objects(value)
    elif not isinstance(value, str | int | float):
      yield arm.kind, id(value)


def _text(function: Any, *arguments: Any) -> str:
  """Returns a program as text, its symbols numbered, without other names and addresses."""
  # The precision changes rounding only.
  with jax.default_matmul_precision(None), explain_errors('A program of your code'):
    text = jax.jit(function).trace(*arguments).lower(lowering_platforms=('cpu',)).as_text()
  code = source_digest(own_modules()) if _CALLBACK.search(text) else ''
  symbols: dict[str, str] = {}

  def numbered(match: re.Match[str]) -> str:
    name = match[0]
    return symbols.setdefault(name, f'@{len(symbols)}') if name.startswith('@') else ''

  return _ADDRESSES.sub('', _NAMES.sub(numbered, text)) + code
