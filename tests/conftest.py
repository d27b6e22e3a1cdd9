"""One cache of compiled programs for all processes of the tests."""

import os
import tempfile


def pytest_configure(config):
  if not hasattr(config, 'workerinput'):  # workers get the environment of the main process
    folder = tempfile.TemporaryDirectory(prefix='jax-cache-', ignore_cleanup_errors=True)
    config.add_cleanup(folder.cleanup)
    os.environ['JAX_COMPILATION_CACHE_DIR'] = folder.name
    # Building a network compiles hundreds of small programs, in each process anew.
    os.environ['JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS'] = '0'
    # A program that another process is just writing is compiled, which JAX warns of.
    os.environ['PYTHONWARNINGS'] = 'ignore:Error reading persistent compilation cache'
