"""Attacks by files that a command is given: problems of one's own, weights, data caches."""

import functools
import pathlib
import pickle
import random
import shutil
import tempfile

import numpy as np

from tests.attack.checks import Failure, check, check_end
from tests.attack.command_lines import attempt
from tests.attack.commands import Command
from tests.attack.damage import WAYS
from tests.attack.world import PROBLEM, World, tables_of
from train.data import cache

_JUNK = [
  *(
    'raise SystemExit(3)',
    'import sys; sys.exit()',
    '1 / 0',
    'import no_such_module',
    '\0',
    '(' * 300,
  ),
  *('f = lambda: f(); f()', 'comparison = 3', 'raise KeyboardInterrupt', 'class train: pass'),
  *(
    'inputs = inputs.astype(str)',
    'labels = labels * 7',
    'labels = labels[:3]',
    'inputs[0] = np.nan',
  ),
  *('inputs = None', 'Comparison = dict', 'def data(): return 1', 'def network(a): pass'),
  *('def network(num_classes, rngs): return 1', 'data = []', 'print("x" * 10**5)', '{' * 50),
]
_REPLACED = {
  'epochs=3': [
    'epochs=0',
    'epochs="3"',
    'epochs=1e9',
    'epochs=10**20',
    'epochs=None',
    'epochs=True',
  ],
  'batch_size=16': ['batch_size=-1', 'batch_size=10**9', 'batch_size="x"', 'batch_size=1.5'],
  "name='sums'": [
    "name=''",
    "name='../x'",
    'name=3',
    "name='a/b'",
    "name='[/b]'",
    "name='\\udcff'",
  ],
  'seeds=(0, 1)': [
    'seeds=0',
    'seeds=()',
    'seeds=(0, 0)',
    'seeds=("a",)',
    'seeds=(-1,)',
    'seeds=None',
  ],
  "('low', 'high')": ["('low',)", '()', '3', "('a', 'b', 'c')", 'None', '[[]]'],
  'dataset=data': ['dataset=None', 'dataset=3', "dataset='digits'", 'dataset=data()'],
  'network=network': ['network=None', "network='WRN'", 'network=nnx.Linear', 'network=data'],
  'labels[:20]': ['labels[:19]', 'labels[:20] + 0.5', 'labels[:20] + 2**40', '[[1]] * 20', '"x"'],
  'inputs[:20]': ['inputs[:20, :2]', 'inputs[:0]', 'inputs[:20] * 1e300', 'inputs[:20] > 0'],
  'nnx.Linear(3': ['nnx.Linear(4', 'nnx.Linear(0', 'nnx.Linear(-3', 'nnx.Linear("3"', 'int(3'],
  'nnx.Linear(3, num': ['nnx.Linear(3, 10**12 * num', 'nnx.Linear(3, 5 + num'],
}


def bad_problem(world: World, rng: random.Random) -> None:
  """A problem of one's own that fails somewhere, or perhaps does not."""
  with world.workdir() as workdir:
    text = PROBLEM
    for _ in range(rng.randint(1, 2)):
      text = _mutated(text, rng)
    path = workdir.parent / 'mine.py'
    path.write_bytes(text.encode(errors='surrogateescape'))
    if rng.random() < 0.1:
      rng.choice(WAYS)(path, rng)
    attempt(['run', str(path), '--workdir', str(workdir)], workdir.parent)


def _mutated(text: str, rng: random.Random) -> str:
  match rng.randrange(4):
    case 0:
      lines = text.splitlines()
      lines.insert(rng.randrange(len(lines)), rng.choice(_JUNK))
      return '\n'.join(lines)
    case 1:
      place = rng.randrange(len(text))
      return text[:place] + rng.choice(['', '(', '"', 'é', '\n', '\t', '\0']) + text[place + 1 :]
    case _:
      old = rng.choice([old for old in _REPLACED if old in text] or [''])
      return text.replace(old, rng.choice(_REPLACED.get(old, ['x'])), 1)


def bad_weights(world: World, rng: random.Random) -> None:
  """A file of pretrained weights that is damaged, or something else."""
  with world.workdir() as workdir:
    path = workdir.parent / 'weights.npz'
    arrays = {f'array{index}': np.arange(index + 3.0) for index in range(3)}
    match rng.randrange(4):
      case 0:
        arrays['array1'] = np.array([{}], object)
        np.savez(path, **arrays)
      case 1:
        path.write_bytes(pickle.dumps(arrays))
      case 2:
        with path.open('wb') as file:
          np.save(file, rng.choice([np.zeros(3), np.array([{}], object)]))
      case _:
        np.savez(path, **arrays)
    if rng.random() < 0.7:
      rng.choice(WAYS)(path, rng)
    command = Command(str(path), folder=workdir.parent, program=functools.partial(_load, path))
    done = command.done()
    check_end(done)
    check(done.status == 2, 'Weights of no network were taken.', done)


def _load(path: pathlib.Path) -> None:
  """Loads weights into a small network, as a command would."""
  import sys

  from flax import nnx

  import models

  small = {'patch_size': 4, 'hidden_size': 24, 'depth': 1, 'num_heads': 3, 'mlp_size': 40}
  model = nnx.eval_shape(
    lambda: models.VisionTransformer(10, image_size=8, **small, rngs=nnx.Rngs(0))
  )
  try:
    models.load_imagenet21k(model, path)
  except ValueError as error:
    print(error, file=sys.stderr)
    sys.exit(2)


def bad_cache(world: World, rng: random.Random) -> None:
  """A prepared data set that is damaged."""
  with world.workdir() as workdir:
    folder = workdir.parent / 'data/lcam/cifar10'
    shutil.copytree(_data(world), folder)
    path = rng.choice(sorted(folder.iterdir()))
    way = rng.choice(WAYS)
    way(path, rng)
    done = _train_on(folder, workdir).done()
    check_end(done)
    if done.status == 0 and tables_of(workdir) != _undisturbed(world):
      try:  # a command does not read every byte, but this does
        cache.verify(folder)
      except cache.DamagedCacheError:
        return
      raise Failure(f'{way.__name__} {path.name} changed the results unseen.\n{done}')


def _train_on(folder: pathlib.Path, workdir: pathlib.Path) -> Command:
  small = ['--depth', 10, '--width', 1, '--epochs', 1, '--batch-size', 20, '--seeds', 0]
  arguments = ['run', 'figure3', *small, '--arms', 'fixed-0.9', '--workdir', workdir]
  return Command(*arguments, '--data-dir', folder.parents[1], folder=workdir.parent)


@functools.cache
def _data(world: World) -> pathlib.Path:
  folder = pathlib.Path(tempfile.mkdtemp(dir=world.folder)) / 'lcam/cifar10'
  rng = np.random.default_rng(0)
  examples = (
    (split, rng.integers(0, 256, (32, 32, 3), np.uint8), index % 10)
    for split, number in (('train', 40), ('test', 20))
    for index in range(number)
  )
  cache.write(folder, {'name': 'cifar10', 'class_names': [str(n) for n in range(10)]}, examples)
  return folder


@functools.cache
def _undisturbed(world: World) -> dict[str, bytes]:
  with world.workdir() as workdir:
    done = _train_on(_data(world), workdir).done()
    check(done.status == 0, 'It does not work undisturbed.', done)
    return tables_of(workdir)
