"""Shares compiled programs between tests, their worker processes and the processes they start."""

import os
import tempfile


def pytest_configure(config):
  if not hasattr(config, 'workerinput'):  # workers get the environment of the main process
    folder = tempfile.TemporaryDirectory(prefix='jax-cache-', ignore_cleanup_errors=True)
    config.add_cleanup(folder.cleanup)
    os.environ['JAX_COMPILATION_CACHE_DIR'] = folder.name
    os.environ['JAX_PERSISTENT_COMPILATION_CACHE_MIN_COMPILE_TIME_SECS'] = '0.5'
