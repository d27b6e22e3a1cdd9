"""Weights, inputs and labels that the networks and their PyTorch counterparts both start from.

Every array is a function of its name alone, so the fixtures hold only results. Layouts are those of
Flax: channels last, kernels (height, width, in, out).
"""

import math
import pathlib
import zlib
from typing import NamedTuple

import numpy as np

FOLDER = pathlib.Path(__file__).parent / 'fixtures'


def array(name, shape):
  """Uniform numbers of mean 0 and variance 1, the same for the same name."""
  rng = np.random.default_rng(zlib.crc32(name.encode()))
  return math.sqrt(12) * (rng.random(shape) - 0.5)


def parameter(name, shape):
  """A parameter of a network, by its dotted name there, at a size that keeps signals alive."""
  kind = name.rsplit('.', 1)[-1]
  if kind == 'scale':
    return 1 + 0.2 * array(name, shape)
  if kind == 'kernel':
    return array(name, shape) * math.sqrt(2 / math.prod(shape[:-1]))
  return 0.2 * array(name, shape)


class Case(NamedTuple):
  """A network and the data to compare it on.

  Attributes:
    kind: the name of the class, here and there.
    arguments: what its constructor takes.
    batch_shape: the shape of a batch here.
    seed: chosen so that no ReLU is near its kink and no pooling near a tie.
  """

  kind: str
  arguments: dict[str, int]
  batch_shape: tuple[int, ...]
  seed: int = 0


CASES = {
  'wrn': Case('WideResNet', {'depth': 16, 'width': 2, 'num_classes': 100}, (6, 10, 10, 3), 36),
  'm11': Case('M11', {'num_classes': 35}, (8, 1300), 11),
  'vit': Case(
    'VisionTransformer',
    {
      'num_classes': 10,
      'image_size': 24,
      'patch_size': 8,
      'hidden_size': 24,
      'depth': 2,
      'num_heads': 3,
      'mlp_size': 40,
    },
    (4, 24, 24, 3),
  ),
}


def batches(name):
  """Four batches: one for the gradient, two more for the batch statistics, one to evaluate."""
  case = CASES[name]
  return [array(f'{name}-{case.seed} batch {index}', case.batch_shape) for index in range(4)]


def labels(name):
  """A label for each example of a batch."""
  case = CASES[name]
  return np.arange(case.batch_shape[0]) * 7 % case.arguments['num_classes']


def expected(name):
  """What the PyTorch definition computes: see `make_fixtures`."""
  return np.load(FOLDER / f'{name}.npz')
