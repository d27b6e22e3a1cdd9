import jax
import pytest


@pytest.fixture
def quick_compilation():
  """Compiles with few optimisations, for tests whose point is not the compiled code."""
  jax.config.update('jax_disable_most_optimizations', True)
  yield
  jax.config.update('jax_disable_most_optimizations', False)
  # What was compiled so must not serve tests that compare bits.
  jax.clear_caches()
