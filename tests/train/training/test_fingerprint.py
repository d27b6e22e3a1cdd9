"""Changed code is told by what it computes: other numbers change the digest, other words do not."""

import os
import pathlib
import subprocess
import sys

import jax
import pytest

from tests.train.support import ROOT, run_command
from train.problem.arms import OTHERS, arm_of_name
from train.problem.changes import Changes, changed_comparisons
from train.problem.comparison import Comparison
from train.storage.configuration import run_config
from train.training.fingerprint import arm_digest, needs_digest, program_digest

pytestmark = pytest.mark.training
HEAD = """
import dataclasses, functools, json, pathlib, types
import jax, jax.numpy as jnp, numpy as np, optax
from flax import nnx
from train import Comparison, Dataset, Metric, Split, arms, schedules

rng = np.random.default_rng(0)
split = Split(rng.normal(size=(40, 3)), rng.integers(0, 2, 40))
dataset = Dataset('random', split, split, ('a', 'b'))

def network(num_classes, rngs, hidden=4, scale=1.0):
  return nnx.Sequential(nnx.Linear(3, hidden, rngs=rngs), lambda x: x * scale,
                        nnx.Linear(hidden, num_classes, rngs=rngs))

def cross_entropy(outputs, targets):
  return optax.softmax_cross_entropy_with_integer_labels(outputs, targets)

options = {}
"""
TAIL = """
comparison = Comparison(name='random', dataset=dataset, epochs=1, batch_size=12,
                        **{'network': network, 'arms': ('fixed-0.9',), **options})
"""
# In each, `8` is the number that is changed to 16.
NUMBERS = {
  'dictionary': "C = {'hidden': 8}\noptions['network'] = lambda n, rngs: network(n, rngs, C['hidden'])",
  'list': "C = [8]\noptions['network'] = lambda n, rngs: network(n, rngs, C[0])",
  'array': "C = np.array([8.0])\noptions['network'] = lambda n, rngs: network(n, rngs, 4, C)",
  'namespace': (
    'C = types.SimpleNamespace(hidden=8)\n'
    "options['network'] = lambda n, rngs: network(n, rngs, C.hidden)"
  ),
  'dataclass': """
@dataclasses.dataclass
class Config:
  hidden: int = 4
C = Config(hidden=8)
options['network'] = lambda n, rngs: network(n, rngs, C.hidden)
""",
  'closure': """
def make(hidden):
  return lambda n, rngs: network(n, rngs, hidden)
options['network'] = make(8)
""",
  'callable instance': """
class Make:
  def __init__(self, hidden):
    self.hidden = hidden
  def __call__(self, n, rngs):
    return network(n, rngs, self.hidden)
options['network'] = Make(8)
""",
  'bound method': """
class Maker:
  hidden = 8
  def make(self, n, rngs):
    return network(n, rngs, self.hidden)
options['network'] = Maker().make
""",
  'partial': "options['network'] = functools.partial(network, hidden=8)",
  'jitted function': """
@jax.jit
def scaled(x):
  return x * 8
options['network'] = lambda n, rngs: nnx.Sequential(network(n, rngs), scaled)
""",
  'helper of a helper': """
import helper
options['network'] = lambda n, rngs: network(n, rngs, helper.hidden())
""",
  'import in a function': """
def own(n, rngs):
  import helper
  return network(n, rngs, helper.hidden())
options['network'] = own
""",
  'file': (
    "C = json.loads((pathlib.Path(__file__).parent / 'config.json').read_text())\n"
    "options['network'] = lambda n, rngs: network(n, rngs, C['hidden'])"
  ),
  'class weights': """
WEIGHTS = np.array([1.0, 8.0])
def weighted(outputs, targets):
  return jnp.asarray(WEIGHTS, 'float32')[targets] * cross_entropy(outputs, targets)
options['loss'] = weighted
""",
  'metric': """
LIMITS = {'far': 8}
def far(outputs, targets):
  return abs(outputs[:, 0]) > LIMITS['far']
options['metric'] = far
""",
  'metric of all examples': """
def share(outputs, targets):
  return (abs(outputs) > 8).mean()
options['metric'] = Metric('share', share)
""",
  'module that a metric of all examples imports': """
import helper
options['metric'] = Metric('share', lambda outputs, targets: (abs(outputs) > helper.hidden()).mean())
""",
  "schedule of Optax's": """
options['schedule'] = schedules.Optax(lambda steps: optax.linear_schedule(1 / 8, 0.0, steps))
""",
  'decayed weights': "options['weight_decay_of'] = lambda path, value: value.size > 8",
  'option of a solver': """
def solved(outputs, targets):
  lower = jnp.array([[1.0, 0.0], [2.0, 1.0]])
  return jax.scipy.linalg.solve_triangular(lower, outputs.T, trans=8 // 16)[0]
options['metric'] = solved
""",
  'name of a foreign function': """
def foreign(outputs, targets):
  return jax.ffi.ffi_call('of_8', jax.ShapeDtypeStruct(targets.shape, 'float32'))(outputs[:, 0])
options['metric'] = foreign
""",
  'callback': """
def counted(outputs, targets):
  shape = jax.ShapeDtypeStruct(targets.shape, 'float32')
  return jax.pure_callback(lambda values: np.float32(8) * values, shape, outputs[:, 0])
options['metric'] = counted
""",
  'module that a callback imports': """
import helper
def counted(outputs, targets):
  shape = jax.ShapeDtypeStruct(targets.shape, 'float32')
  return jax.pure_callback(lambda values: np.float32(helper.hidden()) * values, shape, outputs[:, 0])
options['metric'] = counted
""",
  'short last batch': """
def short(outputs, targets):
  return cross_entropy(outputs, targets) * (8 if len(targets) == 4 else 1)
options['loss'] = short
""",
  'batch of the evaluation': """
def far(outputs, targets):
  return abs(outputs[:, 0]) > (8 if len(targets) == 40 else 1)
options['metric'] = far
""",
}
# In each, `8` is the number of an arm that is changed to 16.
ARMS = {
  'optimizer': """
def mine(learning_rate):
  return optax.sgd(learning_rate, 1 / 8)
options['arms'] = (arms.Adaptive('mine', 'mine', mine, (('learning_rate', 0.1),)),)
""",
  "optimizer of Optax's": """
one = (optax.adam, optax.lion)[8 // 16]
options['arms'] = (arms.Adaptive('mine', 'mine', one, (('learning_rate', 0.1),)),)
""",
  'own optimizer': """
options['arms'] = (arms.Optax('mine', lambda rate: optax.adamw(rate, 0.9, weight_decay=1 / 8)),)
""",
  'function among the settings': """
options['arms'] = (arms.OTHERS[0].with_settings(b1=lambda count: 1 / 8),)
""",
  'base of a pair of momenta': """
def mine(learning_rate, b1):
  return optax.adam(learning_rate, b1, 1 / 8)
base = arms.Adaptive('adam', 'adam', mine, (('learning_rate', 0.1), ('b1', 0.9)))
options['arms'] = (arms.ByPhase(0.5, 0.9, base),)
""",
  'evaluated weights': """
@dataclasses.dataclass(frozen=True)
class Averaged(arms.Arm):
  kind = 'averaged'
  def build(self, setting):
    return optax.sgd(setting.learning_rate())
  def evaluation_params(self, opt_state, params):
    return jax.tree.map(lambda leaf: leaf * 8, params)
options['arms'] = (Averaged(),)
""",
}
SAME = {
  'partial with a function': (
    "options['network'] = functools.partial(lambda f, n, rngs: network(n, rngs), nnx.relu)"
  ),
  'tuple of functions': "FUNCTIONS = (nnx.relu, nnx.gelu)\noptions['network'] = network",
  'made by exec': "exec('def made(n, rngs): return network(n, rngs)')\noptions['network'] = made",
  'frozenset': (
    "NAMES = frozenset({'a', 'b', 'c', 'd'})\n"
    "options['network'] = lambda n, rngs: network(n, rngs, len(NAMES))"
  ),
}


def write(folder: pathlib.Path, middle: str, number: str = '8') -> pathlib.Path:
  folder.mkdir(exist_ok=True)
  path = folder / 'mine.py'
  path.write_text(HEAD + middle.replace('8', number) + TAIL)
  (folder / 'helper.py').write_text('import inner\n\n\ndef hidden():\n  return inner.HIDDEN\n')
  (folder / 'inner.py').write_text(f'HIDDEN = {number}\n')
  (folder / 'config.json').write_text(f'{{"hidden": {number}}}')
  return path


def digest(path: pathlib.Path) -> str:
  for name in ('helper', 'inner'):
    sys.modules.pop(name, None)
  comparison = comparison_in(path)
  return program_digest(comparison, comparison.load())


def comparison_in(path: pathlib.Path) -> Comparison:
  (comparison,) = changed_comparisons(str(path), Changes())
  return comparison


@pytest.mark.parametrize('where', NUMBERS)
def test_another_number_is_another_program(tmp_path, where):
  first = digest(write(tmp_path / 'one', NUMBERS[where]))
  assert digest(write(tmp_path / 'same', f'# a comment\n{NUMBERS[where]}')) == first
  assert digest(write(tmp_path / 'other', NUMBERS[where], '16')) != first


@pytest.mark.parametrize('where', ARMS)
def test_another_number_is_another_arm(tmp_path, where):
  def arm(name: str, text: str, number: str = '8') -> str:
    comparison = comparison_in(write(tmp_path / name, text, number))
    (arm,) = comparison.arms
    assert needs_digest(arm)
    assert run_config(comparison, arm, 0, dataset='')
    return arm_digest(comparison, arm, comparison.load())

  first = arm('one', ARMS[where])
  assert arm('same', f'# a comment\n{ARMS[where]}') == first
  assert arm('other', ARMS[where], '16') != first


def test_a_setting_that_changes_rounding_only_changes_no_digest(tmp_path):
  path = write(tmp_path, NUMBERS['partial'])
  first = digest(path)
  with jax.default_matmul_precision('highest'):
    assert digest(path) == first


def test_a_digest_is_the_same_in_other_processes_and_for_other_names(tmp_path):
  paths = [write(tmp_path / str(number), text) for number, text in enumerate(SAME.values())]
  program = """
import sys
from train.problem.changes import Changes, changed_comparisons
from train.storage.configuration import run_config
from train.training.fingerprint import program_digest
for path in sys.argv[1:]:
  (comparison,) = changed_comparisons(path, Changes())
  print(program_digest(comparison, comparison.load()))
"""
  command = [sys.executable, '-c', program, *map(str, paths)]
  # Another than that of this process.
  environment = {**os.environ, 'PYTHONHASHSEED': '1'}
  done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
  assert done.stdout.split() == list(map(digest, paths)), done.stderr
  for path in paths:
    renamed = path.read_text().replace('network', 'model_of').replace('model_of=', 'network=')
    path.write_text(renamed.replace("'model_of'", "'network'"))
    assert digest(path)


def test_old_results_are_not_mixed_with_those_of_changed_code(tmp_path, refused):
  arguments = ('--workdir', tmp_path / 'runs', '--seeds')
  run_command('run', write(tmp_path / 'one', NUMBERS['file']), *arguments, 0)
  before = {path: path.read_bytes() for path in (tmp_path / 'runs').rglob('*.csv')}
  path = write(tmp_path / 'one', NUMBERS['file'])
  (path.parent / 'config.json').write_text('{"hidden": 16}')
  said = refused('run', path, *arguments, 0, 1)
  assert 'what your code computes has changed, though its file has not: a value, a file' in said
  assert before == {path: path.read_bytes() for path in (tmp_path / 'runs').rglob('*.csv')}
  run_command('run', write(tmp_path / 'one', f'# no\n{NUMBERS["file"]}'), *arguments, 0)


def test_the_experiments_of_the_paper_have_no_digest():
  (comparison,) = changed_comparisons('digits', Changes())
  assert comparison.own_parts == []
  arms = map(arm_of_name, ('fixed-0.9', 'low0.5-high0.9', 'yoked0.5-0.9', 'lion-low0.5-high0.9'))
  assert not any(map(needs_digest, (*arms, *OTHERS)))
