"""Says in one sentence why JAX's runtime ends this process.

If processes do not meet, or one is lost, the runtime logs it with a stack trace and aborts, mostly
in a thread of its own. Python gets no exception.
"""

import ctypes
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable

_SECONDS = 5  # for other threads to finish
# Where the runtime begins to log that processes are missing or lost; the stack trace follows.
_TROUBLE = re.compile(
  rb'[WEF]\d{4} .*(coordination_service|preemption_sync_manager|distributed|client\.h)'
)
_NOTICE = re.compile(rb'[IW]\d{4} .*preemption_notifier')  # that SIGTERM came
_FATAL = b'JAX distributed service detected fatal errors'


class NativeLog:
  """Passes on what native code writes to stderr, except for how the runtime logs such an end."""

  def __init__(self, explain: Callable[[str], str]):
    """Redirects stderr, and handles SIGABRT; ``explain`` makes a sentence of what was logged."""
    self._explain = explain
    self._held: list[bytes] = []
    self._explained = threading.RLock()
    self._stderr = os.dup(2)
    self._former = former = sys.stderr  # which may close its file when nobody holds it
    sys.stderr = os.fdopen(self._stderr, 'w', 1, former.encoding, former.errors, closefd=False)
    reading, writing = os.pipe()
    os.dup2(writing, 2)
    os.close(writing)
    self._reader = threading.Thread(target=self._pass_on, args=[reading], daemon=True)
    self._reader.start()
    # A handler of Python's own would wait for the main thread, which never comes to run it.
    self._handler = ctypes.CFUNCTYPE(None, ctypes.c_int)(self._on_abort)
    ctypes.CDLL(None).signal(signal.SIGABRT, self._handler)

  def mute(self) -> None:
    """Lets this thread alone explain the end; does not return if it is being explained already."""
    self._explained.acquire()

  def end(self) -> None:
    """Restores stderr, and the usual end on SIGABRT."""
    ctypes.CDLL(None).signal(signal.SIGABRT, None)
    os.dup2(self._stderr, 2)
    sys.stderr = self._former
    self._reader.join(_SECONDS)

  def _pass_on(self, reading: int) -> None:
    with open(reading, 'rb') as log:
      for line in log:
        if self._held or _TROUBLE.match(line):
          self._held.append(line)
        elif not _NOTICE.match(line):
          os.write(self._stderr, line)

  def _on_abort(self, _: int) -> None:
    self.end()
    log = b''.join(self._held)
    if _FATAL not in log:
      os.write(self._stderr, log)
      return
    if self._explained.acquire(blocking=False):
      os.write(self._stderr, f'{self._explain(log.decode(errors="replace"))}\n'.encode())
    else:
      time.sleep(2 * _SECONDS)  # the main thread prints its sentence, and ends the process
    os._exit(2)
