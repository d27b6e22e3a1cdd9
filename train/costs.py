"""What experiments cost: steps, parameters, arithmetic, and the hours to expect on this device."""

import functools
import math
import time

import jax
import jax.numpy as jnp
from flax import nnx
from rich.console import Console
from rich.padding import Padding

from train.data import SOURCES, Batch
from train.experiments import EXPERIMENTS, Part, describe_network, find_parts
from train.networks import make_network
from train.optimizer import make_optimizer
from train.setup import preprocessing
from train.step import EpochSums, TrainState, make_train_step

PROBE_STEPS = 10


def list_experiments(console: Console, probed: tuple[str, ...]) -> None:
  """Prints the experiments, their arms and what they cost.

  Args:
    console: Where to print.
    probed: Experiments of which ten steps are timed on this device.

  Raises:
    UserError: If one of them does not exist.
  """
  probed_parts = {id(part) for name in probed for part in find_parts(name)}
  with console.status('Counting what the experiments cost ...') as status:
    for experiment, parts in EXPERIMENTS.items():
      console.print(f'\n[bold]{experiment}[/]', highlight=False)
      for part in parts:
        parameters, flops = step_cost(part)
        steps, runs = steps_per_epoch(part) * part.epochs, len(part.arms) * len(part.seeds)
        costs = [
          f'{parameters:,} parameters',
          f'{runs} runs of {steps:,} steps and {flops * steps / 1e15:.3g} PFLOP',
        ]
        if id(part) in probed_parts:
          status.update(f'Timing {PROBE_STEPS} steps of {experiment}, {part.name} ...')
          costs.append(f'{runs * steps * step_seconds(part) / 3600:.2f} hours here')
        network = describe_network(part.network)
        lines = [
          f'{part.name}: {part.summary}',
          f'  {network} on {part.dataset}, {part.epochs} epochs of batch {part.batch_size}',
          f'  {"; ".join(costs)}',
          f'  arms: {" ".join(arm.name for arm in part.arms)}',
        ]
        if part.extra_arms:
          lines.append(f'  on request: {" ".join(arm.name for arm in part.extra_arms)}')
        if part.reported:
          lines.append(f'  the paper: {part.reported}')
        for line in lines:
          console.print(Padding(line, (0, 0, 0, 2)), highlight=False)
  console.print(
    '\nArms on request are run when --arms names them. `list --probe NAME ...` times ten steps, to '
    f'tell the hours of training on this device ({jax.devices()[0].device_kind}).',
    highlight=False,
  )


def steps_per_epoch(part: Part) -> int:
  """Returns the number of steps of an epoch, a short last one included."""
  return math.ceil(SOURCES[part.dataset].train_examples / part.batch_size)


def step_cost(part: Part) -> tuple[int, float]:
  """Returns the number of parameters, and the floating-point operations of a whole batch's step."""
  cost = _example_cost(part.network, part.dataset)
  return cost[0], cost[1] * part.batch_size


def step_seconds(part: Part) -> float:
  """Returns the seconds of a step, timed over ten of them on random data after the first."""
  step, state, batch = _program(part)
  state = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), state)
  inputs = jax.random.bits(jax.random.key(0), batch.inputs.shape, 'uint8').astype(
    batch.inputs.dtype
  )
  rows = jnp.arange(part.batch_size, dtype=jnp.int32)
  batch = Batch(inputs, jnp.zeros(part.batch_size, jnp.int32), rows)
  state = jax.block_until_ready(step(state, batch, 0, 0, 0))
  start = time.perf_counter()
  for index in range(PROBE_STEPS):
    state = step(state, batch, 0, 0, index)
  jax.block_until_ready(state)
  return (time.perf_counter() - start) / PROBE_STEPS


@functools.cache
def _example_cost(network, dataset):
  # XLA counts the operations of the program before it optimizes it, without compiling it.
  part = Part('', '', '', dataset, network, batch_size=16)
  step, state, batch = _program(part)
  flops = step.lower(state, batch, 0, 0, 0).cost_analysis()['flops']
  parameters = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(state.params))
  return parameters, flops / part.batch_size


def _program(part):
  """Returns the training step of a part, with the shapes of its state and of a batch."""
  source = SOURCES[part.dataset]
  structure = nnx.eval_shape(
    lambda: make_network(part.network, source.num_classes, part.dtype, seed=0)
  )
  optimizer = make_optimizer(part, part.arms[0], steps_per_epoch(part))
  step = make_train_step(structure, optimizer, preprocessing(part.dataset, part.network.image_size))
  _, params, rest = nnx.split(structure, nnx.Param, ...)
  state = TrainState(
    params,
    rest,
    jax.eval_shape(optimizer.init, params),
    jax.eval_shape(EpochSums.zeros),
  )
  batch = Batch(
    jax.ShapeDtypeStruct((part.batch_size, *source.shape), source.dtype),
    jax.ShapeDtypeStruct((part.batch_size,), 'int32'),
    jax.ShapeDtypeStruct((part.batch_size,), 'int32'),
  )
  return step, state, batch
