"""Data sets, from TFDS to the training step.

    dataset = load('cifar10')                        # mapped arrays; prepared by TFDS when missing
    inputs = make_input(dataset.train)               # on the device, or streamed if large
    prepare_batch = preprocessing('cifar10')
    for batch in inputs.epoch(seed, epoch, batch_size=128):
      step(batch)                                    # jitted: draw(batch), prepare_batch.train(...)

Batches, crops and flips are pure functions of (seed, epoch, step). TensorFlow is never imported here:
`prepare` runs TFDS in a process of its own.
"""

from train.data.dataset import DataError, Dataset, Split
from train.data.inputs import Batch, ResidentInput, StreamedInput, draw, make_input
from train.data.loading import DATASETS, load, prepare
from train.data.preprocess import Preprocessing, preprocessing
from train.data.randomness import coin_key, step_key

__all__ = [
  'DATASETS',
  'Batch',
  'DataError',
  'Dataset',
  'Preprocessing',
  'ResidentInput',
  'Split',
  'StreamedInput',
  'coin_key',
  'draw',
  'load',
  'make_input',
  'prepare',
  'preprocessing',
  'step_key',
]
