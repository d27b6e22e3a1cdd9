"""Attacks by a problem whose code changes between two commands in one working directory."""

import pathlib
import random
from collections.abc import Callable

from tests.attack.checks import check, check_end, check_kept, check_refused
from tests.attack.commands import Done, run
from tests.attack.world import ARMS, PROBLEM, World, tables_of

# Where the number comes from: in each, and in the files beside the problem, it is 8.
_SOURCES = {
  'dictionary': "SIZES = {'factor': 8}\ndef factor(): return SIZES['factor']",
  'list': 'SIZES = [1, [8]]\ndef factor(): return SIZES[1][0]',
  'array': 'SIZES = jnp.array([1.0, 8.0])\ndef factor(): return SIZES[1]',
  'large array': 'SIZES = np.ones(3000)\nSIZES[9] = 8\ndef factor(): return np.float32(SIZES.sum())',
  'closure': 'def made(number): return lambda: number\nfactor = made(8)',
  'default': 'def factor(number=8): return number',
  'dataclass': (
    '@dataclasses.dataclass\nclass Sizes:\n  factor: int = 8\ndef factor(): return Sizes().factor'
  ),
  'property': (
    'class Sizes:\n  @property\n  def factor(self): return 8\ndef factor(): return Sizes().factor'
  ),
  'partial': 'def same(number): return number\nfactor = functools.partial(same, 8)',
  'jitted function': '@jax.jit\ndef scaled(x): return x * 8\ndef factor(): return scaled(1.0)',
  'functions in a list': 'STEPS = [lambda: 1, lambda: 8]\ndef factor(): return STEPS[1]()',
  'executed text': "exec('def factor(): return 8')",
  'imported module': 'import beside\ndef factor(): return beside.NUMBER',
  'module that it imports': 'import beside\ndef factor(): return beside.of_inner()',
  'import in a function': 'def factor():\n  from inner import NUMBER\n  return NUMBER',
  'file': (
    "PATH = pathlib.Path(__file__).with_name('config.json')\n"
    "def factor(): return json.loads(PATH.read_text())['number']"
  ),
}
_FILES = {
  'beside.py': 'import inner\nNUMBER = 8\n\n\ndef of_inner():\n  return inner.NUMBER\n',
  'inner.py': 'NUMBER = 8\n',
  'config.json': '{"number": 8}\n',
}
_ARMS = "('low0.5-high0.9',)"
# What the number changes: a text of the problem, and what replaces it.
_ENDS = {
  'outputs': ('nnx.Linear(3, num_classes, rngs=rngs)', 'Scaled(num_classes, rngs)'),
  'initial weights': ('rngs=rngs)', 'rngs=rngs, kernel_init=nnx.initializers.normal(factor()))'),
  'loss': ('seeds=', 'loss=divided, seeds='),
  'loss of the last batch': ('seeds=', 'loss=divided_at_last, seeds='),
  'class weights': ('seeds=', 'loss=weighted, seeds='),
  'metric': ('seeds=', 'metric=far, seeds='),
  'schedule': ('seeds=', 'schedule=Slower(0.1), seeds='),
  'arm': (_ARMS, '(Mine(),)'),
  'evaluated weights': (_ARMS, '(Averaged(),)'),
  "function of an arm of Optax's": (
    _ARMS,
    "(train.arms.Adaptive('mine', 'mine', descent, (('learning_rate', 0.1),)),)",
  ),
}
_PARTS = """
import dataclasses, functools, json, pathlib
import jax, jax.numpy as jnp, optax
import train


class Scaled(nnx.Module):
  def __init__(self, classes, rngs):
    self.layer = nnx.Linear(3, classes, rngs=rngs)

  def __call__(self, inputs):
    return self.layer(inputs) * factor()


def divided(outputs, labels):
  return optax.softmax_cross_entropy_with_integer_labels(outputs, labels) / factor()


def divided_at_last(outputs, labels):
  losses = optax.softmax_cross_entropy_with_integer_labels(outputs, labels)
  return losses / factor() if len(labels) == 12 else losses


def weighted(outputs, labels):
  weights = jnp.asarray([1.0, factor()])
  return weights[labels] * optax.softmax_cross_entropy_with_integer_labels(outputs, labels)


def far(outputs, labels):
  return abs(outputs[:, 0]) > 0.1 * factor()


def descent(learning_rate):
  return optax.chain(optax.scale(factor()), optax.scale_by_learning_rate(learning_rate))


@dataclasses.dataclass(frozen=True)
class Slower(train.schedules.Schedule):
  kind = 'slower'

  def build(self, epochs, steps_per_epoch):
    return lambda step: self.init_value / (1 + step / factor())

  def describe(self):
    return 'slower'


@dataclasses.dataclass(frozen=True)
class Mine(train.arms.Arm):
  kind = 'mine'

  def build(self, setting):
    return setting.coupled(descent(setting.learning_rate()))


@dataclasses.dataclass(frozen=True)
class Averaged(train.arms.Arm):
  kind = 'averaged'

  def build(self, setting):
    return optax.sgd(setting.learning_rate())

  def evaluation_params(self, opt_state, params):
    return jax.tree.map(lambda leaf: leaf * factor(), params)


"""
# What changes words only.
_SAME: dict[str, Callable[[str], str]] = {
  'nothing': str,
  'a comment': lambda text: f'# A comment.\n{text}\n# Another one.\n',
  'a docstring': lambda text: text.replace('):\n  return', '):\n  """Returns it."""\n  return'),
  'names': lambda text: text.replace('factor', 'multiple').replace('SIZES', 'LENGTHS'),
  'a new function': lambda text: text.replace('class Scaled', 'def new(): pass\n\n\nclass Scaled'),
}


def changed_code(world: World, rng: random.Random) -> None:
  """Words of a problem change between two commands, which is accepted, then a number, which is not."""
  source, end, same = (rng.choice(list(choices)) for choices in (_SOURCES, _ENDS, _SAME))
  told = f'What changes: {same}; then the number in: {source}, which counts for: {end}.'
  with world.workdir() as workdir:
    _write(workdir.parent, source, end)
    first = _train(workdir, '0')
    check_end(first)
    check(first.status == 0, 'It does not work at all.', told, first)
    before = tables_of(workdir)
    path = _write(workdir.parent, source, end)
    path.write_text(_SAME[same](path.read_text()))
    second = _train(workdir, '0', '1')
    check(second.status == 0, 'Words were taken for code.', told, second)
    check_kept(workdir, before, told, second)
    before = tables_of(workdir)
    _write(workdir.parent, source, end, number='9')
    third = _train(workdir, '0', *rng.choice([(), ('1',), ('1', '2')]))
    check_refused(third, workdir, before, told)
    check(str(workdir) in third.errors, 'The sentence does not name the run.', told, third)


def _write(folder: pathlib.Path, source: str, end: str, number: str = '8') -> pathlib.Path:
  """Writes the problem, and all that it imports or reads, with a number."""
  text = PROBLEM.replace(str(ARMS), _ARMS)
  text = text.replace('\ncomparison =', f'{_PARTS}{_SOURCES[source]}\n\n\ncomparison =')
  files = {'mine.py': text.replace(*_ENDS[end]), **_FILES}
  for name, content in files.items():
    (folder / name).write_text(content.replace('8', number))
  return folder / 'mine.py'


def _train(workdir: pathlib.Path, *seeds: str) -> Done:
  arguments = ['run', 'mine.py', '--workdir', workdir, '--epochs', 1, '--seeds', *seeds]
  return run(*arguments, folder=workdir.parent)
