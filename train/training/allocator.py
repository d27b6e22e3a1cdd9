"""Large buffers that stay in the process from step to step, instead of going back to the system."""

import ctypes
import pathlib
import platform
import re

# Of mallopt, see malloc.h of the GNU C library; the values are its defaults.
_TRIM_THRESHOLD, _USUAL_TRIM_THRESHOLD = -1, 128 * 1024
_MMAP_MAX, _USUAL_MMAP_MAX = -4, 65_536
_ARENA_MAX = -8
# Elements of a batch from which on it gains: small steps are slower where all threads share an arena.
_LARGE = 100_000
_SCARCE_SHARE = 1 / 4


class KeptBuffers:
  """Has the GNU C library keep freed memory, for as long as the machine has enough.

  On a CPU, XLA allocates the buffers of a step anew each time. The library has the system map what is
  large, and each page of it is then cleared again in every step. What is kept instead can grow to
  some times the buffers of a step.
  """

  def __init__(self, batch_elements: int):
    """Begins, if batches are large; to be called before JAX is used.

    Args:
      batch_elements: How many numbers the network gets in a step.
    """
    self._library = None
    if batch_elements >= _LARGE and platform.libc_ver()[0] == 'glibc':
      self._library = ctypes.CDLL(None)
      # Only the first arena can hold large blocks that are not mapped.
      self._library.mallopt(_ARENA_MAX, 1)
      self._library.mallopt(_MMAP_MAX, 0)
      self._library.mallopt(_TRIM_THRESHOLD, -1)

  def give_back_if_scarce(self) -> None:
    """Ends it if less than a quarter of the machine's memory is available."""
    if self._library is not None and _available_share() < _SCARCE_SHARE:
      self._library.mallopt(_MMAP_MAX, _USUAL_MMAP_MAX)
      self._library.mallopt(_TRIM_THRESHOLD, _USUAL_TRIM_THRESHOLD)
      self._library.malloc_trim(0)
      self._library = None


def _available_share() -> float:
  """Returns which share of the machine's memory is available; all where that is not known."""
  try:
    words = pathlib.Path('/proc/meminfo').read_text()
  except OSError:
    return 1.0
  found = dict(re.findall(r'(MemTotal|MemAvailable): +(\d+) kB', words))
  return int(found['MemAvailable']) / int(found['MemTotal']) if len(found) == 2 else 1.0
