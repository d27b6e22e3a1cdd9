"""Every public name is documented."""

import inspect

import pytest

import models


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
  assert public.__module__.startswith('models.')
  assert public.__name__ == public.__qualname__ == name  # as help() and pickle have it
  for argument in inspect.signature(make).parameters.keys() - {'self'}:
    assert f'{argument}: ' in text
