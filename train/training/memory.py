"""The memory that a training takes: of a device, and of the host."""

import dataclasses
import math
import os

import jax
import numpy as np

from train.data import DataSource
from train.data.inputs import device_memory, is_streamed
from train.system.devices import Devices

# While a checkpoint is written: the trainer's copy, Orbax's, and what is encoded of it.
_CHECKPOINT_COPIES = 3
_LABEL_BYTES = 4
_UNITS = ((2**30, 'GiB'), (2**20, 'MiB'), (2**10, 'KiB'), (1, 'bytes'))


@dataclasses.dataclass(frozen=True)
class Memory:
  """What a training needs at its peaks, in bytes. On a CPU, device and host share their memory.

  Attributes:
    step: Of each device, in a training step: the state, what the gradient is computed from, the
      batch. These are the buffers of the compiled program. What it calls takes memory besides, and
      what the allocator keeps: on a CPU, 1.1 to 5 times as much was seen.
    state: The part of it that stays from step to step: parameters, statistics, the optimizer's.
    data: The arrays of the data set, on the host. Those of TFDS are mapped from disk.
    resident: The part of the data that lies on each device besides.
    limit: What each device has; infinite if that is not known.
  """

  step: int
  state: int
  data: int
  resident: int
  limit: float

  @property
  def fits(self) -> bool:
    """Whether a device has what it needs."""
    return self.step + self.resident <= self.limit

  def describe(self, devices: Devices, arm: str, larger: tuple[str, int]) -> list[str]:
    """Returns a line on the devices and one on the host.

    Args:
      devices: The devices that train a run.
      arm: The name of the arm whose training step it is.
      larger: The name of the arm with the largest state, and how many bytes more that is.
    """
    name, more = larger
    with_it = f' ({format_bytes(more)} more with {name})' if more > self.state / 10 else ''
    kind = jax.devices()[0].device_kind
    where = 'this device' if devices.count == 1 else f'each of {devices.count} devices'
    data = f', and {format_bytes(self.resident)} for the data' if self.resident else ''
    limit = '' if self.fits else f': more than its {format_bytes(self.limit)}'
    return [
      f'memory of {where} ({kind}): at least {format_bytes(self.step)} for a training step of '
      f'{arm}, {format_bytes(self.state)} of it the state{with_it}{data}{limit}',
      f'memory of the host: {format_bytes(self.data)} for the data, up to '
      f'{format_bytes(_CHECKPOINT_COPIES * (self.state + more))} while a checkpoint is written',
    ]


def memory_of(program: jax.stages.Compiled, state: object, source: DataSource) -> Memory:
  """Returns the memory that a training takes.

  Args:
    program: Its compiled step.
    state: The state of the step, or the shapes of it.
    source: The data set.
  """
  needs = program.memory_analysis()
  # What is donated is counted among arguments and among outputs.
  step = (
    needs.argument_size_in_bytes
    + needs.output_size_in_bytes
    - needs.alias_size_in_bytes
    + needs.temp_size_in_bytes
    + needs.generated_code_size_in_bytes
  )
  example = math.prod(source.shape) * np.dtype(source.dtype).itemsize + _LABEL_BYTES
  splits = [examples * example for examples in (source.train_examples, source.test_examples)]
  # A CPU reads the mapped arrays where they are.
  in_place = jax.default_backend() == 'cpu'
  return Memory(
    step=step,
    state=size_of(state),
    data=sum(splits),
    resident=0 if in_place else sum(size for size in splits if not is_streamed(size)),
    limit=memory_limit(),
  )


def size_of(arrays: object) -> int:
  """Returns the bytes of a tree of arrays, or of their shapes."""
  return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(arrays))


def format_bytes(size: float) -> str:
  """Returns bytes in the unit that gives a readable number.

  Example:
    >>> format_bytes(5.2e9), format_bytes(291_905_819), format_bytes(12)
    ('4.84 GiB', '278 MiB', '12 bytes')
  """
  unit_size, unit = next((item for item in _UNITS if size >= item[0]), _UNITS[-1])
  number = size / unit_size
  return f'{number:,.0f} {unit}' if number >= 1000 else f'{number:.3g} {unit}'


def memory_limit() -> float:
  """Returns the bytes of a device's memory; infinite if that is not known."""
  if jax.default_backend() == 'cpu' and hasattr(os, 'sysconf'):  # not on Windows
    return os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')
  return device_memory()
