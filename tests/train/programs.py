"""Reads the program of a training step, as JAX lowers it, before any compiler sees it."""

import re
from collections import Counter
from typing import NamedTuple

import jax
import jax.numpy as jnp

_TYPES = {
  'float32': 'f32',
  'int32': 'i32',
  'int16': 'i16',
  'int8': 'i8',
  'uint8': 'ui8',
  'uint32': 'ui32',
}
_TENSOR = re.compile(r'tensor<((?:\d+x)*)(\w+)>')


class Tensor(NamedTuple):
  """The shape of an operand or a result, and the type of its numbers, by StableHLO's name."""

  shape: tuple[int, ...]
  dtype: str


class Operation(NamedTuple):
  """A line of the program, with the types of its operands and of its result."""

  line: str
  operands: list[Tensor]
  result: Tensor


def operations(program: str, name: str) -> list[Operation]:
  """Returns the operations of a name."""
  found = []
  for line in program.splitlines():
    if f' stablehlo.{name}' in line:
      before, after = line.rsplit(' : ', 1)[1].rsplit('->', 1)
      found.append(Operation(line, _tensors(before), *_tensors(after)))
  return found


def arguments(program: str) -> tuple[list[Tensor], list[Tensor]]:
  """Returns the arguments whose buffers are given to outputs, and the others."""
  signature = re.search(r'func\.func public @main\((.*?)\) -> ', program)
  donated, kept = [], []
  for argument in signature[1].split('%arg')[1:]:
    given = 'tf.aliasing_output' in argument or 'jax.buffer_donor' in argument
    (donated if given else kept).extend(_tensors(argument)[:1])
  return donated, kept


def assert_state_is_donated(program: str, state, batch_arguments: Counter) -> None:
  """Checks that outputs are written to the buffers of the whole state, and to no others.

  Args:
    program: The program.
    state: The shapes of its state.
    batch_arguments: The arguments that are no state.
  """
  donated, kept = arguments(program)
  assert Counter(kept) == batch_arguments
  # What is computed anew and not read, as the learning rate, is no argument of the program.
  unread = Counter(map(tensor_of, jax.tree.leaves(state))) - Counter(donated)
  assert all(tensor.shape == () for tensor in unread), unread
  assert unread.total() <= 3, unread


def batch_arguments(batch, scalars: int) -> Counter:
  """Returns the arguments of a step that are no state, with so many of seed, epoch and step."""
  return Counter(map(tensor_of, batch)) + Counter({Tensor((), 'i32'): scalars})


def tensor_of(leaf) -> Tensor:
  """Returns what a leaf of a state is in a program."""
  if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
    leaf = jax.eval_shape(jax.random.key_data, leaf)
  return Tensor(leaf.shape, _TYPES[leaf.dtype.name])


def _tensors(text: str) -> list[Tensor]:
  return [
    Tensor(tuple(map(int, shape.split('x')[:-1])), dtype) for shape, dtype in _TENSOR.findall(text)
  ]
