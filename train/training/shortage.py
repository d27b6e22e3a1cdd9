"""Says in a sentence that a machine has too little memory."""

import contextlib
import re
from collections.abc import Iterator

import jax

from train.system.errors import UserError
from train.training.memory import memory_limit

_GIB = 2**30
# Training keeps at least the parameters, their gradients and one accumulator, in float32.
_BYTES_PER_PARAMETER = 3 * 4


def check_parameters(parameters: int, network: str) -> None:
  """Refuses a network whose parameters alone are more than a device can hold while it trains.

  Args:
    parameters: How many it has.
    network: What the sentence calls it.

  Raises:
    UserError: If they are too many.
  """
  needed, there = parameters * _BYTES_PER_PARAMETER, memory_limit()
  if needed > there:
    raise UserError(
      f'{network} has {parameters:,} parameters, which take {needed / _GIB:,.0f} GiB with their '
      f'gradients and momenta, and a device has {there / _GIB:,.0f} GiB: choose a smaller network.'
    )


@contextlib.contextmanager
def shortage_explained() -> Iterator[None]:
  """Tells in a sentence that memory ran out.

  Raises:
    UserError: In the place of the error of Python or JAX.
  """
  try:
    yield
  except (MemoryError, jax.errors.JaxRuntimeError) as error:
    if not isinstance(error, MemoryError) and 'RESOURCE_EXHAUSTED' not in str(error):
      raise
    found = re.search(r'allocat\w* (\d+)\s?bytes', str(error))
    size = f' where {int(found[1]) / _GIB:,.1f} GiB more were needed' if found else ''
    raise UserError(
      f'The memory ran out{size}: choose a smaller network, a smaller --batch-size or, if it was the '
      'data that did not fit on a GPU, --stream.'
    ) from error
