"""Attacks by losses and metrics in unusual dtypes, sizes and names, whose values NumPy knows."""

import csv
import math
import random

import numpy as np

from tests.attack.checks import check, check_end
from tests.attack.commands import run
from tests.attack.world import World

_PROBLEM = """
import jax.numpy as jnp
import numpy as np
from flax import nnx
from train import Comparison, Dataset, Split, schedules

rng = np.random.default_rng({seed})


def split(examples):
  inputs = rng.normal(size=(examples, 3))
  return Split(inputs, rng.normal(size=examples))


def network(num_classes, rngs):
  return nnx.Linear(3, 1, rngs=rngs, kernel_init=nnx.initializers.ones)


def loss_of(outputs, targets):
  error = outputs[:, 0] - targets
  return jnp.asarray({loss}).astype('{loss_dtype}')


def metric_of(outputs, targets):
  error = outputs[:, 0] - targets
  return jnp.asarray({metric}).astype('{metric_dtype}')


metric_of.__name__ = {name!r}
# With this learning rate weights stay as they are.
comparison = Comparison(
  name='known', dataset=lambda: Dataset('known', split({train}), split({test})), network=network,
  epochs=1, batch_size=16, loss=loss_of, metric=metric_of, weight_decay=0.0, seeds=(0,),
  schedule=schedules.Constant(1e-30), arms=('fixed-0.9',),
)
"""
_FLOATS = ('float32', 'bfloat16', 'float16')
_DTYPES = (*_FLOATS, 'int32', 'int16', 'int8', 'uint8', 'uint32')
# Of the error; NumPy and JAX understand them alike. These also fit into 8 bits.
_SMALL = ('error**2', '3 * abs(error)', 'abs(error) > 1', '100 + 0 * error')
_VALUES = (
  *('1e-6 * error**2', '1e-30 * abs(error)', '1e-42 * abs(error)', '0 * error', 'error**2 + 1000'),
  *('30000 + 0 * error', '3e37 + 0 * error', '3e38 + 0 * error', '1e9 + error'),
  *('1 / (0 * error)', '0 / (0 * error)', '1 + 1e-4 * error'),
)
_NAMES = (
  *('loss', 'error_percent', 'train_loss', 'epoch', 'metric', 'test_loss', 'loss_metric', 'mine'),
  *('a,b', '$x', '$\\frac', '[/b]', '[red]x', '"', '<b>', '{0}', '%s', 'é', '_', 'x' * 200),
)
_PRECISION = {'bfloat16': 2**-8, 'float16': 2**-11}
_TINY = {'float16': 2.0**-24}  # what is less becomes zero, and below float32's normal ones may
_SMALLEST = 2.0**-126
_LARGEST = float(np.finfo('float32').max)


def numbers(world: World, rng: random.Random) -> None:
  """A loss and a metric that are computed in an unusual dtype, tiny, huge, infinite or oddly named."""
  loss, metric = (rng.choice([_SMALL, _VALUES]) for _ in range(2))
  drawn = {
    'seed': rng.randrange(100),
    'train': rng.choice([1, 16, 48]),
    'test': rng.choice([1, 7, 250, 251, 600]),
    'loss': rng.choice(loss),
    'loss_dtype': rng.choice(_DTYPES if loss is _SMALL else _FLOATS),
    'metric': rng.choice(metric),
    'metric_dtype': rng.choice(_DTYPES if metric is _SMALL else _FLOATS),
    'name': rng.choice(['mine', 'mine', *_NAMES]),
  }
  with world.workdir() as workdir:
    path = workdir.parent / 'known.py'
    path.write_text(_PROBLEM.format(**drawn))
    done = run('run', path, '--workdir', workdir, folder=workdir.parent)
    check_end(done, 1)
    known, said = _known(drawn), 'NaN or infinite' in done.output + done.errors
    check(said or done.status == 0, 'It was refused.', drawn, done)
    with (workdir / 'fixed-0.9/seed-0/metrics.csv').open(newline='') as file:
      (row,) = csv.DictReader(file)
    seen = float(row['train_loss']), float(row['test_loss']), float(list(row.values())[3])
    told = f'{drawn}\ntraining loss, test loss, metric: {seen}, where NumPy has {known}'
    for name, value, right in zip(('loss', 'loss', 'metric'), seen, known, strict=True):
      tolerance = 1e-4 + 2 * _PRECISION.get(drawn[f'{name}_dtype'], 0)
      least = max(_SMALLEST, _TINY.get(drawn[f'{name}_dtype'], 0))
      same = math.isclose(value, right, rel_tol=tolerance, abs_tol=least)
      same |= math.isnan(value) and math.isnan(right)
      check(same, f'A {name} is wrong.', told, done)
      if not math.isfinite(known[0]):
        break  # with such a loss, nothing else is as it would be
    finite = all(map(math.isfinite, known))
    check(finite != said, 'It says wrongly whether all was finite.', told, done)


def _known(drawn: dict) -> tuple[float, float, float]:
  """Returns training loss, test loss and metric as NumPy computes them."""
  rng = np.random.default_rng(drawn['seed'])
  errors = []
  for part in ('train', 'test'):
    inputs = rng.normal(size=(drawn[part], 3)).astype('float32')
    targets = rng.normal(size=drawn[part]).astype('float32')
    errors.append(inputs.sum(1, dtype=float) - targets)
  train, test = errors
  loss, metric = ((drawn[name], drawn[f'{name}_dtype']) for name in ('loss', 'metric'))
  # Losses are added up batch by batch.
  return _mean(*loss, train, 16), _mean(*loss, test, len(test)), _mean(*metric, test, len(test))


def _mean(text: str, dtype: str, error: np.ndarray, batch: int) -> float:
  """Returns the mean of a text's values; infinite if float32 does not hold the sum of a batch."""
  with np.errstate(all='ignore'):
    values = np.asarray(eval(text, {'abs': abs}, {'error': error})).astype('float32')
    if dtype == 'bfloat16':  # which NumPy lacks; the tolerance is its rounding
      dtype = 'float32'
    mean = float(values.astype(dtype).astype(float).mean())
    return mean if not abs(mean) * min(batch, len(error)) > _LARGEST else math.inf
