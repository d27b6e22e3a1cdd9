"""Networks with the reference weights, built without compiling their initialisers."""

import jax
import jax.numpy as jnp
import numpy as np
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
