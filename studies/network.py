"""The networks of the studies: softmax regression, and a perceptron with one hidden layer."""

import itertools

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int, Key

from train import cross_entropy

Params = list[tuple[Float[Array, 'fan_in fan_out'], Float[Array, ' fan_out']]]


def initial_params(key: Key[Array, ''], sizes: tuple[int, ...]) -> Params:
  """Draws weights with variance 2 / fan_in before a ReLU and 1 / fan_in before the logits.

  Args:
    key: Determines the weights.
    sizes: The sizes of the inputs, hidden layers and logits.

  Returns:
    The weights and biases of each layer; biases are zero.
  """
  keys = jax.random.split(key, len(sizes) - 1)
  params = []
  for layer, (fan_in, fan_out) in enumerate(itertools.pairwise(sizes)):
    variance = (1 if layer == len(sizes) - 2 else 2) / fan_in
    weights = jax.random.normal(keys[layer], (fan_in, fan_out)) * variance**0.5
    params.append((weights, jnp.zeros(fan_out)))
  return params


def logits(params: Params, inputs: Float[Array, 'batch features']) -> Float[Array, 'batch classes']:
  """Returns the logits of a batch."""
  *hidden, (weights, biases) = params
  for hidden_weights, hidden_biases in hidden:
    inputs = jax.nn.relu(inputs @ hidden_weights + hidden_biases)
  return inputs @ weights + biases


def losses(
  params: Params, inputs: Float[Array, 'batch features'], labels: Int[Array, ' batch']
) -> Float[Array, ' batch']:
  """Returns the cross-entropy of each example."""
  return cross_entropy(logits(params, inputs), labels)


class Perceptron(nnx.Module):
  """A network of these functions, for the trainer."""

  def __init__(self, sizes: tuple[int, ...], rngs: nnx.Rngs):
    """Draws the weights that the key of ``rngs`` gives in :func:`initial_params`."""
    self.layers = nnx.Param(initial_params(rngs.default.key[...], sizes))

  def __call__(self, inputs: Float[Array, 'batch features']) -> Float[Array, 'batch classes']:
    """Returns the logits of a batch."""
    return logits(self.layers.get_value(), inputs)
