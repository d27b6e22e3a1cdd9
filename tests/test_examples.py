"""The examples in the docstrings run and print what they say."""

import doctest
import importlib
import pkgutil

import pytest

PACKAGES = ('lcam_optax', 'models', 'studies', 'train')


def modules():
  for package in PACKAGES:
    yield package
    for module in pkgutil.walk_packages(importlib.import_module(package).__path__, f'{package}.'):
      # These compile for long, and the tests of networks and of tuning show the same.
      long = package == 'models' or module.name == 'train.command.tune'
      marks = [pytest.mark.slow] if long else []
      yield pytest.param(module.name, marks=marks)


@pytest.mark.parametrize('name', list(modules()))
def test_examples(name):
  try:
    module = importlib.import_module(name)
  except ModuleNotFoundError as error:
    if error.name != 'tensorflow_datasets':  # needed to prepare data only
      raise
    pytest.skip('TFDS is not installed')
  result = doctest.testmod(module, optionflags=doctest.ELLIPSIS)
  assert result.failed == 0
