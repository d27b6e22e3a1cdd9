"""The processes that train one run together, on one or several hosts.

All compute. Process 0 alone reads and writes the working directory, and the others are told what it
found; what went wrong in one of them, all of them say.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils

from train.system.errors import UserError
from train.system.files import first_line
from train.system.signals import Interrupts, command_line

T = TypeVar('T')

SECONDS_TO_MEET = 60
_SECONDS_TO_LEAVE = 5
_LOST = 'Another process of this run ended, or cannot be reached any more'
# What must be the same on all processes; files and folders may have other paths.
_SHARED_OPTIONS = (
  *('parts', 'arms', 'seeds', 'dataset', 'depth', 'width', 'epochs', 'train_examples'),
  *('batch_size', 'learning_rate', 'weight_decay', 'dtype', 'stream', 'devices'),
)


@dataclasses.dataclass
class _State:
  client: Any = None  # of JAX's coordination service; None in a process that trains alone
  told: int = 0  # what process 0 has told the others so far
  looked: int = 0  # how often it was asked whether to stop


_state = _State()


def together() -> bool:
  """Returns whether this process trains together with others."""
  return _state.client is not None


def is_first() -> bool:
  """Returns whether this process reads and writes files: process 0, or the only one."""
  return not together() or jax.process_index() == 0


def join(options: Any) -> None:
  """Meets the other processes if the options name any; to be called before JAX is used.

  Args:
    options: :class:`train.command.options.RunOptions`.

  Raises:
    UserError: If they do not come, cannot be reached, or were started with other options.
  """
  if not options.distributed and options.coordinator is None:
    return
  _explain_native_log()
  if options.distributed:
    try:
      jax.distributed.initialize()
    except (ValueError, RuntimeError) as error:
      raise UserError(
        f'JAX does not find the processes of this run by itself ({first_line(error)}): start them '
        'with --coordinator, --num-processes and --process-id.'
      ) from error
  else:
    hello = {name: repr(getattr(options, name)) for name in _SHARED_OPTIONS}
    hello = {'name': pathlib.Path(options.name).name, **hello}
    meet(options.coordinator, options.num_processes, options.process_id, hello)
    jax.distributed.initialize(
      options.coordinator,
      options.num_processes,
      options.process_id,
      cluster_detection_method='deactivate',
      coordinator_bind_address=_bind_address(options.coordinator),
    )
  _state.client = _coordination_client()


def _bind_address(coordinator: str) -> str | None:
  """Returns where JAX's service listens, which is everywhere if not said."""
  host, _, port = coordinator.rpartition(':')
  return f'{_address_to_bind(host)}:{port}' if _address_to_bind(host) else None


def _coordination_client() -> Any:
  # JAX has no public name for it; Orbax takes it from here, too.
  from jax._src import distributed

  return distributed.global_state.client


def meet(coordinator: str, processes: int, process_id: int, hello: dict[str, str]) -> None:
  """Waits until all processes have come to the coordinator, and compares how they were started.

  JAX meets at the same place afterwards, but ends a process, with a stack trace, if one is missing.

  Args:
    coordinator: Host and port of process 0.
    processes: How many there are.
    process_id: Which one this is.
    hello: What must be the same on all.

  Raises:
    UserError: If they do not come, or differ; on all that have come.
  """
  host, _, port = coordinator.rpartition(':')
  hello = {'--num-processes': str(processes), **hello}
  if process_id == 0:
    verdict = _wait_for_others(_address_to_bind(host), int(port), processes, hello)
  else:
    verdict = _report_to((host.strip('[]'), int(port)), process_id, hello)
  if verdict:
    raise UserError(verdict)


def _address_to_bind(host: str) -> str:
  """Returns where process 0 listens: on this machine only if no other can reach the host anyway."""
  return host if host == 'localhost' or host.startswith('127.') else ''


def _wait_for_others(host: str, port: int, processes: int, hello: dict[str, str]) -> str:
  try:
    server = socket.create_server((host, port))
  except OSError as error:
    return (
      f'Port {port} cannot be used ({error.strerror}): if another process of this run has '
      '--process-id 0, too, give each its own, else choose another port for --coordinator.'
    )
  deadline = time.monotonic() + SECONDS_TO_MEET
  came: dict[int, socket.socket] = {}
  verdict = ''
  with server, contextlib.ExitStack() as connections:
    while len(came) < processes - 1 and (left := deadline - time.monotonic()) > 0:
      server.settimeout(left)
      try:
        connection = connections.enter_context(server.accept()[0])
        connection.settimeout(5)
        process_id, theirs = json.loads(connection.makefile().readline(65_536))
        if process_id in came or process_id == 0:
          difference = f'Two processes were started with --process-id {process_id}.'
        else:
          difference = _difference(process_id, theirs, hello)
      except (OSError, ValueError, TypeError, AttributeError):  # nobody of ours, or too slow
        continue
      came[len(came) + processes if process_id in came else process_id] = connection
      if difference and not verdict:
        verdict = difference
        deadline = min(deadline, time.monotonic() + 5)  # others may come to hear it
    missing = sorted(set(range(1, processes)) - came.keys())
    if missing and not verdict:
      verdict = (
        f'Of {processes} processes, {", ".join(map(str, missing))} did not come within '
        f'{SECONDS_TO_MEET} seconds: start all, with --process-id 0 to {processes - 1}.'
      )
    for connection in came.values():
      with contextlib.suppress(OSError):
        connection.sendall(json.dumps(verdict).encode() + b'\n')
  return verdict


def _report_to(address: tuple[str, int], process_id: int, hello: dict[str, str]) -> str:
  deadline = time.monotonic() + SECONDS_TO_MEET
  while True:
    try:
      with socket.create_connection(address, timeout=5) as connection:
        connection.sendall(json.dumps([process_id, hello]).encode() + b'\n')
        # The coordinator may have begun to wait later than this process.
        connection.settimeout(2 * SECONDS_TO_MEET)
        return json.loads(connection.makefile().readline())
    except (OSError, ValueError) as error:
      if time.monotonic() > deadline:
        if isinstance(error, socket.gaierror):
          return (
            f'No machine called {address[0]} was found within {SECONDS_TO_MEET} seconds: give '
            '--coordinator the name or address of the machine of process 0.'
          )
        return (
          f'The coordinator {address[0]}:{address[1]} did not answer within {SECONDS_TO_MEET} '
          f'seconds ({error or "it closed the connection"}): start process 0 there, and give all '
          'processes its address.'
        )
      time.sleep(0.2)


def _difference(process_id: int, theirs: dict[str, str], ours: dict[str, str]) -> str:
  for name, value in ours.items():
    if theirs.get(name) != value:
      option = name if name.startswith('--') or name == 'name' else f'--{name.replace("_", "-")}'
      return (
        f'Process {process_id} was started with {option} {theirs.get(name)}, process 0 with {value}: '
        'start all with the same.'
      )
  return ''


def from_first(function: Callable[[], T]) -> T:
  """Returns what a function returns on process 0, on all processes; a ``UserError`` is one on all.

  Args:
    function: What reads or writes files. Its result is JSON-able, and the others get it as JSON
      keeps it: tuples are lists. Nothing that a stranger might send them is executed.
  """
  if not together():
    return function()
  key = f'lcam/told/{_state.told}'
  _state.told += 1
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
  """Waits until a process has set a key, or has ended."""
  while True:
    try:
      return _state.client.blocking_key_value_get_bytes(key, 2_000)
    except jax.errors.JaxRuntimeError:  # nothing was set yet
      if departed := _departed():
        raise UserError(departed) from None


@contextlib.contextmanager
def on_first(context: AbstractContextManager[T]) -> Iterator[T]:
  """Enters a context on process 0 alone; all are given what it gives, see :func:`from_first`."""
  with contextlib.ExitStack() as stack:
    yield from_first(lambda: stack.enter_context(context))


def check_same(what: str, value: Any) -> None:
  """Raises a ``UserError`` on all processes if one has another value than process 0.

  Args:
    what: What it is, as the sentence calls it.
    value: JSON-able.
  """
  if not together():
    return
  digest = hashlib.sha256(json.dumps(value).encode()).digest()
  prefix = f'lcam/same/{_state.told}/'
  _state.client.key_value_set_bytes(f'{prefix}{jax.process_index()}', digest)

  def compare() -> None:
    for process_id in range(1, jax.process_count()):
      if _get(f'{prefix}{process_id}') != digest:
        raise UserError(
          f'Process {process_id} has another {what} than process 0: give all processes the same '
          'options, files and data.'
        )

  from_first(compare)


def broadcast(arrays: list[np.ndarray]) -> list[np.ndarray]:
  """Returns the arrays of process 0, bit for bit.

  Args:
    arrays: Arrays; on other processes, any of the same shapes and dtypes.
  """
  if not together():
    return arrays
  # As bytes, because a sum of floats, which this is, would lose the sign of zeros.
  sent = [np.frombuffer(np.ascontiguousarray(array).tobytes(), np.uint8) for array in arrays]
  received = multihost_utils.broadcast_one_to_all(sent)
  return [
    np.frombuffer(np.asarray(data).tobytes(), array.dtype).reshape(array.shape)
    for array, data in zip(arrays, received, strict=True)
  ]


def interrupts() -> Interrupts:
  """Returns what notes signals, those that come to other processes included."""
  return _SharedInterrupts() if together() else Interrupts()


class _SharedInterrupts(Interrupts):
  """Lets all processes leave at the same step when one of them is asked to stop.

  JAX itself listens to SIGTERM and agrees on the step, so that Ctrl-C is handed on as one.
  """

  signals = (signal.SIGINT,)

  def _number(self):
    _state.looked += 1
    if multihost_utils.reached_preemption_sync_point(_state.looked):
      return self.requested or signal.SIGTERM
    return None

  def _note(self, number, frame):
    super()._note(number, frame)
    os.kill(os.getpid(), signal.SIGTERM)


@contextlib.contextmanager
def lost_processes_explained() -> Iterator[None]:
  """Tells in a sentence that a computation failed because another process is gone."""
  try:
    yield
  except jax.errors.JaxRuntimeError as error:
    if not together() or not any(word in str(error) for word in ('Gloo', 'onnection', 'NCCL')):
      raise
    raise UserError(_departed() or lost_sentence()) from error


def _departed() -> str | None:
  """Returns a sentence about a process that has ended, if it could say why."""
  with contextlib.suppress(jax.errors.JaxRuntimeError):
    for key, sentence in _state.client.key_value_dir_get('lcam/left/'):
      return f'Process {key.rpartition("/")[2]} ended: {sentence}'
  return None


def lost_sentence() -> str:
  """Returns what to say when a process is gone."""
  return f'{_LOST}; start all again to go on from the last checkpoint: {command_line()}'


def leave(sentence: str, status: int) -> None:
  """Ends this process after an error, and lets the others know.

  A usual exit would wait for the others, who may be waiting for this one. In a process that is alone
  it only sees to it that the sentence is shown.

  Args:
    sentence: What was wrong, as it was printed.
    status: The exit status.
  """
  if not together():
    _end_native_log()
    return
  with contextlib.suppress(jax.errors.JaxRuntimeError):
    _state.client.key_value_set(f'lcam/left/{jax.process_index()}', sentence, allow_overwrite=True)
    _state.client.wait_at_barrier('lcam/leaving', 1000 * _SECONDS_TO_LEAVE)
  if is_first():
    time.sleep(1)  # the others end at once when the service ends, which is in this process
  sys.stdout.flush()
  _end_native_log()
  os._exit(status)


FAREWELL = '\x04\n'


def _explain_native_log() -> None:
  """Lets a program of its own write stderr, which outlives this process if JAX ends it.

  When another process is gone, JAX's runtime ends this one from a thread of its own, with a stack
  trace. Python learns nothing of it.
  """
  program = pathlib.Path(__file__).with_name('native_log.py')
  reader = subprocess.Popen(
    [sys.executable, str(program), lost_sentence()],
    stdin=subprocess.PIPE,
    stdout=subprocess.DEVNULL,
    start_new_session=True,  # Ctrl-C is for this process
  )
  assert reader.stdin is not None
  sys.stderr.flush()
  _readers.append((reader, os.dup(2)))
  os.dup2(reader.stdin.fileno(), 2)
  reader.stdin.close()


def _end_native_log() -> None:
  """Gives this process its stderr back, once what it wrote there is shown: before its end, not after."""
  for reader, stderr in _readers:
    sys.stderr.write(FAREWELL)
    sys.stderr.flush()
    os.dup2(stderr, 2)
    with contextlib.suppress(subprocess.TimeoutExpired):
      reader.wait(_SECONDS_TO_LEAVE)
  _readers.clear()


_readers: list[tuple[subprocess.Popen, int]] = []  # programs, each with the stderr that it writes
