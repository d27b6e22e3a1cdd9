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
from train.system.signals import resend_swallowed_signal

KEPT = 2


def quiet_background_errors() -> None:
  """Keeps the tracebacks of Orbax's background work off the terminal; its errors are raised, too.

  When a save fails, Orbax closes its event loop, and each file that TensorStore still writes would
  print a traceback about that.
  """
  logging.getLogger('absl').setLevel(logging.CRITICAL)
  sys.unraisablehook = _leave_out_closed_loops


def _leave_out_closed_loops(unraisable) -> None:
  if str(unraisable.exc_value) != 'Event loop is closed':
    resend_swallowed_signal(unraisable)


class Checkpoints:
  """The newest checkpoints of a run, each with a checksum of everything that is restored from it.

  Orbax writes in the background into a temporary directory, which it renames at the end: an
  incomplete checkpoint is never seen. The checksum of state, notes and step reveals later damage.
  Checkpoints do not depend on the number of devices and processes. Process 0 reads and writes; all
  processes call :meth:`restore`, in which process 0 sends the others what it has read.
  """

  def __init__(self, directory: pathlib.Path, warn: Callable[[str], None], devices: Devices):
    """Opens the directory; calls ``warn`` with a sentence about each damaged checkpoint."""
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
      self._directory.mkdir(parents=True, exist_ok=True)  # Orbax would need all processes for it
      alone = ocp.options.MultiprocessingOptions(primary_host=0, active_processes={0})
      options = dataclasses.replace(options, create=False, multiprocessing_options=alone)
    return ocp.CheckpointManager(self._directory.absolute(), options=options)

  def save(self, step: int, state: Any, notes: dict[str, Any]) -> None:
    """Saves a state, in process 0; returns when it is copied, and writes in the background.

    The checkpoint has the name of its step, counted from the start of the run. A ``StorageError`` can
    also be about the previous checkpoint.
    """
    # Copies, because Orbax writes later: the next step overwrites the buffers of the state, and the
    # next epoch appends to the rows in the notes.
    leaves = [np.array(leaf) for leaf in jax.device_get(_plain(jax.tree.leaves(state)))]
    notes = copy.deepcopy(notes)
    kept = {**notes, 'checksum': _checksum(step, leaves, notes)}
    items = {'leaves': ocp.args.StandardSave(leaves), 'notes': ocp.args.JsonSave(kept)}
    with self._errors_explained():
      self._manager.save(step, args=ocp.args.Composite(**items))

  def restore(
    self, template: Any, check: Callable[[int, dict[str, Any]], None]
  ) -> tuple[Any, dict[str, Any]] | None:
    """Returns the newest undamaged state with its notes, or None if there are no checkpoints.

    It has structure, shapes and dtypes of the template. ``check`` gets step and notes of a checkpoint,
    and raises a ``ValueError`` if they do not fit. A checkpoint that cannot be read is reported and
    renamed, never deleted; if all are so, this raises a ``UserError``.
    """
    leaves, structure = jax.tree.flatten(template)
    arrays = [np.zeros(leaf.shape, leaf.dtype) for leaf in _plain(leaves)]
    notes = processes.from_first(lambda: self._read_newest(arrays, check))
    if notes is None:
      return None
    restored = self._devices.replicate(processes.broadcast(arrays))
    return jax.tree.unflatten(structure, list(map(_like, leaves, restored))), notes

  def _read_newest(
    self, arrays: list[np.ndarray], check: Callable[[int, dict[str, Any]], None]
  ) -> dict[str, Any] | None:
    """Replaces arrays by those of the newest undamaged checkpoint, and returns its notes."""
    with self._errors_explained():
      steps = sorted(self._manager.all_steps(), reverse=True)
    for index, step in enumerate(steps):
      try:
        items = {'leaves': ocp.args.StandardRestore(arrays), 'notes': ocp.args.JsonRestore()}
        found = self._manager.restore(step, args=ocp.args.Composite(**items))
        leaves = [np.asarray(leaf) for leaf in found.leaves]
        notes = dict(found.notes)
        if notes.pop('checksum', None) != _checksum(step, leaves, notes):
          raise ValueError('its checksum is wrong')
        check(step, notes)
      except Exception as error:  # damaged files make the readers raise many types
        self._warn(f'{self._directory / str(step)} is damaged and not used: {first_line(error)}')
        continue
      if index:
        with self._errors_explained():
          for name in map(str, steps[:index]):  # a new one of the same step needs the name
            put_aside(self._directory / name, f'damaged-{name}')
          self._manager.reload()
      arrays[:] = leaves
      return notes
    if steps:
      raise UserError(
        f'No checkpoint in {self._directory} can be read: repair what the lines above name, or delete '
        'that folder to start the run again.'
      )
    return None

  def close(self) -> None:
    """Waits until everything is written, and frees the manager's resources."""
    if self._manager is not None:
      with self._errors_explained():
        self._manager.close()

  @contextlib.contextmanager
  def _errors_explained(self) -> Iterator[None]:
    """Turns what Orbax raises, errors of many types, into a sentence about the directory."""
    try:
      yield
    except Exception as error:
      raise StorageError(storage_sentence(self._directory, error, self._directory)) from error


def _plain(leaves: list[jax.Array]) -> list[jax.Array]:
  """Returns leaves with random keys, as of a network with dropout, replaced by their numbers."""
  return [jax.random.key_data(leaf) if _is_key(leaf) else leaf for leaf in leaves]


def _like(leaf: jax.Array, array: jax.Array) -> jax.Array:
  """Returns a restored array as a random key if the leaf is one."""
  return jax.random.wrap_key_data(array, impl=jax.random.key_impl(leaf)) if _is_key(leaf) else array


def _is_key(leaf: jax.Array) -> bool:
  return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _checksum(step: int, leaves: list[np.ndarray], notes: dict[str, Any]) -> int:
  shapes = [(str(leaf.dtype), leaf.shape) for leaf in leaves]
  checksum = zlib.crc32(json.dumps([step, shapes, notes], sort_keys=True).encode())
  for leaf in leaves:
    checksum = zlib.crc32(np.ascontiguousarray(leaf).view(np.uint8).reshape(-1), checksum)
  return checksum
