"""One training step as a user writes it: parameters apart, state donated, statistics returned."""

from functools import partial

import jax
import optax
from flax import nnx


def parameter_count(make):
  """Counts the parameters of `make(rngs)` without allocating them."""
  model = nnx.eval_shape(lambda: make(nnx.Rngs(0)))
  return sum(variable.size for variable in jax.tree.leaves(nnx.state(model, nnx.Param)))


def make_step(model, learning_rate=0.1):
  """Returns a jitted `step(params, rest, inputs, labels)` and its first two arguments."""
  graphdef, params, rest = nnx.split(model, nnx.Param, ...)

  def loss_fn(params, rest, inputs, labels):
    model = nnx.merge(graphdef, params, rest, copy=True)
    logits = model(inputs)
    loss = optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()
    return loss, nnx.split(model, nnx.Param, ...)[2]

  @partial(jax.jit, donate_argnums=(0, 1))
  def step(params, rest, inputs, labels):
    (loss, rest), gradients = jax.value_and_grad(loss_fn, has_aux=True)(
      params, rest, inputs, labels
    )
    params = jax.tree.map(lambda p, g: p - learning_rate * g, params, gradients)
    return params, rest, loss

  return step, params, rest
