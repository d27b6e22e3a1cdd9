"""What the trainer's tests share: commands, a small problem, and readers of lowered programs."""

import contextlib
import io
import os
import pathlib
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple
from unittest import mock

import jax
import jax.numpy as jnp
import pytest

from tests.attack import world
from train.__main__ import main

ROOT = pathlib.Path(__file__).parents[2]
ALONE = ('--together', 'off')  # small networks are otherwise trained many at once
LCAM, YOKED = world.ARMS

_TYPES = {
  'float32': 'f32',
  'int32': 'i32',
  'int16': 'i16',
  'int8': 'i8',
  'uint8': 'ui8',
  'uint32': 'ui32',
}
_TENSOR = re.compile(r'tensor<((?:\d+x)*)(\w+)>')


def write_problem(folder: pathlib.Path, epochs: int = 3) -> pathlib.Path:
  """Writes a file that defines a comparison of four runs, two of which replay the others."""
  text = world.PROBLEM
  # Steps are quick and epochs have many, so that there is something to interrupt.
  for was, becomes in (('size=(60', 'size=(400'), ('batch_size=16', 'batch_size=8')):
    text = text.replace(was, becomes)
  path = folder / 'sums.py'
  path.write_text(text.replace(f'epochs={world.EPOCHS}', f'epochs={epochs}'))
  return path


def start(*arguments, **environment) -> subprocess.Popen:
  """Starts ``python -m train run ...`` in a process of its own."""
  return subprocess.Popen(
    [sys.executable, '-m', 'train', 'run', *map(str, arguments)],
    cwd=ROOT,
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
    env={**os.environ, **environment},
  )


def children_of(process: subprocess.Popen) -> list[int]:
  """Returns the processes that a process has started; Linux only."""
  path = pathlib.Path(f'/proc/{process.pid}/task/{process.pid}/children')
  return [int(child) for child in path.read_text().split()]


def tables(workdir: pathlib.Path) -> dict[str, bytes]:
  """Returns the tables of all runs that hold nothing of the clock."""
  return {
    str(path.relative_to(workdir)): path.read_bytes()
    for name in ('metrics.csv', 'phases.csv')
    for path in sorted(workdir.glob(f'*/seed-*/{name}'))
  }


def checkpoints_in(workdir: pathlib.Path) -> set[pathlib.Path]:
  """Returns the directories of the runs that have a checkpoint."""
  return {
    pathlib.Path(path).parent
    for path, names, _ in os.walk(workdir)
    if os.path.basename(path) == 'checkpoints' and any(name.isdigit() for name in names)
  }


def count_checkpoints(workdir):
  """Returns how many checkpoints there are. Globbing would fail on what Orbax renames meanwhile."""
  return sum(
    name.isdigit()
    for path, names, _ in os.walk(workdir)
    if os.path.basename(path) == 'checkpoints'
    for name in names
  )


def wait_until(condition: Callable[[], object], process: subprocess.Popen) -> None:
  """Waits until something is the case while a command runs.

  Raises:
    AssertionError: If the command ended before.
  """
  deadline = time.monotonic() + 240
  while not condition():
    assert process.poll() is None, process.communicate()
    assert time.monotonic() < deadline, 'it takes too long'
    time.sleep(0.02)


def run_command(*arguments, columns: int = 80, status: int = 0) -> str:
  """Runs ``python -m train ...``, which must end with a status, and returns what it printed."""
  argv = ['train', *map(str, arguments)]
  with (
    mock.patch.object(sys, 'argv', argv),
    mock.patch.dict('os.environ', COLUMNS=str(columns)),
    contextlib.redirect_stdout(io.StringIO()) as output,
  ):
    if status:
      with pytest.raises(SystemExit) as exit_info:
        main()
      assert exit_info.value.code == status
    else:
      main()
  return output.getvalue()


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
