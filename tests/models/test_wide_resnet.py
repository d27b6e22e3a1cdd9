import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st

import models
from tests.models.reference_inputs import array
from tests.models.support import filled, initialised, parameter_count


@pytest.mark.parametrize(('num_classes', 'count'), [(10, 36_479_194), (100, 36_536_884)])
def test_wrn_28_10_has_the_published_number_of_parameters(num_classes, count):
  assert parameter_count(lambda rngs: models.WideResNet(28, 10, num_classes, rngs=rngs)) == count


@pytest.mark.training
@settings(deadline=None, max_examples=6)
@given(blocks=st.integers(1, 4), width=st.integers(1, 12), num_classes=st.integers(1, 200))
def test_every_depth_and_width_has_the_parameters_of_its_layers(blocks, width, num_classes):
  channels = [16, 16 * width, 32 * width, 64 * width]
  expected = 3 * 9 * 16 + 2 * channels[3] + channels[3] * num_classes + num_classes
  for before, after in itertools.pairwise(channels):
    expected += 2 * before + 9 * before * after + 2 * after + 9 * after * after
    expected += before * after if before != after else 0
    expected += (blocks - 1) * 2 * (2 * after + 9 * after * after)
  depth = 6 * blocks + 4
  count = parameter_count(lambda rngs: models.WideResNet(depth, width, num_classes, rngs=rngs))
  assert count == expected


@given(depth=st.integers(-20, 200).filter(lambda depth: depth < 10 or depth % 6 != 4))
def test_another_depth_gets_an_error_that_names_the_nearest_valid_ones(depth):
  valid = range(10, 300, 6)
  below = [other for other in valid if other < depth]
  above = [other for other in valid if other > depth]
  nearest = f'{below[-1]} or {above[0]}' if below else f'{above[0]}'
  with pytest.raises(ValueError, match=f'not {depth}: use {nearest}\\.$'):
    models.WideResNet(depth, 1, 10, rngs=nnx.Rngs(0))


def test_other_wrong_arguments_are_refused():
  with pytest.raises(ValueError, match='width must be at least 1, not 0'):
    models.WideResNet(10, 0, 10, rngs=nnx.Rngs(0))
  with pytest.raises(ValueError, match=r'dropout_rate must be .* not 1\.0'):
    models.WideResNet(10, 1, 10, dropout_rate=1.0, rngs=nnx.Rngs(0))


@pytest.mark.parametrize('shape', [(32, 32, 3), (2, 3, 32, 32), (2, 32, 32, 1)])
def test_wrong_images_are_refused(shape):
  model = filled(lambda rngs: models.WideResNet(10, 1, 10, rngs=rngs))
  with pytest.raises(ValueError, match=r'takes images of shape \(batch, height, width, 3\)'):
    model(jnp.zeros(shape))


def test_takes_images_of_any_size():
  model = filled(lambda rngs: models.WideResNet(10, 1, 10, rngs=rngs))
  for shape in ((2, 8, 8, 3), (2, 33, 17, 3), (2, 1, 1, 3)):
    logits = nnx.eval_shape(lambda model, x: model(x), model, jax.ShapeDtypeStruct(shape, float))
    assert logits.shape == (2, 10)


@pytest.mark.training
@pytest.mark.usefixtures('quick_compilation')
def test_starts_as_the_authors_scripts_do():
  model = initialised(lambda rngs: models.WideResNet(10, 4, 100, rngs=rngs))
  kernels = 0
  for path, variable in nnx.to_flat_state(nnx.state(model, nnx.Param)):
    value = np.asarray(variable[...])
    if path == ('head', 'kernel'):
      bound = value.shape[0] ** -0.5
      assert np.abs(value).max() <= bound
      np.testing.assert_allclose(value.std(), bound / 3**0.5, rtol=0.02)
    elif path[-1] == 'kernel':
      kernels += 1
      fan_out = value.shape[0] * value.shape[1] * value.shape[3]
      deviation = (2 / fan_out) ** 0.5
      # Five standard errors of a standard deviation, and of a mean.
      assert abs(value.std() / deviation - 1) < 5 / (2 * value.size) ** 0.5
      assert abs(value.mean()) < 5 * deviation / value.size**0.5
      # A truncated normal of that deviation would stop at 2.3 deviations.
      assert np.abs(value).max() > 2.7 * deviation
    else:
      np.testing.assert_array_equal(value, path[-1] == 'scale')
  assert kernels == 10


def test_shortcuts_are_convolutions_only_where_the_width_changes():
  model = filled(lambda rngs: models.WideResNet(16, 1, 10, rngs=rngs))
  shortcuts = [block.shortcut is not None for block in model.blocks]
  assert shortcuts == [False, False, True, False, True, False]


@pytest.mark.training
@pytest.mark.usefixtures('quick_compilation')
def test_dropout_acts_in_training_alone_and_adds_state_only_where_it_acts():
  plain = filled(lambda rngs: models.WideResNet(10, 1, 10, rngs=rngs))
  model = filled(lambda rngs: models.WideResNet(10, 1, 10, dropout_rate=0.5, rngs=rngs))
  assert not nnx.to_flat_state(nnx.state(plain, nnx.RngState))
  assert nnx.to_flat_state(nnx.state(model, nnx.RngState))
  x = jnp.asarray(array('images', (2, 4, 4, 3)), jnp.float32)
  call = nnx.jit(lambda model, x: model(x))
  assert not np.array_equal(call(model, x), call(model, x))
  for other in (model, plain):
    nnx.update(other, nnx.state(model, nnx.BatchStat))
    other.eval()
  np.testing.assert_allclose(call(model, x), call(plain, x), rtol=1e-5)
