"""Measures what correlates with a high loss: gradient, trace, updates, and the batch itself.

    python -m benchmarks.loss_phase [--dataset cifar10] [--batch-size 128] [--workdir runs/loss_phase]

LCAM chooses its momentum by whether a batch's loss is above the epoch's mean so far. This program
trains WRN-10-1 with plain SGD (momentum 0.9, so that no choice feeds back) and figure 3's schedule
in fewer epochs. At every step it compares the loss minus that mean with

* the loss of another batch with the same weights, minus its own mean so far. What two batches share
  is due to the weights, including their progress within the epoch; the rest is the luck of the
  draw. The correlation is the share of the variance that is due to the weights;
* the norm of the gradient, without weight decay;
* the alignment: the cosine of the angle between that gradient and the trace before the step;
* the update of each layer in the same step: its norm divided by that of the weights.

Pearson's correlation is computed within each epoch, over its full batches. The first epoch is
listed separately, because everything falls steeply in it. The program writes correlations.csv (one
row per seed, epoch and quantity) and loss_phase.png.
"""

import csv
import pathlib
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import tyro
from matplotlib.figure import Figure
from rich.console import Console
from rich.progress import track
from rich.table import Table

from train.data import Batch, Preprocessing, gather, make_input, step_key
from train.problem.changes import Changes, changed_comparisons
from train.problem.comparison import BASELINE, Comparison
from train.system.errors import UserError
from train.system.statistics import Estimate, estimate, format_estimate
from train.training.programs import Programs, TrainState, make_initializer, make_programs

COLUMNS = ('dataset', 'batch_size', 'seed', 'epoch', 'learning_rate', 'quantity', 'correlation')
FIRST_EPOCH = 'epoch 1'
MIN_BATCHES = 4  # in an epoch; the first is left out, and two points always lie on a line


class Watched(NamedTuple):
  """What :func:`watch` records of a step.

  Attributes:
    loss: The loss of the batch.
    gradient_norm: The norm of its gradient, before weight decay.
    alignment: The cosine of the angle between gradient and trace.
    updates: By layer, the norm of the update divided by that of the weights.
  """

  loss: jax.Array
  gradient_norm: jax.Array
  alignment: jax.Array
  updates: dict[str, jax.Array]


class WatchState(NamedTuple):
  """The state of the watched optimizer, and the record of its last step."""

  inner: Any
  watched: Watched


def main(
  dataset: str = 'cifar10',
  train_examples: int | None = None,
  epochs: int = 20,
  batch_size: int = 128,
  seeds: tuple[int, ...] = (0, 1, 2),
  workdir: pathlib.Path = pathlib.Path('runs/loss_phase'),
  data_dir: str | None = None,
) -> None:
  """Trains, prints the correlations, and writes them with a plot.

  Args:
    dataset: images to train on; `digits` needs no download.
    train_examples: the number of examples to use, from the first on; all if not given.
    epochs: passes over them; the learning rate drops as in figure 3.
    batch_size: examples per step.
    seeds: one training each.
    workdir: the folder for the table and the plot.
    data_dir: the folder of TFDS's data sets; TFDS's own default if not given.
  """
  (comparison,) = changed_comparisons(
    'figure3',
    Changes(
      seeds=tuple(map(str, seeds)),
      dataset=dataset,
      depth=10,
      width=1,
      epochs=epochs,
      train_examples=train_examples,
      batch_size=batch_size,
    ),
  )
  rows = measure(comparison, data_dir)
  workdir.mkdir(parents=True, exist_ok=True)
  with (workdir / 'correlations.csv').open('w', newline='') as file:
    csv.writer(file).writerows([COLUMNS, *([dataset, batch_size, *row] for row in rows)])
  means = average(rows)
  title = (
    f'Correlation with loss minus mean so far: {dataset}, batch {batch_size}; '
    f'mean over epochs and {len(comparison.seeds)} seeds, 95 % confidence interval'
  )
  show(means, title)
  plot(means, title, workdir / 'loss_phase.png')
  print(f'Plot: {workdir / "loss_phase.png"}')


def watch(
  optimizer: optax.GradientTransformationExtraArgs,
) -> optax.GradientTransformationExtraArgs:
  """Returns the same optimizer, which also records its inputs and its updates."""

  def init_fn(params):
    layers = {name: jnp.zeros([]) for name in kernels(params)}
    return WatchState(optimizer.init(params), Watched(*jnp.zeros(3), layers))

  def update_fn(updates, state, params, *, value, **extra_args):
    new, inner = optimizer.update(updates, state.inner, params, value=value, **extra_args)
    trace = optax.tree.get(state.inner, 'trace')
    gradient_norm = optax.tree.norm(updates)
    lengths = gradient_norm * optax.tree.norm(trace)
    alignment = optax.tree.vdot(updates, trace) / jnp.where(lengths, lengths, 1)
    sizes = jax.tree.map(
      lambda u, p: jnp.linalg.norm(u) / jnp.linalg.norm(p), kernels(new), kernels(params)
    )
    return new, WatchState(
      inner, Watched(jnp.asarray(value, float), gradient_norm, alignment, sizes)
    )

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


def measure(comparison: Comparison, data_dir: str | None) -> list[tuple]:
  """Trains once per seed and returns rows: seed, epoch, learning rate, quantity, correlation.

  Args:
    comparison: The training; its arms are not used.
    data_dir: The folder of TFDS's data sets; None is TFDS's own default.

  Raises:
    UserError: If the data set cannot be loaded, its epochs are too short, or a loss is not finite.
  """
  dataset = comparison.load(data_dir)
  whole_batches = len(dataset.train) // comparison.batch_size
  if whole_batches < MIN_BATCHES:
    raise UserError(
      f'{len(dataset.train)} examples make {whole_batches} batches of {comparison.batch_size}, too '
      'few for a correlation: choose a smaller --batch-size.'
    )
  source = make_input(dataset.train)
  steps_per_epoch = source.steps_per_epoch(comparison.batch_size)
  schedule = comparison.schedule.build(comparison.epochs, steps_per_epoch)
  programs = make_programs(comparison, dataset.num_classes)
  optimizer = watch(comparison.build_optimizer(BASELINE, steps_per_epoch, seed=0))
  step = programs.make_train_step(optimizer)
  initialize = make_initializer(comparison, dataset.num_classes, programs.model)
  loss_of_another = make_loss_of_another(programs, comparison.preprocessing)

  rows = []
  for seed in comparison.seeds:
    state = programs.initial_state(initialize(seed), optimizer, steps_per_epoch)
    for epoch in track(range(comparison.epochs), f'seed {seed}'):
      noted, others = [], []
      pairs = zip(
        source.epoch(seed, epoch, comparison.batch_size),
        source.epoch(seed + 1, epoch, comparison.batch_size),
        strict=True,
      )
      for index, (batch, other) in enumerate(pairs):
        others.append(loss_of_another(state, other, seed + 1, epoch, index))
        state = step(state, batch, seed, epoch, index)
        noted.append(state.opt_state.watched)
      # A short batch has a noisier loss and a larger gradient.
      noted, others = jax.device_get((noted[:whole_batches], others[:whole_batches]))
      rate = f'{float(schedule(epoch * steps_per_epoch)):.6g}'
      rows += [
        (seed, epoch + 1, rate, name, f'{value:.6f}')
        for name, value in correlations_of_epoch(noted, others).items()
      ]
  return rows


def make_loss_of_another(programs: Programs, preprocessing: Preprocessing) -> Callable:
  """Returns a jitted function of state, batch, seed, epoch and step: the loss, in training mode.

  Args:
    programs: The programs of the network.
    preprocessing: Turns raw inputs into inputs of the network.
  """

  @programs.jit
  def loss_of_another(state: TrainState, batch: Batch, seed, epoch, step):
    inputs, labels = gather(batch)
    inputs = preprocessing.train(step_key(seed, epoch, step), inputs)
    loss, _ = programs.loss(state.params, state.model_state, inputs, labels)
    return loss

  return loss_of_another


def correlations_of_epoch(noted: list[Watched], others: list[np.ndarray]) -> dict[str, float]:
  """Returns the correlation of loss minus mean with each of the other quantities.

  Args:
    noted: The record of each step of an epoch.
    others: The loss of another batch before each of these steps.

  Raises:
    UserError: If a loss is NaN or infinite.
  """
  losses = np.array([step.loss for step in noted], float)
  if not np.isfinite(losses).all():
    raise UserError('The training diverged, so nothing can be correlated: use more examples.')
  layers = sorted(noted[0].updates, key=lambda name: (name != 'stem', name))
  quantities = {
    'loss of another batch': minus_mean_so_far(np.array(others, float)),
    'gradient norm': [step.gradient_norm for step in noted],
    'alignment with the trace': [step.alignment for step in noted],
    **{f'update of {layer}': [step.updates[layer] for step in noted] for layer in layers},
  }
  deviation = minus_mean_so_far(losses)
  # The first loss of an epoch is its own mean.
  return {
    name: float(np.corrcoef(deviation[1:], np.array(values[1:], float))[0, 1])
    for name, values in quantities.items()
  }


def minus_mean_so_far(losses: np.ndarray) -> np.ndarray:
  """Returns each loss minus the mean of the losses so far, this one included."""
  return losses - np.cumsum(losses) / np.arange(1, len(losses) + 1)


def average(rows: list[tuple]) -> dict[str, dict[str, Estimate]]:
  """Returns the mean correlation by quantity and stage, with its interval over seeds.

  A stage is a learning rate; the first epoch is a stage of its own.
  """
  by_seed: dict[tuple[str, str], dict[int, list[float]]] = {}
  for seed, epoch, rate, name, value in rows:
    stage = FIRST_EPOCH if epoch == 1 else f'lr {rate}'
    by_seed.setdefault((name, stage), {}).setdefault(seed, []).append(float(value))
  means: dict[str, dict[str, Estimate]] = {}
  for (name, stage), seeds in by_seed.items():
    values = np.array([np.mean(epochs) for epochs in seeds.values()])
    means.setdefault(name, {})[stage] = estimate(values)
  return means


def show(means: dict[str, dict[str, Estimate]], title: str) -> None:
  """Prints a row per quantity and a column per stage."""
  stages = list(next(iter(means.values())))
  table = Table(title=title)
  table.add_column('', no_wrap=True)
  for stage in stages:
    table.add_column(stage, justify='right')
  for name, by_stage in means.items():
    table.add_row(name, *(format_estimate(by_stage[stage], sign='+') for stage in stages))
  Console().print(table)


def plot(means: dict[str, dict[str, Estimate]], title: str, path: pathlib.Path) -> None:
  """Draws the correlations, a row per quantity and a mark per stage."""
  names = list(means)[::-1]
  stages = list(means[names[0]])
  # As wide as this, letters are legible on a phone.
  figure = Figure(figsize=(5.5, 0.5 * len(names) + 2), layout='constrained')
  axis = figure.subplots()
  for index, stage in enumerate(stages):
    values = [means[name][stage] for name in names]
    axis.errorbar(
      [value.mean for value in values],
      np.arange(len(names)) + 0.14 * ((len(stages) - 1) / 2 - index),
      xerr=[0 if np.isinf(value.half_width) else value.half_width for value in values],
      fmt='o',
      markersize=4,
      label=stage,
    )
  axis.axvline(0, color='black', linewidth=0.8)
  axis.set_yticks(range(len(names)), names)
  axis.set(xlim=(-1, 1))
  figure.supxlabel(title.replace(': ', '\n').replace('; ', '\n'), fontsize='medium')
  axis.grid(alpha=0.3, axis='x')
  figure.legend(loc='outside upper left', ncols=2, frameon=False)
  figure.savefig(path, dpi=160)


if __name__ == '__main__':
  try:
    tyro.cli(main)
  except UserError as error:
    sys.exit(str(error))
