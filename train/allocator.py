"""Large buffers that stay in the process from step to step, instead of going back to the system."""

import ctypes
import platform

# Of mallopt, see malloc.h of the GNU C library.
_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8
# Elements of a batch from which on it gains: small steps are slower where all threads share an arena.
_LARGE = 100_000


def keep_buffers(batch_elements: int) -> None:
  """Tells the C library to keep freed memory, if batches are large; to be called before JAX is used.

  On a CPU, XLA allocates the buffers of a step anew each time. The GNU C library has the system map
  what is large, and each page of it is then cleared again in every step.

  Args:
    batch_elements: How many numbers the network gets in a step.
  """
  if batch_elements < _LARGE or platform.libc_ver()[0] != 'glibc':
    return
  library = ctypes.CDLL(None)
  # Only the first arena can hold large blocks that are not mapped.
  for parameter, value in ((_ARENA_MAX, 1), (_MMAP_MAX, 0), (_TRIM_THRESHOLD, -1)):
    library.mallopt(parameter, value)
