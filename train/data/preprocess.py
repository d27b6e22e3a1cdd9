"""What a preprocessing is, and the one that does nothing."""

import dataclasses
from typing import Protocol

import jax.numpy as jnp
from jaxtyping import Array, Key, Shaped


class Preprocessing(Protocol):
  """From stored inputs to what a network takes, as pure functions to be called under ``jax.jit``.

  Implementations are frozen dataclasses, so that equal ones are equal keys.
  """

  def train(
    self, key: Key[Array, ''], inputs: Shaped[Array, 'batch ...']
  ) -> Shaped[Array, 'batch ...']:
    """Augments and normalises a training batch.

    Args:
      key: The step's random key.
      inputs: The batch as stored.

    Returns:
      What the network gets.
    """

  def evaluate(self, inputs: Shaped[Array, 'batch ...']) -> Shaped[Array, 'batch ...']:
    """Normalises a batch without augmenting it.

    Args:
      inputs: The batch as stored.

    Returns:
      What the network gets.
    """


@dataclasses.dataclass(frozen=True)
class AsStored:
  """No preprocessing: the network gets the examples as they are stored.

  Floats become float32; integers stay integers, so that tokens can index an embedding. **Nothing is
  scaled**: pixels stored as 0 to 255 reach the network as 0 to 255.

  Example:
    >>> AsStored().evaluate(jnp.array([3, 255], 'uint8'))
    Array([  3, 255], dtype=uint8)
  """

  def train(
    self, key: Key[Array, ''], inputs: Shaped[Array, 'batch ...']
  ) -> Shaped[Array, 'batch ...']:
    """Does what :meth:`evaluate` does.

    Args:
      key: The step's random key; not used.
      inputs: The batch as stored.

    Returns:
      What the network gets.
    """
    del key
    return self.evaluate(inputs)

  def evaluate(self, inputs: Shaped[Array, 'batch ...']) -> Shaped[Array, 'batch ...']:
    """Makes floats float32.

    Args:
      inputs: The batch as stored.

    Returns:
      What the network gets.
    """
    inputs = jnp.asarray(inputs)
    return inputs.astype(jnp.float32) if jnp.issubdtype(inputs.dtype, jnp.floating) else inputs
