"""Controls processes that train on request, so that several can take turns on one machine."""

import math
import os
import subprocess
from collections.abc import Mapping, Sequence


def share_the_device() -> None:
  """Lets this process and its children share a GPU, most of whose memory each would else reserve."""
  os.environ.setdefault('XLA_PYTHON_CLIENT_PREALLOCATE', 'false')


class Worker:
  """A process that prints its measurements in lines, and may read numbers of steps from stdin."""

  def __init__(self, command: Sequence[str], environment: Mapping[str, str] | None = None):
    """Starts the process and does not wait for it."""
    pipe = subprocess.PIPE
    self._process = subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, text=True)

  def times(self, steps: int) -> list[float]:
    """Returns the numbers that it prints after training these steps; the first is the seconds."""
    assert self._process.stdin is not None
    self._process.stdin.write(f'{steps}\n')
    self._process.stdin.flush()
    return [float(word) for word in self.line().split()]

  def steps_in(self, seconds: float) -> int:
    """Returns the number of steps that take this time, estimated from one step."""
    return math.ceil(seconds / self.times(1)[0])

  def line(self) -> str:
    """Returns the next line that it prints."""
    assert self._process.stdout is not None
    line = self._process.stdout.readline()
    assert line, 'the process ended'
    return line

  def __enter__(self) -> 'Worker':
    return self

  def __exit__(self, *_) -> None:
    assert self._process.stdin is not None
    self._process.stdin.close()
    self._process.wait()
