"""Times the input path alone, and the share of a training step that it takes.

    python -m benchmarks.input_path [--dataset cifar10] [--steps 10] [--rounds 7]

Three ways to bring augmented batches of 128 to the device: drawn from arrays that lie there, streamed
from mapped files, and, for images, the authors' way: one example after the other through PIL in the
training process. The examples are random numbers, so that no data set is needed; what they are does
not change the time. All ways and the training step (WRN-16-1 or M11, with LCAM) run in turn, and the
medians over the rounds are shown: on a shared machine a single time says little.
"""

import itertools
import pathlib
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Literal

import jax
import numpy as np
import optax
import tyro
from flax import nnx
from PIL import Image, ImageOps

from lcam_optax import lcam
from models import M11, WideResNet
from train.data import (
  Preprocessing,
  ResidentInput,
  Split,
  StreamedInput,
  find_source,
  gather,
  step_key,
)

_BATCH = 128
_EXAMPLES = {'cifar10': (50_000, 32, 32, 3), 'speech_commands': (20_000, 16_000)}
_CLASSES = 10


def main(
  dataset: Literal['cifar10', 'speech_commands'] = 'cifar10', steps: int = 10, rounds: int = 7
) -> None:
  """Prints milliseconds per batch, examples per second and shares of a training step.

  Args:
    dataset: whose shapes and preprocessing to time.
    steps: batches per round; ten times as many where that is quick.
    rounds: how often each way is timed.
  """
  prepare = find_source(dataset).preprocessing
  with tempfile.TemporaryDirectory() as folder:
    split = _mapped_examples(pathlib.Path(folder), _EXAMPLES[dataset])
    augment = _augmentation(prepare)
    resident = ResidentInput(split)
    step = _training_step(dataset, prepare)
    ways = {
      'on the device': (10 * steps, _timer(resident, augment)),
      'streamed': (10 * steps, _timer(StreamedInput(split), augment)),
    }
    if dataset == 'cifar10':
      ways['one by one through PIL'] = (steps, lambda n: _time_pil(split, n, prepare))
    ways['training step'] = (steps, _timer(resident, step))
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for round_ in range(-1, rounds):  # the first round compiles
      for way, (number, run) in ways.items():
        elapsed = run(number) / number
        if round_ >= 0:
          seconds[way].append(elapsed)
  _show(seconds, dataset)


def _mapped_examples(folder: pathlib.Path, shape: tuple[int, ...]) -> Split:
  values = np.random.default_rng(0)
  dtype = np.uint8 if len(shape) == 4 else np.int16
  np.save(folder / 'inputs.npy', values.integers(0, np.iinfo(dtype).max, shape, dtype))
  np.save(folder / 'labels.npy', values.integers(0, _CLASSES, shape[0], np.int32))
  inputs, labels = (np.load(folder / f'{name}.npy', mmap_mode='r') for name in ('inputs', 'labels'))
  return Split(inputs, labels)


def _augmentation(prepare: Preprocessing) -> Callable:
  """What a training step does before its network, alone."""

  @jax.jit
  def augment(batch, epoch, step):
    inputs, labels = gather(batch)
    return prepare.train(step_key(0, epoch, step), inputs), labels

  return augment


def _training_step(dataset: str, prepare: Preprocessing) -> Callable:
  rngs = nnx.Rngs(0)
  model = (
    WideResNet(16, 1, _CLASSES, rngs=rngs) if dataset == 'cifar10' else M11(_CLASSES, rngs=rngs)
  )
  graphdef, *state = nnx.split(model, nnx.Param, ...)
  solver = lcam(0.1, steps_per_epoch=391)
  held = [*state, solver.init(state[0])]

  def loss_of(params, rest, inputs, labels):
    model = nnx.merge(graphdef, params, rest, copy=True)
    losses = optax.softmax_cross_entropy_with_integer_labels(model(inputs), labels)
    return losses.mean(), nnx.split(model, nnx.Param, ...)[2]

  @jax.jit(donate_argnums=0)
  def update(held, batch, epoch, step):
    params, rest, solver_state = held
    inputs, labels = gather(batch)
    inputs = prepare.train(step_key(0, epoch, step), inputs)
    (loss, rest), grads = jax.value_and_grad(loss_of, has_aux=True)(params, rest, inputs, labels)
    updates, solver_state = solver.update(grads, solver_state, params, value=loss)
    return [optax.apply_updates(params, updates), rest, solver_state], loss

  def run(batch, epoch, step):
    held[:], loss = update(held, batch, epoch, step)
    return loss

  return run


def _timer(source: ResidentInput | StreamedInput, run: Callable) -> Callable[[int], float]:
  epochs = itertools.count()

  def timed(number: int) -> float:
    epoch = next(epochs)
    start = time.perf_counter()
    result = None
    for step, batch in enumerate(itertools.islice(source.epoch(0, epoch, _BATCH), number)):
      result = run(batch, epoch, step)
    jax.block_until_ready(result)
    return time.perf_counter() - start

  return timed


def _time_pil(split: Split, number: int, prepare: Preprocessing) -> float:
  start = time.perf_counter()
  batches = itertools.islice(_pil_batches(split, prepare), number)
  jax.block_until_ready([jax.device_put(batch) for batch in batches])
  return time.perf_counter() - start


def _pil_batches(split: Split, prepare: Preprocessing) -> Iterator[tuple[np.ndarray, np.ndarray]]:
  mean, std = np.array(prepare.mean, np.float32), np.array(prepare.std, np.float32)
  size, padding = split.inputs.shape[1], prepare.padding

  def transform(pixels):
    image = ImageOps.expand(Image.fromarray(pixels), padding)
    left, top = random.randint(0, 2 * padding), random.randint(0, 2 * padding)
    image = image.crop((left, top, left + size, top + size))
    if random.random() < 0.5:
      image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return (np.asarray(image, np.float32) / 255 - mean) / std

  order = np.random.default_rng(0).permutation(len(split))
  for start in range(0, len(order), _BATCH):
    rows = order[start : start + _BATCH]
    yield np.stack([transform(split.inputs[row]) for row in rows]), split.labels[rows]


def _show(seconds: dict[str, list[float]], dataset: str) -> None:
  print(
    f'{dataset}, batch {_BATCH}, {jax.devices()[0].device_kind}, jax {jax.__version__}; '
    'median of the rounds (fastest to slowest)'
  )
  step = statistics.median(seconds['training step'])
  for way, times in seconds.items():
    median = statistics.median(times)
    print(
      f'{way:24}{1e3 * median:9.2f} ms ({1e3 * min(times):.2f} to {1e3 * max(times):.2f})'
      f'{_BATCH / median:12,.0f} examples/s'
      f'{100 * median / step:8.2f} % of a step'
    )


if __name__ == '__main__':
  tyro.cli(main)
