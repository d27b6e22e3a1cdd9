"""Times the input path alone, and its share of a training step.

    python -m benchmarks.input_path [--network WRN-16-1] [--steps 10] [--rounds 7]

There are three ways to bring augmented batches to the device: drawn from arrays on the device,
streamed from memory-mapped files, and, for images, the authors' way: one example after the other
through PIL in the training process. The examples are random numbers, so that no data set is needed;
their values do not change the time. All ways and the trainer's step take turns, and the program
prints medians over the rounds: on a shared machine a single time says little.
"""

import itertools
import pathlib
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator

import jax
import numpy as np
import tyro
from PIL import Image, ImageOps

from benchmarks.training_step import find_comparison, random_examples, setting, source_of
from train.data import (
  Dataset,
  ImagePreprocessing,
  Preprocessing,
  ResidentInput,
  Split,
  StreamedInput,
  gather,
  step_key,
)
from train.problem.comparison import Comparison
from train.training.trainer import Trainer


def main(network: str = 'WRN-16-1', steps: int = 10, rounds: int = 7) -> None:
  """Prints milliseconds per batch, examples per second and shares of a training step.

  Args:
    network: the network to train; on a CPU the input path has its largest share with small ones.
    steps: batches per round; ten times as many for the fast ways.
    rounds: how often each way is timed.
  """
  comparison = find_comparison(network)
  batch_size, source = comparison.batch_size, source_of(comparison)
  prepare = source.preprocessing
  with tempfile.TemporaryDirectory() as folder:
    dataset = random_examples(source, 10 * steps * batch_size)
    split = _mapped(pathlib.Path(folder), dataset.train)
    augment = _augmentation(prepare)
    resident = ResidentInput(split)
    ways = {
      'on the device': (10 * steps, _timer(resident, augment, batch_size)),
      'streamed': (10 * steps, _timer(StreamedInput(split), augment, batch_size)),
    }
    if isinstance(prepare, ImagePreprocessing):
      ways['one by one through PIL'] = (steps, _pil_timer(split, prepare, batch_size))
    ways['training step'] = (
      steps,
      _timer(resident, _training_step(comparison, dataset), batch_size),
    )
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for round_ in range(-1, rounds):  # the first round compiles
      for way, (number, run) in ways.items():
        elapsed = run(number) / number
        if round_ >= 0:
          seconds[way].append(elapsed)
  _show(seconds, comparison)


def _mapped(folder: pathlib.Path, split: Split) -> Split:
  np.save(folder / 'inputs.npy', split.inputs)
  np.save(folder / 'labels.npy', split.labels)
  mapped = (np.load(folder / f'{name}.npy', mmap_mode='r') for name in ('inputs', 'labels'))
  return Split(*mapped)


def _training_step(comparison: Comparison, dataset: Dataset) -> Callable:
  state, train_step = Trainer(comparison, dataset).start(comparison.arms[0], seed=0)

  def run(batch, epoch, step):
    nonlocal state
    state = train_step(state, batch, 0, epoch, step)
    return state.sums

  return run


def _augmentation(prepare: Preprocessing) -> Callable:
  """Returns a program of what a training step does before its network."""

  @jax.jit
  def augment(batch, epoch, step):
    inputs, labels = gather(batch)
    return prepare.train(step_key(0, epoch, step), inputs), labels

  return augment


def _timer(
  source: ResidentInput | StreamedInput, run: Callable, batch_size: int
) -> Callable[[int], float]:
  epochs = itertools.count()

  def timed(number: int) -> float:
    epoch = next(epochs)
    start = time.perf_counter()
    result = None
    for step, batch in enumerate(itertools.islice(source.epoch(0, epoch, batch_size), number)):
      result = run(batch, epoch, step)
    jax.block_until_ready(result)
    return time.perf_counter() - start

  return timed


def _pil_timer(
  split: Split, prepare: ImagePreprocessing, batch_size: int
) -> Callable[[int], float]:
  def timed(number: int) -> float:
    start = time.perf_counter()
    batches = itertools.islice(_pil_batches(split, prepare, batch_size), number)
    jax.block_until_ready([jax.device_put(batch) for batch in batches])
    return time.perf_counter() - start

  return timed


def _pil_batches(
  split: Split, prepare: ImagePreprocessing, batch_size: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
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
  for start in range(0, len(order), batch_size):
    rows = order[start : start + batch_size]
    yield np.stack([transform(split.inputs[row]) for row in rows]), split.labels[rows]


def _show(seconds: dict[str, list[float]], comparison: Comparison) -> None:
  print(f'{comparison.name}, batch {comparison.batch_size}; median (fastest to slowest)')
  print(setting())
  step = statistics.median(seconds['training step'])
  for way, times in seconds.items():
    median = statistics.median(times)
    print(
      f'{way:24}{1e3 * median:9.2f} ms ({1e3 * min(times):.2f} to {1e3 * max(times):.2f})'
      f'{comparison.batch_size / median:12,.0f} examples/s'
      f'{100 * median / step:8.2f} % of a step'
    )


if __name__ == '__main__':
  tyro.cli(main)
