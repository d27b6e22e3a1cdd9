"""Every public name is documented, and the examples run."""

import doctest
import importlib
import inspect
import pkgutil

import pytest

import models

_MODULES = [f'models.{module.name}' for module in pkgutil.iter_modules(models.__path__)]


@pytest.mark.parametrize('name', _MODULES)
@pytest.mark.usefixtures('quick_compilation')
def test_examples_run(name):
  result = doctest.testmod(importlib.import_module(name))
  assert result.attempted > 0
  assert result.failed == 0


@pytest.mark.parametrize('name', models.__all__)
def test_public_names_say_what_they_take_and_give(name):
  public = getattr(models, name)
  text = inspect.getdoc(public)
  is_network = inspect.isclass(public)
  make = public.__init__ if is_network else public
  call = inspect.getdoc(public.__call__) if is_network else text
  assert 'Args:' in text
  assert '>>> ' in text
  assert 'Args:' in call
  assert 'Returns:' in call
  for argument in inspect.signature(make).parameters.keys() - {'self'}:
    assert f'{argument}: ' in text
