"""Processes that train when they are told to, so that several can take turns on one machine."""

import math
import os
import subprocess
from collections.abc import Mapping, Sequence


def share_the_device() -> None:
  """Lets this process and those that it starts share the memory of a GPU, of which each would take most."""
  os.environ.setdefault('XLA_PYTHON_CLIENT_PREALLOCATE', 'false')


class Worker:
  """A process that says in lines what it measured; those that train are told on stdin for how many steps."""

  def __init__(self, command: Sequence[str], environment: Mapping[str, str] | None = None):
    """Starts it; it imports and compiles while the next ones are started."""
    pipe = subprocess.PIPE
    self._process = subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, text=True)

  def times(self, steps: int) -> list[float]:
    """Returns the numbers that it prints after so many steps, of which the first is the seconds."""
    assert self._process.stdin is not None
    self._process.stdin.write(f'{steps}\n')
    self._process.stdin.flush()
    return [float(word) for word in self.line().split()]

  def steps_in(self, seconds: float) -> int:
    """Returns how many steps take so long, by one that it times."""
    return math.ceil(seconds / self.times(1)[0])

  def line(self) -> str:
    """Returns the next line that it prints."""
    assert self._process.stdout is not None
    line = self._process.stdout.readline()
    assert line, 'the process ended'
    return line

  def __enter__(self) -> 'Worker':
    """Returns itself."""
    return self

  def __exit__(self, *_) -> None:
    """Ends it."""
    assert self._process.stdin is not None
    self._process.stdin.close()
    self._process.wait()
