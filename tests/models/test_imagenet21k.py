import pickle

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import models
from tests.models import published_vit
from tests.models.reference_inputs import array
from tests.models.support import filled

_SMALL = {'patch_size': 4, 'hidden_size': 24, 'depth': 2, 'num_heads': 3, 'mlp_size': 40}
_POSITIONS = 'Transformer/posembed_input/pos_embedding'


def _weights(**options):
  return published_vit.arrays(**_SMALL, tokens=10, **{'classes': 50, **options})


def _model(image_size=12):
  return filled(
    lambda rngs: models.VisionTransformer(10, image_size=image_size, **_SMALL, rngs=rngs)
  )


def _saved(tmp_path, weights):
  path = tmp_path / 'ViT-small.npz'
  np.savez(path, **weights)
  return path


def _assert_computes(model, weights, images):
  """Checks the logits, with a new head in the place of the zeros."""
  features = published_vit.features(weights, images)
  head = array('head', model.head.kernel.shape)
  model.head.kernel.set_value(jnp.asarray(head, jnp.float32))
  logits = nnx.jit(lambda model, x: model(x))(model, jnp.asarray(images, jnp.float32))
  expected = features @ head
  assert np.linalg.norm(logits - expected) < 1e-5 * np.linalg.norm(expected)


@pytest.mark.training
@pytest.mark.parametrize('pre_logits', [True, False])
def test_loads_what_an_independent_network_computes(tmp_path, pre_logits):
  weights = _weights(pre_logits=pre_logits)
  model = _model()
  assert models.load_imagenet21k(model, _saved(tmp_path, weights)) is model
  np.testing.assert_array_equal(model.head.kernel[...], 0)
  np.testing.assert_array_equal(model.head.bias[...], 0)
  _assert_computes(model, weights, array('images', (2, 12, 12, 3)))


@pytest.mark.training
@pytest.mark.parametrize('grid', [2, 5, 6])
def test_interpolates_the_position_embedding_to_another_image_size(tmp_path, grid):
  weights = _weights()
  model = _model(image_size=4 * grid)
  models.load_imagenet21k(model, _saved(tmp_path, weights))
  resized = published_vit.resized(weights, grid)
  np.testing.assert_allclose(model.position_embedding[...], resized[_POSITIONS], atol=1e-6)
  _assert_computes(model, resized, array('images', (2, 4 * grid, 4 * grid, 3)))


def test_parameters_keep_their_type(tmp_path):
  model = filled(
    lambda rngs: models.VisionTransformer(
      10, image_size=12, **_SMALL, param_dtype=jnp.bfloat16, rngs=rngs
    )
  )
  models.load_imagenet21k(model, _saved(tmp_path, _weights()))
  assert {v.dtype for _, v in nnx.to_flat_state(nnx.state(model))} == {jnp.dtype(jnp.bfloat16)}


def test_an_unfit_file_gets_an_error_that_lists_all_that_is_wrong(tmp_path):
  weights = _weights()
  del weights['cls'], weights['Transformer/encoderblock_1/LayerNorm_0/bias']
  weights['Transformer/encoderblock_2/LayerNorm_0/bias'] = np.zeros(24)
  weights['embedding/kernel'] = weights['embedding/kernel'][:2]
  weights['head/bias'] = weights['head/bias'][:7]
  path = _saved(tmp_path, weights)
  model = _model()
  before = np.asarray(model.embedding.bias[...])
  with pytest.raises(ValueError, match=r'ViT-small\.npz does not fit this network') as error:
    models.load_imagenet21k(model, path)
  message = str(error.value)
  assert 'missing: Transformer/encoderblock_1/LayerNorm_0/bias, cls;' in message
  assert 'not expected: Transformer/encoderblock_2/LayerNorm_0/bias;' in message
  assert 'embedding/kernel (2, 4, 3, 24) instead of (4, 4, 3, 24)' in message
  assert 'head/bias (7,) instead of (50,)' in message
  np.testing.assert_array_equal(model.embedding.bias[...], before)


def test_every_array_is_missed_and_every_shape_is_checked(tmp_path):
  model, weights = _model(), _weights()
  for name, array_ in weights.items():
    with pytest.raises(ValueError, match=f'of the wrong shape: .*{name} '):
      models.load_imagenet21k(model, _saved(tmp_path, {**weights, name: array_[..., :-1]}))
    others = {other: weights[other] for other in weights if other != name}
    with pytest.raises(ValueError, match=f'missing: {name}'):
      models.load_imagenet21k(model, _saved(tmp_path, others))


def test_positions_that_are_no_square_grid_are_refused(tmp_path):
  weights = _weights()
  weights[_POSITIONS] = weights[_POSITIONS][:, 1:]
  with pytest.raises(ValueError, match=r'pos_embedding \(1, 9, 24\) instead of \(1, 10, 24\)'):
    models.load_imagenet21k(_model(), _saved(tmp_path, weights))


def _empty(path):
  path.write_bytes(b'')


def _one_array(path):
  with path.open('wb') as file:
    np.save(file, np.zeros(3))


def _pickled(path):
  with path.open('wb') as file:
    pickle.dump({'cls': 0}, file)


def _pickled_member(path):
  np.savez(path, **{**_weights(), 'cls': np.array([{}], object)})


def _half(path):
  content = path.read_bytes()
  path.write_bytes(content[: len(content) // 2])


def _flipped(path):
  content = bytearray(path.read_bytes())
  content[len(content) // 2] ^= 1
  path.write_bytes(content)


def _text_member(path):
  np.savez(path, **{**_weights(), 'cls': np.array([[['a'] * 24]])})


@pytest.mark.parametrize(
  ('damage', 'message'),
  [
    *((damage, 'is damaged or not an .npz file') for damage in (_empty, _one_array, _pickled)),
    *((damage, 'is damaged or not an .npz file') for damage in (_pickled_member, _half, _flipped)),
    (_text_member, 'without numbers: cls'),
  ],
)
def test_a_damaged_file_is_told_in_a_sentence(tmp_path, damage, message):
  path = _saved(tmp_path, _weights())
  damage(path)
  with pytest.raises(ValueError, match=message) as error:
    models.load_imagenet21k(_model(), path)
  assert 'pickle' not in str(error.value)


@pytest.mark.slow
def test_loads_a_file_of_the_real_size(tmp_path):
  weights = published_vit.arrays(
    patch_size=16, hidden_size=768, depth=12, num_heads=12, mlp_size=3072, tokens=197
  )
  path = _saved(tmp_path, weights)
  model = models.vit_b16(10, rngs=nnx.Rngs(0))
  models.load_imagenet21k(model, path)
  _assert_computes(model, weights, array('images', (1, 224, 224, 3)))
