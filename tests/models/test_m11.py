import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import models
from tests.models.support import filled, initialised, parameter_count


@pytest.mark.parametrize(('num_classes', 'count'), [(10, 1_786_442), (35, 1_799_267)])
def test_has_the_published_number_of_parameters(num_classes, count):
  assert parameter_count(lambda rngs: models.M11(num_classes, rngs=rngs)) == count


def test_takes_any_length_from_the_shortest_on():
  model = filled(lambda rngs: models.M11(35, rngs=rngs))
  for samples in (1100, 1101, 8000, 16001):
    x = jax.ShapeDtypeStruct((2, samples), jnp.float32)
    logits = nnx.eval_shape(lambda model, x: model(x), model, x)
    assert (logits.shape, logits.dtype) == ((2, 35), jnp.float32)


@pytest.mark.parametrize('samples', [0, 1, 79, 1099])
def test_audio_that_is_too_short_is_refused(samples):
  model = filled(lambda rngs: models.M11(35, rngs=rngs))
  with pytest.raises(ValueError, match=f'at least 1100 samples, not {samples}: pad the audio'):
    model(jnp.zeros((2, samples)))


@pytest.mark.parametrize('shape', [(8000,), (2, 8000, 1), (2, 1, 8000)])
def test_audio_of_another_rank_is_refused(shape):
  model = filled(lambda rngs: models.M11(35, rngs=rngs))
  with pytest.raises(ValueError, match=r'takes audio of shape \(batch, samples\)'):
    model(jnp.zeros(shape))


@pytest.mark.training
@pytest.mark.usefixtures('quick_compilation')
def test_starts_as_pytorch_does():
  model = initialised(lambda rngs: models.M11(35, rngs=rngs))
  state = dict(nnx.to_flat_state(nnx.state(model, nnx.Param)))
  for path, variable in state.items():
    value = np.asarray(variable[...])
    if path[-2] == 'norm':
      np.testing.assert_array_equal(value, path[-1] == 'scale')
      continue
    kernel_shape = state[*path[:-1], 'kernel'].shape
    bound = np.prod(kernel_shape[:-1]) ** -0.5
    assert 0.9 * bound < np.abs(value).max() <= bound * (1 + 1e-6)
    # Five standard errors of the mean of uniform numbers.
    assert abs(value.mean()) < 5 * bound / (3 * value.size) ** 0.5
