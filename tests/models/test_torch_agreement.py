"""The networks compute what independent PyTorch definitions with the same weights compute."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from tests.models import reference_inputs
from tests.models.support import filled_case

pytestmark = pytest.mark.training


def _measure(name, dtype):
  """What the fixtures hold, computed here."""
  model = filled_case(name, dtype=dtype, param_dtype=dtype)
  batches = [jnp.asarray(batch.astype(dtype)) for batch in reference_inputs.batches(name)]
  labels = jnp.asarray(reference_inputs.labels(name))
  graphdef, params, rest = nnx.split(model, nnx.Param, ...)

  @jax.jit
  def gradient(params, rest, batch):
    def loss_fn(params):
      model = nnx.merge(graphdef, params, rest, copy=True)
      logits = model(batch)
      loss = optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()
      return loss, (logits, nnx.split(model, nnx.Param, ...)[2])

    (loss, (logits, rest)), gradients = jax.value_and_grad(loss_fn, has_aux=True)(params)
    norms = {
      '.'.join(map(str, path)): jnp.linalg.norm(variable[...])
      for path, variable in nnx.to_flat_state(gradients)
    }
    return loss, logits, norms, rest

  loss, logits, norms, rest = gradient(params, rest, batches[0])
  for batch in batches[1:3]:
    _, _, _, rest = gradient(params, rest, batch)
  model = nnx.merge(graphdef, params, rest, copy=True)
  model.eval()
  evaluated = nnx.jit(lambda model, batch: model(batch))(model, batches[3])
  return {'loss': loss, 'logits': logits, 'norms': norms, 'evaluated': evaluated}


def _relative_error(actual, expected):
  return np.linalg.norm(np.asarray(actual, np.float64) - expected) / np.linalg.norm(expected)


@pytest.mark.parametrize(
  ('dtype', 'tolerance'),
  [(jnp.float64, 1e-12), pytest.param(jnp.float32, 1e-5, marks=pytest.mark.slow)],
)
@pytest.mark.parametrize('name', list(reference_inputs.CASES))
def test_agrees_with_torch(name, dtype, tolerance):
  expected = reference_inputs.expected(name)
  with jax.enable_x64(dtype == jnp.float64):
    actual = _measure(name, dtype)
  assert actual['logits'].dtype == actual['loss'].dtype == dtype
  assert _relative_error(actual['logits'], expected['logits']) < tolerance
  assert _relative_error(actual['loss'], expected['loss']) < tolerance
  assert _relative_error(actual['evaluated'], expected['evaluated']) < tolerance

  norms = dict(zip(expected['names'], expected['norms'], strict=True))
  assert actual['norms'].keys() == norms.keys()
  largest = max(norms.values())
  for parameter, norm in norms.items():
    # A bias before a batch norm and a key's bias have gradient zero, rounding apart.
    scale = norm if norm > 1e-10 * largest else largest
    assert abs(float(actual['norms'][parameter]) - norm) < tolerance * scale, parameter
