import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import models
from tests.models.support import filled, initialised, parameter_count

_SMALL = {
  'image_size': 16,
  'patch_size': 8,
  'hidden_size': 32,
  'depth': 1,
  'num_heads': 2,
  'mlp_size': 48,
}


@pytest.mark.training
@pytest.mark.parametrize(
  ('make', 'count'),
  [
    (models.vit_ti16, 5_526_346),
    (models.vit_s16, 21_669_514),
    (models.vit_b16, 85_806_346),
    (models.vit_l16, 303_311_882),
  ],
)
def test_has_the_published_number_of_parameters(make, count):
  assert parameter_count(lambda rngs: make(10, rngs=rngs)) == count
  assert f'{count:,} parameters' in make.__doc__


@pytest.mark.training
def test_another_image_size_changes_the_position_embeddings_alone():
  count = parameter_count(lambda rngs: models.vit_ti16(10, rngs=rngs))
  bigger = parameter_count(lambda rngs: models.vit_ti16(10, image_size=384, rngs=rngs))
  assert bigger - count == (24**2 - 14**2) * 192


@pytest.mark.training
@pytest.mark.usefixtures('quick_compilation')
def test_starts_as_google_does():
  model = initialised(lambda rngs: models.VisionTransformer(10, **_SMALL, rngs=rngs))
  for variable in (model.class_token, model.head.kernel, model.head.bias, model.embedding.bias):
    np.testing.assert_array_equal(variable[...], 0)
  block = model.blocks[0]
  for variable in (block.attention.query.bias, block.attention.out.bias, block.norm1.bias):
    np.testing.assert_array_equal(variable[...], 0)
  for variable in (block.norm1.scale, block.norm2.scale, model.norm.scale):
    np.testing.assert_array_equal(variable[...], 1)
  for kernel, fans in (
    (block.mlp1.kernel, 32 + 48),
    (block.mlp2.kernel, 32 + 48),
    (block.attention.query.kernel, 32 + 32),
    (block.attention.out.kernel, 32 + 32),
  ):
    bound = (6 / fans) ** 0.5
    assert 0.95 * bound < np.abs(kernel[...]).max() <= bound * (1 + 1e-6)
  assert 0 < np.abs(block.mlp1.bias[...]).max() < 1e-5
  np.testing.assert_allclose(np.std(model.position_embedding[...]), 0.02, rtol=0.2)
  np.testing.assert_allclose(np.std(model.embedding.kernel[...]), (3 * 64) ** -0.5, rtol=0.05)


def test_modes_do_not_differ_and_nothing_but_parameters_is_kept():
  model = filled(lambda rngs: models.VisionTransformer(10, **_SMALL, rngs=rngs))
  assert not nnx.to_flat_state(nnx.split(model, nnx.Param, ...)[2])
  x = jnp.ones((2, 16, 16, 3))
  call = nnx.jit(lambda model, x: model(x))
  model.train()
  trained = call(model, x)
  model.eval()
  np.testing.assert_array_equal(call(model, x), trained)


def test_wrong_sizes_are_refused():
  with pytest.raises(ValueError, match='image_size must be a multiple of 16, not 100'):
    models.vit_ti16(10, image_size=100, rngs=nnx.Rngs(0))
  with pytest.raises(ValueError, match='image_size must be a multiple of 16, not 0'):
    models.vit_ti16(10, image_size=0, rngs=nnx.Rngs(0))
  with pytest.raises(ValueError, match='hidden_size must be a multiple of 3, not 32'):
    models.VisionTransformer(10, **{**_SMALL, 'num_heads': 3}, rngs=nnx.Rngs(0))


@pytest.mark.parametrize('shape', [(16, 16, 3), (2, 3, 16, 16), (2, 32, 32, 3), (2, 16, 16, 1)])
def test_wrong_images_are_refused(shape):
  model = filled(lambda rngs: models.VisionTransformer(10, **_SMALL, rngs=rngs))
  with pytest.raises(ValueError, match=r'takes images of shape \(batch, 16, 16, 3\), not'):
    model(jnp.zeros(shape))
