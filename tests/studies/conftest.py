"""Fixtures of the tests of the studies."""

import jax
import pytest


@pytest.fixture(scope='module', autouse=True)
def _compile_quickly():
  """Programs that run for a second need no optimized code, which takes longer to make."""
  jax.config.update('jax_disable_most_optimizations', True)
  yield
  jax.config.update('jax_disable_most_optimizations', False)
