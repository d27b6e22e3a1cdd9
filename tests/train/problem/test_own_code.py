"""The user's own code leaves nothing behind that changes what the trainer computes."""

import linecache

import jax
import pytest

from tests.train.support import run_command, tables
from train.problem.own_code import explain_errors, is_users, source_digest
from train.system.environment import settle_jax
from train.system.errors import UserError

pytestmark = pytest.mark.training
# All that is the user's sets another generator of random numbers.
RUDE = """
import dataclasses
import jax, numpy as np, optax
from flax import nnx
from train import Comparison, Dataset, Split, arms, cross_entropy, schedules


def rude(result):
  jax.config.update('jax_default_prng_impl', 'rbg')
  return result


def data():
  inputs = np.random.default_rng(0).normal(size=(20, 3))
  return rude(Dataset('some', Split(inputs, np.arange(20) % 2), Split(inputs, np.arange(20) % 2), 'ab'))


class Network(nnx.Module):
  def __init__(self, num_classes, rngs):
    self.layer = rude(nnx.Linear(3, num_classes, rngs=rngs))

  def __call__(self, inputs):
    return rude(self.layer(inputs))


def loss(outputs, targets):
  return rude(cross_entropy(outputs, targets))


def metric(outputs, targets):
  return rude(cross_entropy(outputs, targets))


@dataclasses.dataclass(frozen=True)
class Sgd(arms.Arm):
  kind = 'sgd'

  def build(self, setting):
    sgd = optax.sgd(0.1)
    update = lambda *arguments, **further: rude(sgd.update(*arguments))
    return optax.GradientTransformationExtraArgs(lambda params: rude(sgd.init(params)), update)

  def evaluation_params(self, opt_state, params):
    return rude(params)


comparison = Comparison(
  name='rude', dataset=data, network=Network, epochs=2, batch_size=8, loss=loss, metric=metric,
  arms=(Sgd(),), seeds=(0,),
)
"""


def test_functions_of_cells_of_a_notebook_are_told_apart():
  def made(number, comment=''):
    source, name = f'def f():  {comment}\n  return {number}\n', f'<cell {number}{comment}>'
    linecache.cache[name] = len(source), None, source.splitlines(keepends=True), name
    scope = {'__name__': 'cells'}
    exec(compile(source, name, 'exec'), scope)
    return scope['f']

  first = source_digest([made(1)])
  assert source_digest([made(1, '# a comment')]) == first != source_digest([made(2)])


def test_functions_of_no_module_are_the_users():
  assert is_users(eval('lambda: 0', {}))
  assert not is_users(explain_errors)


def test_code_leaves_no_setting_of_jax_behind(tmp_path):
  path = tmp_path / 'mine.py'
  rude = "  jax.config.update('jax_default_prng_impl', 'rbg')\n"
  for name, text in (('usual', RUDE.replace(rude, '')), ('rude', RUDE)):
    path.write_text(text)
    run_command('run', path, '--workdir', tmp_path / name)
  assert tables(tmp_path / 'usual') == tables(tmp_path / 'rude')


@pytest.mark.parametrize(
  ('name', 'value'),
  [
    ('jax_enable_x64', True),
    ('jax_debug_nans', True),
    ('jax_disable_jit', True),
    ('jax_numpy_dtype_promotion', 'strict'),
    ('jax_random_seed_offset', 3),
    ('jax_transfer_guard_host_to_device', 'disallow'),
  ],
)
def test_each_setting_is_settled(name, value):
  settle_jax()
  usual = getattr(jax.config, name)
  with explain_errors('code'):
    jax.config.update(name, value)
  assert getattr(jax.config, name) == usual


def test_flags_that_would_end_the_process_are_a_sentence(monkeypatch):
  said = 'XLA refuses XLA_FLAGS=--xla_nonsense=1'
  with pytest.raises(UserError, match=said), explain_errors('code'):
    monkeypatch.setenv('XLA_FLAGS', '--xla_nonsense=1')
