"""Connects processes that train one run together, as the command line describes them."""

import socket
from collections.abc import Mapping
from typing import Any

from train.system import processes
from train.system.errors import UserError
from train.system.files import first_line

SECONDS_TO_MEET = 60


def join(
  coordinator: str, num_processes: int, process_id: int, started_with: Mapping[str, Any]
) -> None:
  """Meets the other processes at process 0, the coordinator; to be called before JAX is used.

  Checks that all were started with the same options. If they do not meet, this process ends with a
  sentence and status 2.
  """
  host, _, port = coordinator.rpartition(':')
  # Other machines cannot reach such a host, so they need not reach the port.
  local = host == 'localhost' or host.startswith('127.')
  if process_id == 0:
    try:  # JAX's service would share the port with others
      socket.create_server((host if local else '', int(port))).close()
    except OSError as error:
      raise UserError(
        f'Port {port} cannot be used ({error.strerror}): if another process of this run has '
        '--process-id 0, too, give each its own, else choose another port for --coordinator.'
      ) from error
  processes.connect(
    lambda log: _why_not_met(
      log,
      f'Not all {num_processes} processes met at {coordinator} within {SECONDS_TO_MEET} seconds: '
      'check the address, start process 0 on that machine, and start each process once.',
    ),
    coordinator_address=coordinator,
    num_processes=num_processes,
    process_id=process_id,
    cluster_detection_method='deactivate',
    coordinator_bind_address=coordinator if local else None,
    initialization_timeout=SECONDS_TO_MEET,
  )
  for option, value in {'--num-processes': num_processes, **started_with}.items():
    processes.check_same(option, value)


def join_found_processes() -> None:
  """Meets the processes that JAX finds (of Slurm, a TPU slice, Kubernetes); before JAX is used."""
  otherwise = 'Not all processes of this run met: start as many as each expects.'
  try:
    processes.connect(lambda log: _why_not_met(log, otherwise))
  except (ValueError, RuntimeError) as error:
    raise UserError(
      f'JAX does not find the processes of this run by itself ({first_line(error)}): '
      'start them with --coordinator, --num-processes and --process-id.'
    ) from error


def _why_not_met(log: str, otherwise: str) -> str:
  """Returns a sentence on what JAX's runtime logged."""
  if 'ALREADY_EXISTS' in log:
    return 'Two processes of this run have the same number: give each its own --process-id.'
  if 'Unexpected task' in log:
    return 'Process 0 expects fewer processes than this one: give all the same --num-processes.'
  return otherwise
