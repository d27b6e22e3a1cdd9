"""Batches for the training step, from splits on the devices or streamed to them."""

import abc
import collections
import math
from collections.abc import Iterator
from concurrent import futures
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int32, Shaped

from train.data.dataset import Split
from train.data.randomness import epoch_order
from train.system.devices import ONE_DEVICE, Devices

_PREFETCH = 3  # batches made ahead of the step that needs them
_RESIDENT_SHARE = 1 / 4  # of the device's memory, for a split; the network needs the rest


class Batch(NamedTuple):
  """The argument of a jitted step; :func:`gather` returns its examples.

  Inputs and labels are those of the whole split (resident) or of this batch (streamed), as stored;
  ``rows`` are the rows of them that are in the batch, None means all, in order.
  """

  inputs: Any  # an array, or dictionaries and tuples of arrays
  labels: Shaped[Array, 'rows ...']
  rows: Int32[Array, ' batch'] | None = None


def batch_shapes(split: Split, rows: int) -> Batch:
  """Returns the shapes of a batch of so many rows."""
  return Batch(
    *jax.tree.map(
      lambda array: jax.ShapeDtypeStruct(
        (rows, *array.shape[1:]), jax.dtypes.canonicalize_dtype(array.dtype)
      ),
      (split.inputs, split.labels),
    )
  )


def gather(batch: Batch) -> tuple[Any, Shaped[Array, 'batch ...']]:
  """Returns a batch's inputs and labels, as stored; call it inside the jitted step."""
  if batch.rows is None:
    return batch.inputs, batch.labels
  return jax.tree.map(lambda array: array[batch.rows], (batch.inputs, batch.labels))


class _Input(abc.ABC):
  """Batches of a split, which the two kinds below make."""

  def __init__(self, split: Split, devices: Devices = ONE_DEVICE):
    self._examples, self._devices = len(split), devices
    self._inputs, self._labels = split.inputs, split.labels

  def steps_per_epoch(self, batch_size: int) -> int:
    """Returns the number of batches of an epoch, a short last one included."""
    return -(-self._examples // batch_size)

  def epoch(self, seed: int, epoch: int, batch_size: int, start_step: int = 0) -> Iterator[Batch]:
    """Yields an epoch's batches from ``start_step`` on, in an order drawn anew for each epoch."""
    return self._batches(epoch_order(seed, epoch, self._examples), batch_size, start_step)

  def in_order(self, batch_size: int) -> Iterator[Batch]:
    """Yields batches of all examples, in stored order."""
    return self._batches(jnp.arange(self._examples, dtype=jnp.int32), batch_size, 0)

  @abc.abstractmethod
  def _batches(self, order: Array, batch_size: int, start_step: int) -> Iterator[Batch]: ...


class ResidentInput(_Input):
  """Batches of a split that is copied to every device once; they never wait for the devices."""

  def __init__(self, split: Split, devices: Devices = ONE_DEVICE):
    super().__init__(split, devices)
    self._inputs, self._labels = devices.replicate((split.inputs, split.labels))

  @property
  def whole(self) -> Batch:
    """The split as one batch."""
    return Batch(self._inputs, self._labels)

  def _batches(self, order, batch_size, start_step):
    order = self._devices.replicate(order)
    for start in range(start_step * batch_size, len(order), batch_size):
      size = min(batch_size, len(order) - start)
      yield Batch(self._inputs, self._labels, _slice(order, start, size, self._devices))


class StreamedInput(_Input):
  """Batches of a split that stays on disk or in host memory; threads gather them ahead of use."""

  def _batches(self, order, batch_size, start_step):
    order = np.asarray(order)

    def make(start):
      rows = order[start : start + batch_size]
      return Batch(*self._devices.put_rows((self._inputs, self._labels), rows))

    pending: collections.deque[futures.Future[Batch]] = collections.deque()
    with futures.ThreadPoolExecutor(_PREFETCH) as pool:
      for start in range(start_step * batch_size, len(order), batch_size):
        pending.append(pool.submit(make, start))
        if len(pending) > _PREFETCH:
          yield pending.popleft().result()
      yield from (future.result() for future in pending)


def make_input(
  split: Split, stream: bool | None = None, devices: Devices = ONE_DEVICE
) -> ResidentInput | StreamedInput:
  """Puts a split on every device, or streams it; by default if it is large. Batches are the same."""
  if stream is None:
    arrays = jax.tree.leaves((split.inputs, split.labels))
    stream = is_streamed(sum(array.nbytes for array in arrays))
  return StreamedInput(split, devices) if stream else ResidentInput(split, devices)


def is_streamed(size: int) -> bool:
  """Returns whether a split of ``size`` bytes is streamed by default."""
  return size > _RESIDENT_SHARE * device_memory()


def device_memory() -> float:
  """Returns the bytes of the device's memory; infinite on a CPU, which uses arrays in place."""
  statistics = jax.local_devices()[0].memory_stats() or {}
  return statistics.get('bytes_limit', math.inf)


# The size is static and the start is not, so that an epoch needs two programs, not one per step.
@partial(jax.jit, static_argnums=(2, 3))
def _slice(order, start, size, devices):
  return devices.divide(jax.lax.dynamic_slice(order, (start,), (size,)))
