"""Measures where the time of a training step goes.

    python -m benchmarks.shares WRN-16-4

Programs of parts of a step take turns with the step itself, and their medians are compared:

* input: gathering the batch; augmentation: its crops, flips, resampling and scaling;
* normalisation: the step minus a step of the same network without batch or layer norms;
* optimizer: LCAM's update alone;
* convolutions and products: the rest, including all other elementwise operations;
* host: the time of a step in the trainer's loop minus that of a single step.

It also prints the rate: the arithmetic of a step per second, as XLA counts it, compared with that of
a product of two square matrices in the same dtype, measured in the same turns.
"""

import dataclasses
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import optax
import tyro
from flax import nnx

from benchmarks.training_step import (
  Dtype,
  find_comparison,
  median_seconds,
  random_examples,
  setting,
  source_of,
  training,
)
from train.command.costs import FLOP, in_unit, step_flops
from train.data import gather, step_key
from train.problem.comparison import Comparison
from train.problem.networks import Network
from train.training.trainer import Trainer


@dataclasses.dataclass(frozen=True)
class WithoutNorms(Network):
  """A network whose batch and layer norms are replaced by the identity.

  Attributes:
    network: The network with norms.
  """

  network: Network
  kind = 'without_norms'

  def build(self, num_classes: int, *, dtype: str, rngs: nnx.Rngs) -> nnx.Module:
    model = self.network.build(num_classes, dtype=dtype, rngs=rngs)
    for _, module in list(nnx.iter_modules(model)):
      for name, child in list(vars(module).items()):
        if isinstance(child, nnx.BatchNorm | nnx.LayerNorm):
          setattr(module, name, _Identity())
    return model

  def describe(self) -> str:
    return f'{self.network.describe()} without norms'

  @property
  def image_size(self) -> int | None:
    return self.network.image_size

  @property
  def convolves_images(self) -> bool:
    return self.network.convolves_images


class _Identity(nnx.Module):
  def __call__(self, x):
    return x


def main(
  network: tyro.conf.Positional[str], dtype: Dtype = 'float32', seconds: float = 10.0
) -> None:
  """Prints the shares and the rate.

  Args:
    network: The name of the network to train.
    dtype: The dtype that it computes in.
    seconds: How long each part is timed; each runs at least three times.
  """
  comparison = find_comparison(network, dtype)
  without = dataclasses.replace(comparison, network=WithoutNorms(comparison.network))
  # The trainer comes first because it sets how the process allocates large buffers.
  loop = partial(training(comparison), _LOOP_STEPS)
  parts = [
    loop,
    partial(training(comparison), 1),
    partial(training(without), 1),
    *_inputs(comparison),
    _optimizer(comparison),
    _product(comparison),
  ]
  for part in parts:
    part()  # compiles
  several, step, unnormed, gathered, input_, update, product = median_seconds(parts, seconds)
  several /= _LOOP_STEPS
  shares = {
    'convolutions and products': unnormed - input_ - update,
    'normalisation': step - unnormed,
    'augmentation': input_ - gathered,
    'input': gathered,
    'optimizer': update,
  }
  print(f'{comparison.name}, {dtype}: {1e3 * several:.1f} ms a step in the loop; {setting()}')
  for part, time in shares.items():
    print(f'  {part:26}{100 * time / step:6.1f} %')
  print(f'  {"host":26}{100 * (several - step) / step:6.1f} % more')
  flops = step_flops(comparison)
  size = _matrix_size()
  rate, peak = flops / several, 2 * size**3 / product
  print(
    f'  {in_unit(rate, FLOP)}/s, {100 * rate / peak:.0f} % of the {in_unit(peak, FLOP)}/s of a '
    f'{dtype} product of {size} x {size}',
    flush=True,
  )


_LOOP_STEPS = 3


def _inputs(comparison: Comparison) -> list[Callable[[], None]]:
  """Returns functions that gather a batch, and that gather and prepare it."""
  source = source_of(comparison)
  trainer = Trainer(comparison, random_examples(source, 10 * comparison.batch_size))
  prepare = comparison.preprocessing

  @trainer.programs.jit
  def augment(batch):
    inputs, labels = gather(batch)
    return prepare.train(step_key(0, 0, 0), inputs), labels

  batch = next(trainer.train_input.epoch(0, 0, comparison.batch_size))
  programs = trainer.programs.jit(gather), augment
  return [lambda program=program: jax.block_until_ready(program(batch)) for program in programs]


def _optimizer(comparison: Comparison) -> Callable[[], None]:
  source = source_of(comparison)
  trainer = Trainer(comparison, random_examples(source, 10 * comparison.batch_size))
  state, _ = trainer.start(comparison.arms[0], seed=0)
  optimizer = comparison.build_optimizer(comparison.arms[0], trainer.steps_per_epoch, 0, None)
  grads = jax.tree.map(jnp.ones_like, state.params)

  @partial(trainer.programs.jit, donate_argnums=(0, 1))
  def update(params, opt_state, grads):
    updates, opt_state = optimizer.update(grads, opt_state, params, value=jnp.float32(1))
    return optax.apply_updates(params, updates), opt_state

  params, opt_state = state.params, state.opt_state

  def run() -> None:
    nonlocal params, opt_state
    params, opt_state = jax.block_until_ready(update(params, opt_state, grads))

  return run


def _matrix_size() -> int:
  # On a GPU or TPU the call for a small product takes longer than the product.
  return 2048 if jax.default_backend() == 'cpu' else 8192


def _product(comparison: Comparison) -> Callable[[], None]:
  matrix = jax.random.normal(jax.random.key(0), [_matrix_size()] * 2, comparison.dtype)
  multiply = jax.jit(jnp.matmul)
  return lambda: jax.block_until_ready(multiply(matrix, matrix))


if __name__ == '__main__':
  tyro.cli(main)
