"""What a preprocessing does, and the one that does nothing."""

import abc
import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key, Shaped


class Preprocessing(abc.ABC):
  """Turns stored inputs into a network's inputs, by pure functions that ``jax.jit`` can trace.

  Implementations are frozen dataclasses, so that equal ones are equal keys.
  """

  def train(
    self, key: Key[Array, ''], inputs: Shaped[Array, 'batch ...']
  ) -> Shaped[Array, 'batch ...']:
    """Preprocesses a training batch, with random augmentation if the implementation has any."""
    return self.evaluate(inputs)

  @abc.abstractmethod
  def evaluate(self, inputs: Shaped[Array, 'batch ...']) -> Shaped[Array, 'batch ...']:
    """Preprocesses a batch without augmentation."""


@dataclasses.dataclass(frozen=True)
class AsStored(Preprocessing):
  """No preprocessing: the network gets the examples as they are stored.

  Floats become float32; integers stay integers, so that tokens can index an embedding. **Nothing is
  scaled**: pixels stored as 0 to 255 reach the network as 0 to 255.
  """

  def evaluate(self, inputs: Any) -> Any:
    def stored(array: jax.Array) -> jax.Array:
      array = jnp.asarray(array)
      return array.astype(jnp.float32) if jnp.issubdtype(array.dtype, jnp.floating) else array

    return jax.tree.map(stored, inputs)
