"""The memory of training: its limit, errors when it runs out, and buffers kept on a CPU."""

import contextlib
import ctypes
import math
import os
import pathlib
import platform
import re
from collections.abc import Iterator

import jax

from train.data import Dataset
from train.data.inputs import device_memory
from train.problem.comparison import Comparison
from train.system.errors import UserError

_GIB = 2**30
# Training keeps at least the parameters, their gradients and one accumulator, in float32.
_BYTES_PER_PARAMETER = 3 * 4
# Parameters of mallopt, from malloc.h of the GNU C library, with their defaults.
_TRIM_THRESHOLD, _USUAL_TRIM_THRESHOLD = -1, 128 * 1024
_MMAP_MAX, _USUAL_MMAP_MAX = -4, 65_536
_ARENA_MAX = -8
_LARGE = 100_000  # elements of a batch; smaller steps are slower with kept buffers
_SCARCE_SHARE = 1 / 4


def memory_limit() -> float:
  """Returns the bytes of a device's memory; infinite if unknown."""
  if jax.default_backend() == 'cpu' and hasattr(os, 'sysconf'):  # not on Windows
    return os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')
  return device_memory()


def check_parameters_fit(parameters: int, network: str) -> None:
  """Raises a ``UserError`` if the parameters alone need more memory in training than a device has."""
  needed, limit = parameters * _BYTES_PER_PARAMETER, memory_limit()
  if needed > limit:
    raise UserError(
      f'{network} has {parameters:,} parameters, which take {needed / _GIB:,.0f} GiB with their '
      f'gradients and momenta, and a device has {limit / _GIB:,.0f} GiB: choose a smaller network.'
    )


def step_bytes(program: jax.stages.Compiled) -> int:
  """Returns the memory of a compiled step's buffers."""
  needs = program.memory_analysis()
  # Donated buffers count among arguments and outputs alike.
  kept = needs.argument_size_in_bytes + needs.output_size_in_bytes - needs.alias_size_in_bytes
  return kept + needs.temp_size_in_bytes + needs.generated_code_size_in_bytes


@contextlib.contextmanager
def out_of_memory_explained() -> Iterator[None]:
  """Raises a ``UserError`` in place of the errors of Python and JAX that memory ran out."""
  try:
    yield
  except (MemoryError, jax.errors.JaxRuntimeError) as error:
    if not isinstance(error, MemoryError) and 'RESOURCE_EXHAUSTED' not in str(error):
      raise
    found = re.search(r'allocat\w* (\d+)\s?bytes', str(error))
    size = f' where {int(found[1]) / _GIB:,.1f} GiB more were needed' if found else ''
    raise UserError(
      f'The memory ran out{size}: choose a smaller network, a smaller --batch-size or, if the data '
      'did not fit on a GPU, --stream.'
    ) from error


def batch_elements(comparison: Comparison, dataset: Dataset) -> int:
  """Returns how many numbers a batch of inputs has."""
  size, arrays = comparison.network.image_size, jax.tree.leaves(dataset.train.inputs)
  of_row = sum(math.prod(array.shape[1:]) for array in arrays) if size is None else size**2
  return min(comparison.batch_size, len(dataset.train)) * of_row


class KeptBuffers:
  """Has the GNU C library keep freed memory in the process while the machine has enough.

  On a CPU, XLA allocates the buffers of each step anew. By default the system maps large ones, and
  clears their pages in every step. Kept memory can grow to several times the buffers of a step.
  """

  def __init__(self, batch_elements: int):
    """Starts to keep memory if batches of inputs are large; to be called before JAX is used."""
    self._library = None
    if batch_elements >= _LARGE and platform.libc_ver()[0] == 'glibc':
      self._library = ctypes.CDLL(None)
      # Only the first arena can hold large blocks that are not mapped.
      self._library.mallopt(_ARENA_MAX, 1)
      self._library.mallopt(_MMAP_MAX, 0)
      self._library.mallopt(_TRIM_THRESHOLD, -1)

  def give_back_if_scarce(self) -> None:
    """Gives the memory back, and keeps none from now on, if less than a quarter is available."""
    if self._library is not None and _available_share() < _SCARCE_SHARE:
      self._library.mallopt(_MMAP_MAX, _USUAL_MMAP_MAX)
      self._library.mallopt(_TRIM_THRESHOLD, _USUAL_TRIM_THRESHOLD)
      self._library.malloc_trim(0)
      self._library = None


def _available_share() -> float:
  """Returns the share of the machine's memory that is available; 1 if unknown."""
  try:
    words = pathlib.Path('/proc/meminfo').read_text()
  except OSError:
    return 1.0
  found = dict(re.findall(r'(MemTotal|MemAvailable): +(\d+) kB', words))
  return int(found['MemAvailable']) / int(found['MemTotal']) if len(found) == 2 else 1.0
