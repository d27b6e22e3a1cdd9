"""Measures what goes with a high loss: the gradient, the trace, the updates, and the batch itself.

    python -m benchmarks.loss_phase [--dataset cifar10] [--batch-size 128] [--workdir runs/loss_phase]

LCAM chooses its momentum by whether a batch's loss is above the epoch's mean so far. Here plain SGD
(momentum 0.9, so that no choice feeds back) trains WRN-10-1 as figure 3 does, and at every step the
loss minus that mean is put beside

* the norm of the gradient;
* the alignment, the cosine of the angle between the gradient and the trace before it is added;
* the update of each layer, its norm divided by that of the weights;
* the loss of another batch with the same weights, minus its own mean: what two batches share is due
  to the weights, the rest is the luck of the draw.

Pearson's correlation is taken within each epoch, so that the fall of all these in training does not
pass for one. It writes correlations.csv (one row per seed, epoch and quantity) and loss_phase.png.
"""

import csv
import dataclasses
import pathlib
import sys
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import tyro
from flax import nnx
from matplotlib import pyplot as plt
from rich.console import Console
from rich.progress import track
from rich.table import Table

from train.data import Batch, draw, load, make_input, preprocessing, step_key
from train.errors import UserError
from train.experiments import BASELINE, FIGURE_3, Network, Part
from train.networks import make_network
from train.optimizer import make_optimizer, make_schedule, set_arm
from train.statistics import Estimate, estimate, format_estimate
from train.step import EpochSums, TrainState, make_loss, make_train_step

COLUMNS = ('seed', 'epoch', 'learning_rate', 'quantity', 'correlation')


class Watched(NamedTuple):
  """What :func:`watch` notes of a step, in the order of the steps' losses.

  Attributes:
    loss: The loss of the batch.
    gradient_norm: The norm of its gradient, before weight decay.
    alignment: The cosine of the angle between gradient and trace.
    updates: The norm of each layer's update, divided by that of its weights.
  """

  loss: jax.Array
  gradient_norm: jax.Array
  alignment: jax.Array
  updates: Any


class WatchState(NamedTuple):
  """The state of the watched optimizer, and what was noted of its last step."""

  inner: Any
  watched: Watched


def main(
  dataset: str = 'cifar10',
  train_examples: int | None = None,
  epochs: int = 12,
  batch_size: int = 128,
  seeds: tuple[int, ...] = (0, 1, 2),
  workdir: pathlib.Path = pathlib.Path('runs/loss_phase'),
  data_dir: str | None = None,
) -> None:
  """Trains, prints the correlations, and writes them with a plot.

  Args:
    dataset: images to train on; `digits` needs no download.
    train_examples: use the first so many examples only.
    epochs: passes over them; the learning rate drops as in figure 3.
    batch_size: examples per step; an epoch must have three steps or more.
    seeds: one training each.
    workdir: where the table and the plot go.
    data_dir: where TFDS keeps its data sets; TFDS's own default if not given.
  """
  part = dataclasses.replace(
    FIGURE_3,
    network=Network('wide_resnet', depth=10, width=1),
    dataset=dataset,
    train_examples=train_examples,
    epochs=epochs,
    batch_size=batch_size,
  )
  workdir.mkdir(parents=True, exist_ok=True)
  rows = [row for seed in seeds for row in correlations_of_run(part, seed, data_dir)]
  with (workdir / 'correlations.csv').open('w', newline='') as file:
    csv.writer(file).writerows([COLUMNS, *rows])
  means = average(rows)
  show(means, part, len(seeds))
  plot(means, workdir / 'loss_phase.png')
  print(f'Plot: {workdir / "loss_phase.png"}')


def watch(
  optimizer: optax.GradientTransformationExtraArgs,
) -> optax.GradientTransformationExtraArgs:
  """Returns the same optimizer, which notes what it is given and what it does."""

  def note(updates, state, params, value, new_updates):
    trace = optax.tree.get(state, 'trace')
    gradient_norm = optax.tree.norm(updates)
    lengths = gradient_norm * optax.tree.norm(trace)
    alignment = optax.tree.vdot(updates, trace) / jnp.where(lengths, lengths, 1)
    sizes = jax.tree.map(
      lambda u, p: jnp.linalg.norm(u) / jnp.linalg.norm(p), kernels(new_updates), kernels(params)
    )
    return Watched(jnp.asarray(value), gradient_norm, alignment, sizes)

  def init_fn(params):
    state = optimizer.init(params)
    return WatchState(state, note(params, state, params, 0.0, params))

  def update_fn(updates, state, params, *, value, **extra_args):
    new, inner = optimizer.update(updates, state.inner, params, value=value, **extra_args)
    return new, WatchState(inner, note(updates, state.inner, params, value, new))

  return optax.GradientTransformationExtraArgs(init_fn, update_fn)


def kernels(params: Any) -> dict[str, jax.Array]:
  """Returns the weights of convolutions and linear layers by the names of the layers."""
  leaves = jax.tree_util.tree_leaves_with_path(params)
  names = (jax.tree_util.keystr(path, simple=True, separator='.') for path, _ in leaves)
  return {
    name.removesuffix('.value').removesuffix('.kernel'): leaf
    for name, (_, leaf) in zip(names, leaves, strict=True)
    if leaf.ndim > 1
  }


def correlations_of_run(part: Part, seed: int, data_dir: str | None) -> list[tuple]:
  """Trains with one seed and returns rows for ``COLUMNS``."""
  data = load(part.dataset, data_dir, part.train_examples)
  source, prepare = make_input(data.train), preprocessing(part.dataset)
  steps_per_epoch = source.steps_per_epoch(part.batch_size)
  if steps_per_epoch < 3:
    raise UserError(
      f'An epoch of {len(data.train)} examples has {steps_per_epoch} steps of {part.batch_size}, '
      'too few for a correlation: choose a smaller --batch-size.'
    )
  network = make_network(part.network, len(data.class_names), part.dtype, seed)
  optimizer = watch(make_optimizer(part, BASELINE, steps_per_epoch))
  step, loss_fn = make_train_step(network, optimizer, prepare), make_loss(network)
  schedule = make_schedule(part.schedule, part.epochs, steps_per_epoch)

  @jax.jit
  def loss_of_another(state: TrainState, batch: Batch, epoch, index):
    inputs, labels = draw(batch)
    # Its augmentation must not be that of the batch trained on.
    inputs = prepare.train(step_key(seed + 1, epoch, index), inputs)
    return loss_fn(state.params, state.rest, inputs, labels)[0]

  state = initial_state(network, optimizer, seed)
  rows = []
  for epoch in track(range(part.epochs), f'seed {seed}'):
    noted, others = [], []
    pairs = zip(
      source.epoch(seed, epoch, part.batch_size),
      source.epoch(seed + 1, epoch, part.batch_size),
      strict=True,
    )
    for index, (batch, other) in enumerate(pairs):
      others.append(loss_of_another(state, other, epoch, index))
      state = step(state, batch, seed, epoch, index)
      noted.append(state.opt_state.watched)
    quantities = quantities_of_epoch(*jax.device_get((noted, others)))
    deviation = minus_mean_so_far(quantities.pop('loss'))
    rate = float(schedule(epoch * steps_per_epoch))
    rows += [
      (seed, epoch + 1, f'{rate:.6g}', name, f'{correlation(deviation, values):.6f}')
      for name, values in quantities.items()
    ]
  return rows


def initial_state(network, optimizer, seed: int) -> TrainState:
  """Returns the state before the first step."""
  _, params, rest = nnx.split(network, nnx.Param, ...)
  opt_state = set_arm(optimizer.init(params), BASELINE, seed)
  return TrainState(params, rest, opt_state, EpochSums.zeros())


def quantities_of_epoch(noted: list[Watched], others: list[np.ndarray]) -> dict[str, np.ndarray]:
  """Returns the loss and what may go with it, each an array over the steps of an epoch."""
  return {
    'loss': np.array([step.loss for step in noted], float),
    'loss of another batch': minus_mean_so_far(np.array(others, float)),
    'gradient norm': np.array([step.gradient_norm for step in noted], float),
    'alignment with the trace': np.array([step.alignment for step in noted], float),
    **{
      f'update of {layer}': np.array([step.updates[layer] for step in noted], float)
      for layer in sorted(noted[0].updates, key=lambda name: (name != 'stem', name))
    },
  }


def minus_mean_so_far(losses: np.ndarray) -> np.ndarray:
  """Returns losses minus the mean of those seen so far, each itself included."""
  return losses - np.cumsum(losses) / np.arange(1, len(losses) + 1)


def correlation(first: np.ndarray, second: np.ndarray) -> float:
  """Returns Pearson's correlation, without the first step of an epoch, which is always a tie."""
  return float(np.corrcoef(first[1:], second[1:])[0, 1])


def average(rows: list[tuple]) -> dict[str, dict[float, Estimate]]:
  """Returns the mean correlation by quantity and learning rate, with its interval over seeds."""
  by_seed: dict[tuple[str, float], dict[int, list[float]]] = {}
  for seed, _, rate, name, value in rows:
    by_seed.setdefault((name, float(rate)), {}).setdefault(seed, []).append(float(value))
  means: dict[str, dict[float, Estimate]] = {}
  for (name, rate), seeds in by_seed.items():
    values = np.array([np.mean(epochs) for epochs in seeds.values()])
    means.setdefault(name, {})[rate] = estimate(values)
  return means


def show(means: dict[str, dict[float, Estimate]], part: Part, seeds: int) -> None:
  """Prints a row per quantity and a column per learning rate."""
  rates = list(next(iter(means.values())))
  table = Table(
    title=f'Correlation with loss minus mean: {part.dataset}, batch {part.batch_size}, {seeds} seeds'
  )
  table.add_column('')
  for rate in rates:
    table.add_column(f'lr {rate:g}', justify='right')
  for name, by_rate in means.items():
    table.add_row(name, *(format_estimate(by_rate[rate], sign='+') for rate in rates))
  Console().print(table)


def plot(means: dict[str, dict[float, Estimate]], path: pathlib.Path) -> None:
  """Draws the correlations, a row per quantity and a mark per learning rate."""
  names = list(means)[::-1]
  rates = list(means[names[0]])
  figure, axis = plt.subplots(figsize=(9, 0.38 * len(names) + 1.6), layout='constrained')
  for index, rate in enumerate(rates):
    values = [means[name][rate] for name in names]
    heights = np.arange(len(names)) + 0.15 * ((len(rates) - 1) / 2 - index)
    half_widths = [0 if np.isinf(value.half_width) else value.half_width for value in values]
    axis.errorbar(
      [value.mean for value in values],
      heights,
      xerr=half_widths,
      fmt='o',
      markersize=4,
      label=f'learning rate {rate:g}',
    )
  axis.axvline(0, color='black', linewidth=0.8)
  axis.set_yticks(range(len(names)), names)
  axis.set(xlabel='correlation with loss minus mean, within epochs', xlim=(-1, 1))
  axis.grid(alpha=0.3, axis='x')
  figure.legend(loc='outside upper center', ncols=len(rates), frameon=False)
  figure.savefig(path, dpi=130)
  plt.close(figure)


if __name__ == '__main__':
  try:
    tyro.cli(main)
  except UserError as error:
    sys.exit(str(error))
