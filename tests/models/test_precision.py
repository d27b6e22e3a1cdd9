"""Bfloat16 computes in bfloat16, with float32 where the networks' docstrings say so."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from jax.extend import core

from tests.models import reference_inputs
from tests.models.support import filled_case

pytestmark = pytest.mark.training


def _equations(jaxpr):
  for equation in jaxpr.eqns:
    yield equation
    for inner in core.jaxprs_in_params(equation.params):
      yield from _equations(inner)


@pytest.mark.parametrize('name', reference_inputs.CASES)
def test_bfloat16_is_near_and_keeps_float32_state(name):
  model = filled_case(name, dtype=jnp.bfloat16)
  inputs = jnp.asarray(reference_inputs.batches(name)[0], jnp.float32)
  logits = nnx.jit(lambda model, x: model(x))(model, inputs)
  assert logits.dtype == jnp.float32
  expected = reference_inputs.expected(name)['logits']
  assert 1e-4 < np.linalg.norm(logits - expected) / np.linalg.norm(expected) < 0.1
  assert all(v.dtype == jnp.float32 for _, v in nnx.to_flat_state(nnx.state(model)))


@pytest.mark.parametrize('name', reference_inputs.CASES)
def test_bfloat16_computes_in_bfloat16_but_softmax_and_loss_in_float32(name):
  model = filled_case(name, dtype=jnp.bfloat16)
  inputs = jnp.asarray(reference_inputs.batches(name)[0], jnp.float32)
  labels = reference_inputs.labels(name)
  graphdef, params, rest = nnx.split(model, nnx.Param, ...)
  features, num_classes = model.head.kernel.shape
  batch = len(labels)

  def loss_fn(params):
    logits = nnx.merge(graphdef, params, rest, copy=True)(inputs)
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

  jaxpr = jax.make_jaxpr(jax.value_and_grad(loss_fn))(params)
  assert jaxpr.out_avals[0].dtype == jnp.float32
  equations = list(_equations(jaxpr.jaxpr))
  products = [e for e in equations if e.primitive.name in ('conv_general_dilated', 'dot_general')]
  assert len(products) > 20
  head = {(features, num_classes), (batch, num_classes), (batch, features)}
  for equation in products:
    operands = [variable.aval for variable in equation.invars]
    if all({operand.shape, operand.shape[::-1]} & head for operand in operands):
      continue
    # The gradient of the softmax is float32; its products round it to bfloat16 themselves.
    rounds = equation.params['precision'] == jax.lax.DotAlgorithmPreset.BF16_BF16_F32
    assert rounds or all(operand.dtype == jnp.bfloat16 for operand in operands), equation
  exponentials = [e for e in equations if e.primitive.name in ('exp', 'log')]
  assert exponentials
  assert all(e.invars[0].aval.dtype == jnp.float32 for e in exponentials)


@pytest.mark.parametrize('name', reference_inputs.CASES)
def test_float64_computes_in_float64_throughout(name):
  inputs = reference_inputs.batches(name)[0]
  with jax.enable_x64(True):
    model = filled_case(name, dtype=jnp.float64, param_dtype=jnp.float64)
    state = nnx.state(model)
    assert all(v.dtype == jnp.float64 for _, v in nnx.to_flat_state(state))
    graphdef, state = nnx.split(model)
    call = jax.make_jaxpr(lambda state, x: nnx.merge(graphdef, state, copy=True)(x))
    jaxpr = call(state, jnp.asarray(inputs, jnp.float64))
    for equation in _equations(jaxpr.jaxpr):
      for variable in equation.outvars:
        assert variable.aval.dtype not in (jnp.float32, jnp.bfloat16), equation
