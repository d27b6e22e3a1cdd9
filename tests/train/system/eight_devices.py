"""Trains a network on one and on eight virtual CPU devices, and prints the results as JSON.

A program of its own, run by test_devices.py: JAX's number of devices is fixed once it starts. The
smallest network also goes on with another number of devices.
"""

import contextlib
import json
import pathlib
import re
import signal
import sys
import tempfile

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

import models
from models.batch_norm import BatchNorm
from train import Comparison, Dataset, Metric, Split, wrong_answer
from train.problem.arms import Lcam
from train.problem.schedules import Constant
from train.storage.configuration import run_config
from train.storage.locks import sole_writer_of
from train.storage.tables import read_phases, run_directory
from train.system.devices import choose_devices, describe_devices
from train.system.signals import InterruptedRunError, Interrupts
from train.training.loop import Run, Training, Watcher
from train.training.trainer import Settings, Start, Trainer

LCAM = Lcam(0.857, 0.93)
EPOCHS, BATCH_SIZE = 2, 16
EXAMPLES = 3 * BATCH_SIZE + 5  # the last batch is short, and eight devices do not divide it


def shifted(inputs):
  """Returns images that are shifted by one number each."""
  return inputs['images'] + inputs['shifts'][:, None, None, None]


def small(num_classes: int, rngs: nnx.Rngs) -> nnx.Module:
  """A network of two inputs, and of all that depends on the whole batch or on random numbers."""
  return nnx.Sequential(
    shifted,
    nnx.Conv(3, 8, (3, 3), rngs=rngs),
    BatchNorm(8, rngs=rngs),
    nnx.relu,
    nnx.Dropout(0.3, rngs=rngs),
    lambda x: x.mean((1, 2)),
    nnx.Linear(8, num_classes, rngs=rngs),
  )


def mean_margin(outputs, targets):
  """Returns a metric of the whole test split."""
  return (outputs[np.arange(len(targets)), targets] - outputs.max(1)).mean()


def wrn(num_classes: int, rngs: nnx.Rngs) -> nnx.Module:
  return models.WideResNet(10, 1, num_classes, dropout_rate=0.3, rngs=rngs)


def vit(num_classes: int, rngs: nnx.Rngs) -> nnx.Module:
  sizes = {'patch_size': 4, 'hidden_size': 24, 'depth': 2, 'num_heads': 3, 'mlp_size': 40}
  return models.VisionTransformer(num_classes, image_size=8, rngs=rngs, **sizes)


def m11(num_classes: int, rngs: nnx.Rngs) -> nnx.Module:
  return models.M11(num_classes, rngs=rngs)


# With the shape of an input, and the learning rate. M11's many batch norms over few values magnify
# any rounding a thousandfold within a few updates at the others' rate: with one device, too, if the
# inputs are changed by a ten-millionth. In float64 its updates agree to 1e-15.
NETWORKS = {
  'small': (small, (8, 8, 3), 1e-3),
  'wrn': (wrn, (8, 8, 3), 1e-3),
  'm11': (m11, (1300,), 1e-5),
  'vit': (vit, (8, 8, 3), 1e-3),
}


def comparison_of(name: str) -> Comparison:
  network, shape, learning_rate = NETWORKS[name]
  draw = np.random.default_rng(0)

  def split(examples):
    labels = draw.integers(0, 4, examples)
    inputs = draw.normal(size=(examples, *shape)) + labels.reshape(-1, *[1] * len(shape)) / 2
    if name == 'small':
      inputs = {'images': inputs.astype('float32'), 'shifts': draw.normal(size=examples)}
    return Split(inputs, labels)

  return Comparison(
    name=name,
    dataset=Dataset(name, split(EXAMPLES), split(40), tuple('abcd')),
    network=network,
    epochs=EPOCHS,
    batch_size=BATCH_SIZE,
    schedule=Constant(learning_rate),
    arms=(LCAM,),
    metric=Metric('margin', mean_margin, True) if name == 'small' else wrong_answer,
  )


def train(comparison, workdir, stream=None, devices=None, leave_in_second_epoch=False):
  """Trains a run, or goes on with it; returns what came of it, None if it is left."""
  trainer = Trainer(comparison, comparison.load(), Settings(stream=stream, device_limit=devices))
  directory = run_directory(workdir, LCAM.name, 0)
  config = run_config(comparison, LCAM, 0, dataset=comparison.name)
  directory.mkdir(parents=True, exist_ok=True)
  records = []

  def on_epoch(index, record, steps_per_second):
    records.append(record)
    if leave_in_second_epoch:
      interrupts.requested = signal.SIGTERM

  with (
    contextlib.suppress(InterruptedRunError),
    sole_writer_of(directory),
    Training(trainer, [Run(Start(LCAM, 0), directory, config)], directory, print) as training,
    Interrupts() as interrupts,
  ):
    start = training.epoch
    training.train(interrupts, Watcher(on_epoch, lambda index, words: None))
  if leave_in_second_epoch:
    return None
  state = training.state
  return {
    'where': trainer.where,
    'start': start,
    'records': records,
    'phases': read_phases(directory, comparison.epochs).tolist(),
    'batch_statistics': [
      leaf.tolist()
      for leaf in jax.tree.leaves(state.model_state)
      if jnp.issubdtype(leaf.dtype, jnp.floating)  # no keys or counts of dropout
    ],
    'replicas_agree': all(
      np.array_equal(shard.data, leaf.addressable_shards[0].data)
      for leaf in jax.tree.leaves(state.params)
      for shard in leaf.addressable_shards
    ),
  }


def collectives(comparison) -> list[str]:
  """Returns the collective operations of the training step as compiled."""
  trainer = Trainer(comparison, comparison.load())
  state, step = trainer.start(LCAM, 0)
  batch = next(trainer.train_input.epoch(0, 0, BATCH_SIZE))
  program = step.lower(state, batch, 0, 0, 0).compile().as_text()
  kinds = 'all-reduce|reduce-scatter|all-gather|all-to-all|collective-permute'
  return sorted(set(re.findall(rf' ({kinds})(?:-start)?\(', program)))


def main(name: str) -> None:
  comparison = comparison_of(name)
  with tempfile.TemporaryDirectory() as folder:
    workdir = pathlib.Path(folder)
    found = {
      'one': train(comparison, workdir / 'one', devices=1),
      'eight': train(comparison, workdir / 'eight'),
      'collectives': collectives(comparison),
    }
    if name == 'small':
      for change, before, after, stream in (('8 to 1', 8, 1, True), ('1 to 8', 1, 8, False)):
        settings = {'devices': before, 'stream': stream, 'leave_in_second_epoch': True}
        train(comparison, workdir / change, **settings)
        found[change] = train(comparison, workdir / change, devices=after)
      found['chosen'] = []
      for rows, limit in ((16, None), (50, None), (13, None), (12, 5)):
        devices = choose_devices(rows, limit)
        found['chosen'].append([devices.count, describe_devices(devices, rows, limit)])
  print(json.dumps(found))


if __name__ == '__main__':
  main(sys.argv[1])
