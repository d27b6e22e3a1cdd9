"""Processes that train one run together, on one or several hosts.

All compute. Process 0 alone reads and writes the working directory, and sends the others what it
found. All of them report an error of one.
"""

import atexit
import contextlib
import dataclasses
import hashlib
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, TypeVar

import jax
import numpy as np
from jax._src.distributed import global_state  # which has no public name; Orbax uses it, too
from jax.experimental import multihost_utils

from train.system.errors import UserError
from train.system.native_log import NativeLog
from train.system.signals import Interrupts, command_line

T = TypeVar('T')

_SECONDS_TO_LEAVE = 5


@dataclasses.dataclass
class _State:
  client: Any = None  # of JAX's coordination service; None in a process that trains alone
  process_id: int = 0
  native_log: NativeLog | None = None
  sent: int = 0  # how many results process 0 has sent to the others
  asked: int = 0  # how often the processes agreed on whether to stop


_state = _State()


def together() -> bool:
  """Returns whether this process trains together with others."""
  return _state.client is not None


def is_first() -> bool:
  """Returns whether this process reads and writes files: process 0, or the only one."""
  return _state.process_id == 0


def connect(why_not_met: Callable[[str], str], **arguments: Any) -> None:
  """Connects this process with the others by ``jax.distributed``; to be called before JAX is used.

  If they do not meet, ``why_not_met`` makes this process's last sentence of what the runtime logged.
  """
  _state.native_log = NativeLog(
    lambda log: why_not_met(log) if 'RegisterTask' in log else _lost_sentence()
  )
  atexit.register(_state.native_log.end)
  atexit.register(jax.distributed.shutdown)  # called before the other
  # JAX waits for the others without looking at signals.
  handler = signal.signal(signal.SIGINT, signal.SIG_DFL)
  try:
    jax.distributed.initialize(**arguments)
  finally:
    signal.signal(signal.SIGINT, handler)
  _state.client = global_state.client
  _state.process_id = global_state.process_id


def from_first(function: Callable[[], T]) -> T:
  """Calls a function on process 0, and returns its result, or raises its ``UserError``, on all.

  The result is sent as JSON: other processes get tuples as lists, and execute nothing.
  """
  if not together():
    return function()
  key = f'lcam/sent/{_state.sent}'
  _state.sent += 1
  if is_first():
    try:
      result = function()
    except UserError as error:
      _state.client.key_value_set_bytes(key, json.dumps([str(error), None]).encode())
      raise
    _state.client.key_value_set_bytes(key, json.dumps([None, result]).encode())
    return result
  sentence, result = json.loads(_get(key))
  if sentence is not None:
    raise UserError(sentence)
  return result


def _get(key: str) -> bytes:
  """Returns the value of a key once a process has set it; raises if a process has ended."""
  while True:
    try:
      return _state.client.blocking_key_value_get_bytes(key, 2_000)
    except jax.errors.JaxRuntimeError:  # not set yet
      if sentence := _why_one_ended():
        raise UserError(sentence) from None


@contextlib.contextmanager
def on_first(context: AbstractContextManager[T]) -> Iterator[T]:
  """Enters a context on process 0 alone; gives its value to all, see :func:`from_first`."""
  with contextlib.ExitStack() as stack:
    yield from_first(lambda: stack.enter_context(context))


def check_same(what: str, value: Any) -> None:
  """Raises a ``UserError`` on all processes if one has another JSON-able value than process 0."""
  if not together():
    return
  digest = hashlib.sha256(json.dumps(value).encode()).digest()
  prefix = f'lcam/same/{_state.sent}/'
  _state.client.key_value_set_bytes(f'{prefix}{_state.process_id}', digest)

  def compare() -> None:
    for process_id in range(1, global_state.num_processes):
      if _get(f'{prefix}{process_id}') != digest:
        raise UserError(
          f'Process {process_id} has another {what} than process 0: give all processes the same '
          'options, files and data.'
        )

  from_first(compare)


def broadcast(arrays: list[np.ndarray]) -> list[np.ndarray]:
  """Returns the arrays of process 0, bit for bit; the others pass any of those shapes and dtypes."""
  if not together():
    return arrays
  # As bytes, because JAX broadcasts by a sum, and a sum of floats loses the sign of zeros.
  sent = [np.frombuffer(np.ascontiguousarray(array).tobytes(), np.uint8) for array in arrays]
  received = multihost_utils.broadcast_one_to_all(sent, is_source=is_first())
  return [
    np.frombuffer(np.asarray(data).tobytes(), array.dtype).reshape(array.shape)
    for array, data in zip(arrays, received, strict=True)
  ]


def interrupts() -> Interrupts:
  """Returns what notes signals, including those to other processes."""
  return _SharedInterrupts() if together() else Interrupts()


class _SharedInterrupts(Interrupts):
  """Stops all processes at the same step when one of them is asked to stop.

  JAX itself handles SIGTERM and agrees on the step; Ctrl-C is passed on to it as SIGTERM.
  """

  signals = (signal.SIGINT,)

  def _number(self):
    _state.asked += 1
    if multihost_utils.reached_preemption_sync_point(_state.asked):
      return self.requested or signal.SIGTERM
    return None

  def _note(self, number, frame):
    super()._note(number, frame)
    os.kill(os.getpid(), signal.SIGTERM)


@contextlib.contextmanager
def lost_processes_explained() -> Iterator[None]:
  """Raises a ``UserError`` if a computation fails because another process is gone."""
  try:
    yield
  except jax.errors.JaxRuntimeError as error:
    if not together() or not any(word in str(error) for word in ('Gloo', 'onnection', 'NCCL')):
      raise
    _state.native_log.mute()
    raise UserError(_why_one_ended() or _lost_sentence()) from error


def _why_one_ended() -> str | None:
  """Returns a sentence about a process that has ended and said why."""
  with contextlib.suppress(jax.errors.JaxRuntimeError):
    for key, sentence in _state.client.key_value_dir_get('lcam/ended/'):
      return f'Process {key.rpartition("/")[2]} ended: {sentence}'
  return None


def _lost_sentence() -> str:
  return (
    'Another process of this run ended, or cannot be reached any more; start all again to go on '
    f'from the last checkpoint: {command_line()}'
  )


def leave(sentence: str, status: int) -> None:
  """Ends this process after an error, and tells the others; does nothing if it is alone.

  A usual exit would wait for the others, who may be waiting for this one.
  """
  if not together():
    return
  _state.native_log.mute()
  with contextlib.suppress(jax.errors.JaxRuntimeError):
    _state.client.key_value_set(f'lcam/ended/{_state.process_id}', sentence, allow_overwrite=True)
    _state.client.wait_at_barrier('lcam/leaving', 1000 * _SECONDS_TO_LEAVE)
  if is_first():
    time.sleep(1)  # the others end at once when the service ends, which is in this process
  os._exit(status)
