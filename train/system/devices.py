"""The devices that train a run together, and how its arrays are sharded.

Training is data parallel, which only this file implements: the devices form a mesh with one axis,
the state and resident data are replicated, and the rows of each batch are sharded. XLA does the
rest: a mean over the batch, in batch norm, the loss or a gradient, is a mean over all devices.
"""

import collections
import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from train.system.errors import UserError

_AXIS = 'data'


@dataclasses.dataclass(frozen=True)
class Devices:
  """The devices of a run. With JAX's default device alone, arrays stay unsharded."""

  # The devices along one axis, those of a process side by side; None for one device.
  mesh: jax.sharding.Mesh | None = None

  @property
  def count(self) -> int:
    """The number of devices, including those of other processes."""
    return 1 if self.mesh is None else self.mesh.size

  @property
  def replicated(self) -> NamedSharding | None:
    """The sharding of replicated arrays; None with one device."""
    return None if self.mesh is None else NamedSharding(self.mesh, PartitionSpec())

  def sharding_of_rows(self, rows: int) -> NamedSharding | None:
    """Returns the sharding of a batch with this number of rows; None with one device.

    A batch that the devices do not divide evenly, such as a short last one, is replicated, and all
    devices compute the same. It is not padded, because padding would enter batch norm's statistics.
    """
    if self.mesh is None:
      return None
    return NamedSharding(self.mesh, PartitionSpec(*([] if rows % self.count else [_AXIS])))

  def divide(self, batch: Any) -> Any:
    """Shards a pytree of arrays by their first axis, a batch's rows; for use in ``jax.jit``."""
    if self.mesh is None:
      return batch
    rows = len(jax.tree.leaves(batch)[0])
    return jax.lax.with_sharding_constraint(batch, self.sharding_of_rows(rows))

  def replicate(self, tree: Any) -> Any:
    """Replicates a pytree of arrays or random keys, the same on all processes, on all devices."""
    if self.mesh is None:
      return jax.device_put(tree)

    def replicate_leaf(leaf: Any) -> jax.Array:
      if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        data = replicate_leaf(jax.random.key_data(leaf))
        return jax.random.wrap_key_data(data, impl=jax.random.key_impl(leaf))
      # `jax.device_put` would compare the values of all processes.
      array = np.asarray(leaf)
      return jax.make_array_from_callback(array.shape, self.replicated, array.__getitem__)

    return jax.tree.map(replicate_leaf, tree)

  def put_rows(self, arrays: Any, rows: np.ndarray) -> Any:
    """Copies these rows of a tree of arrays to the devices; each process reads those of its own."""
    sharding = self.sharding_of_rows(len(rows))
    if sharding is None:
      return jax.device_put(jax.tree.map(lambda array: array[rows], arrays))
    indices = sharding.addressable_devices_indices_map(rows.shape).values()
    own = rows[np.unique(np.concatenate([np.arange(len(rows))[index] for index in indices]))]
    put = jax.make_array_from_process_local_data
    return jax.tree.map(
      lambda array: put(sharding, array[own], (len(rows), *array.shape[1:])), arrays
    )


ONE_DEVICE = Devices()


def choose_devices(batch_size: int, limit: int | None = None) -> Devices:
  """Returns the devices that share a batch: as many as divide it, at most ``limit`` of each process.

  Raises a ``UserError`` if there are fewer, or the processes do not divide the batch.
  """
  by_process: dict[int, list[jax.Device]] = collections.defaultdict(list)
  for device in jax.devices():
    by_process[device.process_index].append(device)
  processes, available = len(by_process), min(map(len, by_process.values()))
  if limit is not None and limit > available:
    raise UserError(
      f'There {"is 1 device" if available == 1 else f"are {available} devices"} here, not {limit}: '
      'lower --devices.'
    )
  if batch_size % processes:
    raise UserError(
      f'{processes} processes do not divide a batch of {batch_size} evenly: choose another '
      '--batch-size or another number of processes.'
    )
  used = limit or available
  while batch_size % (processes * used):
    used -= 1
  if processes * used == 1:
    return ONE_DEVICE
  devices = [device for several in by_process.values() for device in several[:used]]
  mesh = jax.sharding.Mesh(np.array(devices), (_AXIS,), axis_types=(AxisType.Auto,))
  return Devices(mesh)


def describe_devices(devices: Devices, batch_size: int, limit: int | None = None) -> str:
  """Returns a sentence on the choice of :func:`choose_devices`; empty if there is one device only."""
  processes = jax.process_count()
  offered = jax.device_count() if limit is None else processes * limit
  if offered == 1:
    return ''
  among = f' of {processes} processes' if processes > 1 else ''
  count = devices.count
  if count == offered:
    return f'On {count} devices{among}, {batch_size // count} rows of a batch on each.'
  return (
    f'Batch {batch_size} on {offered} devices{among}: {count} {"is" if count == 1 else "are"} used, '
    'the most that divide it evenly.'
  )
