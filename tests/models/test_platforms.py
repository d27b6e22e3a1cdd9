"""One training step of each network runs here and lowers for the platforms that are not here."""

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest

import models
from tests.models.reference_inputs import array
from tests.models.support import filled, make_step

_NETWORKS = {
  'wrn': (lambda **options: models.WideResNet(10, 1, 10, **options), (4, 32, 32, 3)),
  'm11': (lambda **options: models.M11(10, **options), (4, 2000)),
  'vit': (
    lambda **options: models.VisionTransformer(
      10,
      image_size=16,
      patch_size=8,
      hidden_size=24,
      depth=2,
      num_heads=3,
      mlp_size=40,
      **options,
    ),
    (4, 16, 16, 3),
  ),
}


def _arguments(name, dtype):
  make, shape = _NETWORKS[name]
  model = filled(lambda rngs: make(dtype=dtype, rngs=rngs))
  step, params, rest = make_step(model)
  return step, params, rest, jnp.asarray(array('inputs', shape), jnp.float32), jnp.arange(4)


@pytest.mark.training
@pytest.mark.parametrize('name', ['wrn', 'vit', pytest.param('m11', marks=pytest.mark.slow)])
def test_a_step_trains_here(name):
  step, params, rest, inputs, labels = _arguments(name, jnp.float32)
  before = jax.tree.map(np.asarray, (params, rest))
  params, rest, loss = step(params, rest, inputs, labels)
  for old, new in zip(jax.tree.leaves(before), jax.tree.leaves((params, rest)), strict=True):
    assert old.shape == new.shape
    assert np.isfinite(new).all()
  changed = [
    not np.array_equal(old, new)
    for old, new in zip(jax.tree.leaves(before[1]), jax.tree.leaves(rest), strict=True)
  ]
  assert all(changed)  # the batch statistics
  for _ in range(3):
    params, rest, last_loss = step(params, rest, inputs, labels)
  assert last_loss < loss


@pytest.mark.training
@pytest.mark.parametrize('dtype', [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize('name', _NETWORKS)
def test_a_step_lowers_for_every_platform(name, dtype):
  step, *arguments = _arguments(name, dtype)
  exported = jax.export.export(step, platforms=('cpu', 'cuda', 'tpu'))(*arguments)
  assert exported.platforms == ('cpu', 'cuda', 'tpu')
  operation = 'stablehlo.dot_general' if name == 'vit' else 'stablehlo.convolution'
  assert operation in exported.mlir_module()
