"""Trains runs at the same time on the nodes of a Ray cluster: ``--cluster``."""

import contextlib
import os
import re
import socket
import time
import warnings

from train.launch.run import Outcome
from train.launch.worker import Result, Task, train_task
from train.system.environment import python_path
from train.system.errors import UserError
from train.system.files import first_line

_SECONDS_TO_ANSWER = 10
_OBJECT_STORE_BYTES = 100 * 2**20  # of a cluster that we start; tasks and results are small


class Cluster:
  """A Ray cluster that gives each task a fresh process; has the methods of ``Jobs``."""

  def __init__(self, address: str, cpus: int, gpus: int, tpus: int):
    """Starts a cluster (``'local'``) or connects to one; the numbers are those of a run."""
    self._ray = ray = _connect(address)
    if address == 'local':
      for name, number in {'CPU': cpus, 'GPU': gpus, 'TPU': tpus}.items():
        if number > (found := ray.cluster_resources().get(name, 0)):
          ray.shutdown()
          raise UserError(
            f'Each run needs {number} {name}{"" if number == 1 else "s"}, but this machine has '
            f'{found:g}: ask for fewer.'
          )
    # The process of a run ends with the run, so that the next run has JAX and the GPU to itself. If a
    # process dies, the driver submits its run again: it knows whether the run made progress.
    self._train = ray.remote(
      num_cpus=cpus,
      num_gpus=gpus,
      resources={'TPU': tpus} if tpus else None,
      max_calls=1,
      max_retries=0,
    )(train_task)
    self._tasks = {}

  def has_room(self) -> bool:
    return True  # Ray queues the tasks that have to wait

  def submit(self, task: Task) -> None:
    self._tasks[self._train.remote(task)] = task

  def wait(self, seconds: float) -> list[tuple[Task, Result]]:
    if not self._tasks:
      time.sleep(seconds)
      return []
    ended, _ = self._ray.wait(list(self._tasks), timeout=seconds)
    return [(self._tasks.pop(reference), self._result(reference)) for reference in ended]

  def request_stop(self) -> None:
    for reference in self._tasks:
      self._ray.cancel(reference)

  def close(self) -> None:
    # Ray ends the tasks of a program that disconnects. Cancelling a task that is just ending can abort
    # this process (Ray 2.60: "Tried to complete task that was not pending").
    self._ray.shutdown()

  def _result(self, reference) -> Result:
    exceptions = self._ray.exceptions
    try:
      return self._ray.get(reference)
    except (exceptions.TaskCancelledError, KeyboardInterrupt):
      return Result(Outcome.STOPPED, reason=Outcome.STOPPED.value)
    except (exceptions.RayTaskError, exceptions.RuntimeEnvSetupError) as error:
      return Result(Outcome.FAILED, reason=str(error))
    except exceptions.RayError as error:  # the process, its node, or the memory was lost
      return Result(Outcome.DIED, reason=f'{type(error).__name__}: {first_line(error)}')


def _connect(address: str):
  """Returns Ray, connected to a cluster: ``'local'``, ``'auto'`` or ``'ray://HOST:PORT'``."""
  os.environ.setdefault('RAY_USAGE_STATS_ENABLED', '0')  # do not ask about statistics
  os.environ.setdefault('RAY_COLOR_PREFIX', '0')  # messages about dying nodes may go to a file
  if address == 'local':
    # Servers listen on the loopback interface only, as they do on Windows and macOS.
    os.environ['RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER'] = '0'
  try:
    import ray
  except ImportError:
    raise UserError('--cluster needs Ray: install it with `pip install -e ".[cluster]"`.') from None
  settings = {
    # All nodes run the same code, from a path that they share.
    'runtime_env': {'env_vars': {'PYTHONPATH': python_path()}},
    'log_to_driver': False,
    'logging_level': 'ERROR',
  }
  if address == 'local':
    settings |= {'include_dashboard': False, 'object_store_memory': _OBJECT_STORE_BYTES}
  else:
    _check_that_it_answers(address)
  with warnings.catch_warnings():
    warnings.simplefilter('ignore')  # errors are raised; changing defaults do not concern us
    try:
      ray.init(address=address, **settings)
    except Exception as error:  # Ray raises a bare Exception if a start takes too long
      ray.shutdown()  # ends the servers that it has started
      lines = str(error).strip().splitlines() or [type(error).__name__]
      ends = dict.fromkeys([lines[0], lines[-1].strip()])  # between them there may be a traceback
      raise UserError(f'--cluster {address}: {" ".join(ends)}') from error
  return ray


def _check_that_it_answers(address: str) -> None:
  """Raises a ``UserError`` if no cluster answers; Ray itself would try for minutes."""
  found = address
  if address == 'auto':
    with contextlib.suppress(ImportError, AttributeError, ConnectionError):
      # Ray has no public function for this. If there is no address, `ray.init` fails at once.
      from ray._private.services import get_ray_address_from_environment

      found = get_ray_address_from_environment('auto', None)
  if (place := re.fullmatch(r'(?:ray://)?(.+):(\d{1,5})', found)) is None:
    return
  host, port = place.groups()
  try:
    socket.create_connection((host.strip('[]'), int(port)), _SECONDS_TO_ANSWER).close()
  except (OSError, OverflowError) as error:
    raise UserError(
      f'--cluster {address}: no Ray cluster answers at {host}:{port} ({error}): start one there '
      'with `ray start --head`, or give another address.'
    ) from error
