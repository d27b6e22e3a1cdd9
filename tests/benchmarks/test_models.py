"""The candidate that is timed against XLA's convolution computes the same."""

import jax
import numpy as np
import pytest
from jax import lax

from benchmarks.models import convolution_with_product


@pytest.mark.training
@pytest.mark.parametrize(('size', 'stride'), [(3, 1), (3, 2), (1, 1)])
def test_the_convolution_with_a_product_has_the_gradients_of_the_plain_one(size, stride):
  random = np.random.default_rng(0)
  inputs = random.normal(size=(2, 6, 5, 3)).astype('float32')
  kernel = random.normal(size=(size, size, 3, 4)).astype('float32')
  options = {'padding': 'SAME', 'dimension_numbers': ('NHWC', 'HWIO', 'NHWC')}

  def gradients(convolve):
    def loss(inputs, kernel):
      return (convolve(inputs, kernel, (stride, stride), **options) ** 2).sum()

    return jax.grad(loss, argnums=(0, 1))(inputs, kernel)

  actual, expected = gradients(convolution_with_product), gradients(lax.conv_general_dilated)
  for one, other in zip(actual, expected, strict=True):
    np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)
