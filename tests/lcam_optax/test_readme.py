"""The README's three uses run as they stand there."""

import pathlib
import re

import jax.numpy as jnp
import optax
import pytest

README = pathlib.Path(__file__).parents[2] / 'README.md'


def use_it():
  """Returns the code of "Use it": the imports, the three uses, and what they share."""
  section = README.read_text().split('\n## Use it\n')[1]
  code = re.search(r'```python\n(.*?)```', section, re.DOTALL)[1]
  return re.split(r'\n(?=# (?:\d\.|All))', code)


@pytest.mark.parametrize('uses', [1, 2, 3])
def test_use(uses):
  head, *different, shared = use_it()
  assert len(different) == 3
  names = {
    'params': jnp.ones(3),
    'batch': jnp.arange(3.0),
    'loss_fn': lambda params, batch: jnp.mean((params - batch) ** 2),
  }
  exec('\n'.join([head, *different[:uses], shared]), names)  # the last optimizer is used
  assert optax.tree.get(names['opt_state'], 'high_loss_phase') == 0  # the first loss is a tie
  assert names['loss_fn'](names['params'], names['batch']) < names['loss']
