"""One cache for all processes of the tests, and none that outlives them."""

import os
import tempfile


def pytest_configure(config):
  if not hasattr(config, 'workerinput'):  # workers get the environment of the main process
    folder = tempfile.TemporaryDirectory(prefix='cache-', ignore_cleanup_errors=True)
    config.add_cleanup(folder.cleanup)
    os.environ['XDG_CACHE_HOME'] = folder.name
    os.environ['JAX_COMPILATION_CACHE_DIR'] = os.path.join(folder.name, 'programs')
    # Building a network compiles hundreds of small programs, in each process anew.
    os.environ['JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS'] = '0'
    # A program that another process is just writing is compiled, which JAX warns of.
    os.environ['PYTHONWARNINGS'] = 'ignore:Error reading persistent compilation cache'
