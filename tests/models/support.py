"""What the tests of the networks share: reference weights, counts, and a training step."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

import models
from tests.models import reference_inputs


def filled(make):
  """Builds `make(rngs)` with the reference weights and fresh batch statistics."""
  model = nnx.eval_shape(lambda: make(nnx.Rngs(0)))
  for path, variable in nnx.to_flat_state(nnx.state(model)):
    if isinstance(variable, nnx.RngKey):
      variable.set_value(jax.random.key(0))
      continue
    if isinstance(variable, nnx.Param):
      array = reference_inputs.parameter('.'.join(map(str, path)), variable.shape)
    else:
      array = np.full(variable.shape, path[-1] == 'var')
    variable.set_value(jnp.asarray(array.astype(variable.dtype)))
  return model


def filled_case(name, **options):
  """Builds the network of a case of `reference_inputs`."""
  case = reference_inputs.CASES[name]
  network = getattr(models, case.kind)
  return filled(lambda rngs: network(**case.arguments, **options, rngs=rngs))


def initialised(make):
  """Builds `make(rngs)` as its initialisers do, with a generator that compiles quickly."""
  return nnx.jit(lambda: make(nnx.Rngs(jax.random.key(0, impl='rbg'))))()


def parameter_count(make):
  """Counts the parameters of `make(rngs)` without allocating them."""
  model = nnx.eval_shape(lambda: make(nnx.Rngs(0)))
  return sum(variable.size for variable in jax.tree.leaves(nnx.state(model, nnx.Param)))


def make_step(model, learning_rate=0.1):
  """Returns a jitted `step(params, rest, inputs, labels)` and its first two arguments.

  It is a step as users write it: parameters apart, state donated, statistics returned.
  """
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
