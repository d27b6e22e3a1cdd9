"""Runs examples in this process."""

import functools
import pathlib
import runpy

ROOT = pathlib.Path(__file__).parents[2]
FOLDER = ROOT / 'examples'


@functools.cache
def load(name):
  """Returns what the example defines."""
  return runpy.run_path(str(FOLDER / f'{name}.py'))


def columns(history):
  """Returns the losses and the momenta of a list of pairs."""
  losses, momenta = zip(*history, strict=True)
  return losses, momenta


@functools.cache
def losses_on_one_device():
  """Returns the losses of whole batches, with which other ways to divide them are compared."""
  return columns(load('data_parallel_jit')['main']())[0]
