"""Data sets, from their source to the training step.

    source = find_source('cifar10')                  # or make a Dataset of your own arrays
    dataset = source.load()                          # mapped arrays; TFDS prepares them if missing
    inputs = make_input(dataset.train)               # on the device, or streamed if large
    for batch in inputs.epoch(seed, epoch, batch_size=128):
      step(batch)                                    # jitted: source.preprocessing.train(key, ...)
                                                     # of the inputs that gather(batch) returns

Batches, crops and flips are pure functions of (seed, epoch, step). TensorFlow is never imported
here: ``source.prepare()`` runs TFDS in a separate process.
"""

# ruff: noqa: F401
from train.data.audio import AudioPreprocessing
from train.data.dataset import DataError, Dataset, Split
from train.data.images import ImagePreprocessing
from train.data.inputs import (
  Batch,
  ResidentInput,
  StreamedInput,
  batch_shapes,
  gather,
  make_input,
)
from train.data.preprocess import AsStored, Preprocessing
from train.data.randomness import step_key
from train.data.source import DataSource
from train.data.sources import SOURCES, find_source
