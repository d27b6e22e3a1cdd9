"""Runs at the same time on the nodes of a Ray cluster: ``--cluster``."""

import contextlib
import os
import re
import socket
import time
import warnings

from train.launch.run import Outcome
from train.launch.worker import Result, Task, python_path, train_task
from train.system.errors import UserError
from train.system.files import first_line

_SECONDS_TO_ANSWER = 10
_OBJECT_STORE_BYTES = 100 * 2**20  # of a cluster of our own; tasks and results are small


class Cluster:
  """A Ray cluster, where each task has a fresh process and the resources that it asks for."""

  def __init__(self, address: str, cpus: int, gpus: int, tpus: int):
    """Connects to a cluster, or starts one.

    Args:
      address: ``'local'``, ``'auto'`` or ``'ray://HOST:PORT'``.
      cpus: CPU cores of each run.
      gpus: GPUs of each run.
      tpus: TPU chips of each run.

    Raises:
      UserError: If Ray is not installed, there is no cluster, or the one that was started has not
        what a run asks for.
    """
    self._ray = ray = _import_ray(address)
    if address != 'local':
      _check_that_it_answers(address)
    _connect(ray, address)
    wanted = {'CPU': cpus, 'GPU': gpus, 'TPU': tpus}
    if address == 'local':
      for name, number in wanted.items():
        if number > (found := ray.cluster_resources().get(name, 0)):
          ray.shutdown()
          raise UserError(
            f'A run was to have {number} {name}{"" if number == 1 else "s"}, but this machine has '
            f'{found:g}: ask for fewer.'
          )
    # The process of a run ends with it, so that the next has JAX and the GPU to itself. A run whose
    # process died is submitted again by the driver, which knows whether it got any further.
    self._train = ray.remote(
      num_cpus=cpus,
      num_gpus=gpus,
      resources={'TPU': tpus} if tpus else None,
      max_calls=1,
      max_retries=0,
    )(train_task)
    self._tasks = {}

  def has_room(self) -> bool:
    """Returns whether another task may be submitted: always, for Ray lets it wait for its turn."""
    return True

  def submit(self, task: Task) -> None:
    """Has a run trained, on whichever node has room for it."""
    self._tasks[self._train.remote(task)] = task

  def wait(self, seconds: float) -> list[tuple[Task, Result]]:
    """Returns the tasks that have ended, as soon as there are some, or none after a time."""
    if not self._tasks:
      time.sleep(seconds)
      return []
    ended, _ = self._ray.wait(list(self._tasks), timeout=seconds)
    return [(self._tasks.pop(reference), self._result(reference)) for reference in ended]

  def stop(self, seconds: float) -> None:
    """Asks all runs to save and stop, and ends those that have not after some time."""
    for reference in self._tasks:
      self._ray.cancel(reference)
    deadline = time.monotonic() + seconds
    while self._tasks and time.monotonic() < deadline:
      self.wait(deadline - time.monotonic())
    self.close()

  def close(self) -> None:
    """Ends all runs at once and leaves the cluster; checkpoints stay."""
    self._tasks.clear()
    # Ray ends the tasks of a program that leaves. To cancel one that may be ending, as when it has just
    # been asked to stop, can abort this process (Ray 2.60: "Tried to complete task that was not pending").
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


def _first_and_last_line(error: Exception) -> str:
  """Returns what failed and why: Ray may put a traceback of its server between the two."""
  lines = [line.strip() for line in str(error).splitlines() if line.strip()]
  first, *others = lines or [type(error).__name__]
  return ' '.join([first, *others[-1:]])


def _import_ray(address: str):
  os.environ.setdefault('RAY_USAGE_STATS_ENABLED', '0')  # no question about statistics
  os.environ.setdefault('RAY_COLOR_PREFIX', '0')  # what Ray tells of dying nodes may go to a file
  if address == 'local':
    # Has servers listen to this machine only, as they do on Windows and macOS.
    os.environ['RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER'] = '0'
  try:
    import ray
  except ImportError:
    raise UserError('--cluster needs Ray: install it with `pip install -e ".[cluster]"`.') from None
  return ray


def _check_that_it_answers(address: str) -> None:
  """Refuses a cluster that is not there, which Ray would try to reach for minutes.

  Raises:
    UserError: If nothing answers.
  """
  found = address
  if address == 'auto':
    with contextlib.suppress(ImportError, AttributeError, ConnectionError):
      # Ray has no public name for it. Where none is found, `ray.init` says so at once.
      from ray._private.services import get_ray_address_from_environment

      found = get_ray_address_from_environment('auto', None)
  place = re.fullmatch(r'(?:ray://)?(.+):(\d{1,5})', found)
  if place is None:
    return
  try:
    socket.create_connection((place[1].strip('[]'), int(place[2])), _SECONDS_TO_ANSWER).close()
  except (OSError, OverflowError) as error:
    raise UserError(
      f'--cluster {address}: no Ray cluster answers at {place[1]}:{place[2]} ({error}): start one '
      'there with `ray start --head`, or name another.'
    ) from error


def _connect(ray, address: str) -> None:
  settings = {
    # Nodes run the same code, from a place that they share.
    'runtime_env': {'env_vars': {'PYTHONPATH': python_path()}},
    'log_to_driver': False,
    'logging_level': 'ERROR',
  }
  if address == 'local':
    settings |= {
      'include_dashboard': False,
      'object_store_memory': _OBJECT_STORE_BYTES,
    }
  with warnings.catch_warnings():
    warnings.simplefilter('ignore')  # what goes wrong is raised; defaults that change are not used
    try:
      ray.init(address=address, **settings)
    except Exception as error:  # Ray has no type of its own where a start takes too long
      ray.shutdown()  # ends what it has started
      raise UserError(f'--cluster {address}: {_first_and_last_line(error)}') from error
