"""Checkpoints of a run, kept by Orbax."""

import contextlib
import copy
import dataclasses
import json
import logging
import pathlib
import sys
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp

from train.system import processes
from train.system.devices import Devices
from train.system.errors import StorageError, UserError
from train.system.files import first_line, put_aside, storage_sentence
from train.system.signals import raise_again_what_is_swallowed

KEPT = 2
_FORMAT = 2  # of the notes; before, they had no format, and the checksum was of the state alone


def quiet_background_errors() -> None:
  """Keeps the tracebacks of Orbax's background work off the terminal of a program.

  What goes wrong is raised, and told by the trainer in a sentence; Orbax logs its traceback besides.
  And when a save fails, Orbax closes its event loop, and each file that TensorStore still writes
  would print a traceback about that. Errors that end the program do not come this way.
  """
  logging.getLogger('absl').setLevel(logging.CRITICAL)
  sys.unraisablehook = _leave_out_closed_loops


def _leave_out_closed_loops(unraisable) -> None:
  if str(unraisable.exc_value) != 'Event loop is closed':
    raise_again_what_is_swallowed(unraisable)


class Checkpoints:
  """The newest checkpoints of a run, each with a checksum of all that is restored from it.

  Orbax writes in the background into a temporary directory and renames it when all is written, so
  that a checkpoint that was cut short is never seen. The checksum, of the state, the notes and the
  step that names the checkpoint, finds one damaged afterwards.
  What it writes says nothing of the number of devices and processes. Process 0 reads and writes; all
  call :meth:`restore`, where it gives the others what it has read.
  """

  def __init__(self, directory: pathlib.Path, warn: Callable[[str], None], devices: Devices):
    """Opens the directory.

    Args:
      directory: Where the checkpoints are.
      warn: Called with a sentence about each damaged checkpoint.
      devices: Where restored states are put.

    Raises:
      StorageError: If the directory cannot be made or read.
    """
    self._directory = directory
    self._warn = warn
    self._devices = devices
    self._manager = None
    if processes.is_first():
      with self._errors_explained():
        self._manager = self._open()

  def _open(self) -> ocp.CheckpointManager:
    options = ocp.CheckpointManagerOptions(
      max_to_keep=KEPT, enable_async_checkpointing=True, cleanup_tmp_directories=True
    )
    if processes.together():
      self._directory.mkdir(parents=True, exist_ok=True)  # Orbax would want all processes for it
      alone = ocp.options.MultiprocessingOptions(primary_host=0, active_processes={0})
      options = dataclasses.replace(options, create=False, multiprocessing_options=alone)
    return ocp.CheckpointManager(self._directory.absolute(), options=options)

  def save(self, step: int, state: Any, notes: dict[str, Any]) -> None:
    """Saves a state, in process 0; returns when it is copied, and writes in the background.

    Args:
      step: Steps since the start of the run; names the checkpoint.
      state: A pytree of arrays.
      notes: JSON-able values to be kept with it.

    Raises:
      StorageError: If this checkpoint, or the one before, cannot be written.
    """
    # Copies, because the next step is given the buffers of the state to write to, and the next epoch
    # adds its rows to those in the notes, which Orbax writes later.
    leaves = [np.array(leaf) for leaf in jax.device_get(_plain(jax.tree.leaves(state)))]
    notes = copy.deepcopy(notes)
    kept = {**notes, 'format': _FORMAT, 'checksum': _checksum(step, leaves, notes)}
    with self._errors_explained():
      self._manager.save(
        step,
        args=ocp.args.Composite(
          leaves=ocp.args.StandardSave(leaves), notes=ocp.args.JsonSave(kept)
        ),
      )

  def restore(
    self, template: Any, check: Callable[[int, dict[str, Any]], None]
  ) -> tuple[Any, dict[str, Any]] | None:
    """Returns the newest state that is whole, with its notes, or None if there is none.

    A checkpoint that cannot be read is reported and put aside, never deleted.

    Args:
      template: A state of the same structure, shapes and dtypes.
      check: Called with the step and the notes of a checkpoint; raises a ``ValueError`` if they are
        not those of such a state.

    Raises:
      UserError: If there are checkpoints and none can be read.
    """
    leaves, structure = jax.tree.flatten(template)
    arrays = [np.zeros(leaf.shape, leaf.dtype) for leaf in _plain(leaves)]

    def read() -> dict[str, Any] | None:
      found = self._read_newest(arrays, check)
      if found is None:
        return None
      arrays[:], notes = found
      return notes

    notes = processes.from_first(read)
    if notes is None:
      return None
    restored = self._devices.replicate(processes.broadcast(arrays))
    return jax.tree.unflatten(structure, list(map(_like, leaves, restored))), notes

  def _read_newest(
    self, expected: list[np.ndarray], check: Callable[[int, dict[str, Any]], None]
  ) -> tuple[list[np.ndarray], dict] | None:
    with self._errors_explained():
      steps = sorted(self._manager.all_steps(), reverse=True)
    for step in steps:
      try:
        found = self._manager.restore(
          step,
          args=ocp.args.Composite(
            leaves=ocp.args.StandardRestore(expected), notes=ocp.args.JsonRestore()
          ),
        )
        leaves = [np.asarray(leaf) for leaf in found.leaves]
        notes = dict(found.notes)
        _check_checksum(step, leaves, notes)
        check(step, notes)
      except Exception as error:  # whatever a damaged file makes the readers raise
        self._warn(f'{self._directory / str(step)} is damaged and not used: {first_line(error)}')
        continue
      damaged = steps[: steps.index(step)]
      if damaged:
        with self._errors_explained():
          for name in map(str, damaged):  # a new one of the same step needs its room
            put_aside(self._directory / name, f'damaged-{name}')
          self._manager.reload()
      return leaves, notes
    if steps:
      raise UserError(
        f'No checkpoint in {self._directory} can be read: mend what the lines above say, or delete '
        'that folder to start the run again.'
      )
    return None

  def close(self) -> None:
    """Waits until all is written, and frees what the manager holds.

    Raises:
      StorageError: If the newest checkpoint cannot be written.
    """
    if self._manager is not None:
      with self._errors_explained():
        self._manager.close()

  @contextlib.contextmanager
  def _errors_explained(self) -> Iterator[None]:
    """Tells in a sentence what Orbax raises, which is of many types, where the disk is at fault."""
    try:
      yield
    except Exception as error:
      raise StorageError(storage_sentence(self._directory, error)) from error


def _plain(leaves: list[jax.Array]) -> list[jax.Array]:
  """Returns leaves as numbers: random keys, of a network with dropout for example, are none."""
  return [jax.random.key_data(leaf) if _is_key(leaf) else leaf for leaf in leaves]


def _like(leaf: jax.Array, array: jax.Array) -> jax.Array:
  """Returns a restored array, as a random key where the leaf is one."""
  return jax.random.wrap_key_data(array, impl=jax.random.key_impl(leaf)) if _is_key(leaf) else array


def _is_key(leaf: jax.Array) -> bool:
  return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _check_checksum(step: int, leaves: list[np.ndarray], notes: dict[str, Any]) -> None:
  """Raises a ``ValueError`` if a checkpoint is damaged; takes what is no note from the notes."""
  version, checksum = notes.pop('format', 1), notes.pop('checksum', None)
  match version:
    case 1:
      expected = _checksum_of_state(leaves)
    case 2:
      expected = _checksum(step, leaves, notes)
    case _:
      raise ValueError(f'its format is {version}, which this version does not know')
  if checksum != expected:
    raise ValueError('its checksum is wrong')


def _checksum(step: int, leaves: list[np.ndarray], notes: dict[str, Any]) -> int:
  """Returns the checksum of all that a checkpoint says."""
  shapes = [(str(leaf.dtype), leaf.shape) for leaf in leaves]
  words = json.dumps([step, shapes, notes], sort_keys=True)
  return _checksum_of_state(leaves, zlib.crc32(words.encode()))


def _checksum_of_state(leaves: list[np.ndarray], checksum: int = 0) -> int:
  for leaf in leaves:
    checksum = zlib.crc32(np.ascontiguousarray(leaf).view(np.uint8).reshape(-1), checksum)
  return checksum
