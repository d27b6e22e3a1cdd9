"""What experiments cost: steps, parameters, arithmetic, memory, and the hours to expect on this device."""

import dataclasses
import math
import time
from collections.abc import Hashable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from rich.console import Console
from rich.padding import Padding
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Column

from train.data import Batch, DataSource
from train.problem.arms import ARM_FORMS, Arm
from train.problem.comparison import Comparison
from train.problem.experiments import EXPERIMENTS, find_comparisons
from train.system.devices import ONE_DEVICE, Devices, choose_devices
from train.system.errors import UserError
from train.training.memory import Memory, memory_of, size_of
from train.training.programs import TrainState, TrainStep, make_programs

PROBE_SECONDS = 10.0
MAX_PROBE_STEPS = 10
_BAR_WIDTH = 20
_UNITS = ((1e15, 'PFLOP'), (1e12, 'TFLOP'), (1e9, 'GFLOP'), (1e6, 'MFLOP'))


def list_experiments(console: Console, names: tuple[str, ...], probed: tuple[str, ...]) -> None:
  """Prints experiments, their arms and what they cost, each as soon as it is known.

  Args:
    console: Where to print.
    names: Which ones; all if neither these nor others to probe are named.
    probed: Which ones besides, of which a step is timed on this device, too.

  Raises:
    UserError: If one of them does not exist.
  """
  for name in (*names, *probed):
    if name.endswith('.py'):
      raise UserError(f'list knows the experiments of the paper only, not {name}.')
  listed = {name: find_comparisons(name) for name in (*names, *probed)} or EXPERIMENTS
  timed = {_key(comparison) for name in probed for comparison in listed[name]}
  measured: dict[Hashable, Measured] = {}
  with Progress(
    TextColumn('{task.description}', markup=False, table_column=Column(no_wrap=True)),
    BarColumn(bar_width=_BAR_WIDTH),
    console=console,
    transient=True,
  ) as progress:
    for experiment, several in listed.items():
      console.print(f'\n[bold]{experiment}[/]', highlight=False)
      for comparison in several:
        key = _key(comparison)
        if key not in measured:
          measured[key] = measure(comparison, key in timed, progress)
        for line in describe(comparison, measured[key]):
          indent = 2 + len(line) - len(line.lstrip())  # of what runs over to the next line, too
          console.print(Padding(line.lstrip(), (0, 0, 0, indent), expand=False), highlight=False)
  console.print(
    f'\n--arms takes these names, and any other of {ARM_FORMS}. `list --probe NAME ...` also times '
    f'a step, to tell the hours of a training on this device ({jax.devices()[0].device_kind}).',
    highlight=False,
  )


@dataclasses.dataclass(frozen=True)
class Measured:
  """What the compiled training step of a comparison's first arm tells.

  Attributes:
    devices: The devices that train a run.
    params: The shapes of the parameters.
    flops: The floating-point operations of a step on a whole batch.
    memory: The memory that a training takes.
    seconds: What a step takes; None if it was not timed.
  """

  devices: Devices
  params: Any
  flops: float
  memory: Memory
  seconds: float | None


def describe(comparison: Comparison, measured: Measured) -> list[str]:
  """Returns lines on a comparison of a named data set and what it costs.

  Args:
    comparison: The comparison.
    measured: What its compiled step tells.
  """
  steps = steps_per_epoch(comparison) * comparison.epochs
  runs = len(comparison.arms) * len(comparison.seeds)
  parameters = sum(leaf.size for leaf in jax.tree.leaves(measured.params))
  costs = [
    f'{parameters:,} parameters',
    f'{runs} runs of {steps:,} steps and {format_flops(measured.flops * steps)}',
  ]
  if measured.seconds is not None:
    costs.append(f'{format_hours(runs * steps * measured.seconds)} here')
  memory = measured.memory.describe(
    measured.devices, comparison.arms[0].name, _larger_state(comparison, measured.params)
  )
  low, high = comparison.pair
  lines = [
    f'{comparison.name}: {comparison.about.summary}',
    f'  {comparison.network.describe()} on {comparison.dataset.name}, {comparison.epochs} epochs of '
    f'batch {comparison.batch_size}',
    f'  {"; ".join(costs)}',
    *(f'  {line}' for line in memory),
    f'  arms: {" ".join(arm.name for arm in comparison.arms)}',
    f'  controls of low {low:g}, high {high:g}: yoked coin swapped',
  ]
  if comparison.about.reported:
    lines.append(f'  the paper: {comparison.about.reported}')
  return lines


def format_flops(flops: float) -> str:
  """Returns floating-point operations in the unit that gives a readable number.

  Example:
    >>> format_flops(5.27e7), format_flops(1.3e18)
    ('52.7 MFLOP', '1,300 PFLOP')
  """
  size, unit = next((item for item in _UNITS if flops >= item[0]), _UNITS[-1])
  number = flops / size
  return f'{number:,.0f} {unit}' if number >= 1000 else f'{number:.3g} {unit}'


def format_hours(seconds: float) -> str:
  """Returns seconds as hours, with two digits where there are few.

  Example:
    >>> format_hours(90), format_hours(4e7)
    ('0.025 hours', '11,111 hours')
  """
  hours = seconds / 3600
  return f'{hours:,.0f} hours' if hours >= 10 else f'{hours:.2g} hours'


def steps_per_epoch(comparison: Comparison) -> int:
  """Returns the number of steps of an epoch, a short last one included."""
  return math.ceil(_source(comparison).train_examples / comparison.batch_size)


def step_flops(comparison: Comparison) -> float:
  """Returns the floating-point operations of a training step on a whole batch, before optimization.

  They are counted for the host's processor, because JAX counts only what is compiled for others, and
  some compilers hide a part of that in calls.
  """
  try:
    host = jax.local_devices(backend='cpu')[0]
  except RuntimeError:  # JAX_PLATFORMS leaves it out
    step, state, batch = abstract_step(comparison)
    return step.lower(state, batch, 0, 0, 0).compile().cost_analysis()['flops']
  with jax.default_device(host):
    step, state, batch = abstract_step(comparison)
    return step.lower(state, batch, 0, 0, 0).cost_analysis()['flops']


def measure(comparison: Comparison, timed: bool, progress: Progress) -> Measured:
  """Compiles the training step of a comparison for the devices here, which allocates nothing.

  Args:
    comparison: A comparison of a named data set.
    timed: Whether the step is then run and timed, if it fits into memory.
    progress: Where it is shown what is done; an estimate is, after the first step.
  """
  name = f'{comparison.network.describe()}, batch {comparison.batch_size}'
  task = progress.add_task(f'{name}: compiling', total=2 + MAX_PROBE_STEPS * timed)
  devices = choose_devices(comparison.batch_size)
  step, state, batch = abstract_step(comparison, devices)
  lowered = step.lower(state, batch, 0, 0, 0)
  progress.advance(task)
  compiled = lowered.compile()
  progress.advance(task)
  memory = memory_of(compiled, state, _source(comparison))
  counted = lowered.cost_analysis()  # None for devices other than a CPU
  flops = counted['flops'] if counted else step_flops(comparison)
  measured = Measured(devices, state.params, flops, memory, None)
  if timed and memory.fits:
    rows = jax.device_put(jnp.arange(comparison.batch_size, dtype='int32'), batch.rows.sharding)
    state, batch = jax.tree.map(
      lambda leaf: jnp.zeros(leaf.shape, leaf.dtype, device=leaf.sharding), (state, batch)
    )
    progress.update(task, description=f'{name}: timing')
    times: list[float] = []
    while len(times) < MAX_PROBE_STEPS and sum(times) < PROBE_SECONDS:
      start = time.perf_counter()
      state = jax.block_until_ready(compiled(state, batch._replace(rows=rows), 0, 0, len(times)))
      times.append(time.perf_counter() - start)
      run = format_hours(times[0] * steps_per_epoch(comparison) * comparison.epochs)
      progress.update(task, advance=1, description=f'{name}: about {run} a run')
    measured = dataclasses.replace(measured, seconds=float(np.median(times)))
  progress.remove_task(task)
  return measured


def _larger_state(comparison: Comparison, params: Any) -> tuple[str, int]:
  """Returns the arm with the largest state, and how many bytes larger than the first one's it is."""
  steps = steps_per_epoch(comparison)
  # Of arms with the same program the first; tracing how a state starts takes a while, too.
  arms = {arm.program: arm for arm in reversed(comparison.arms)}.values()
  sizes = {
    arm.name: size_of(jax.eval_shape(comparison.build_optimizer(arm, steps, 0).init, params))
    for arm in arms
  }
  largest = max(sizes, key=sizes.get)
  return largest, sizes[largest] - sizes[comparison.arms[0].name]


def _key(comparison: Comparison) -> Hashable:
  """Returns what determines the program of its first arm."""
  return (
    comparison.network,
    _source(comparison).name,
    comparison.batch_size,
    comparison.dtype,
    comparison.arms[0].program,
  )


def _source(comparison: Comparison) -> DataSource:
  assert isinstance(comparison.dataset, DataSource)  # experiments have no other data
  return comparison.dataset


def abstract_step(
  comparison: Comparison, devices: Devices = ONE_DEVICE, arm: Arm | None = None
) -> tuple[TrainStep, TrainState, Batch]:
  """Returns a training step with the shapes of its state and of a whole batch; allocates nothing.

  Args:
    comparison: A comparison of a named data set.
    devices: The devices that the batch is divided among.
    arm: The optimizer; the comparison's first if not given.
  """
  source, steps = _source(comparison), steps_per_epoch(comparison)
  programs = make_programs(comparison, source.num_classes, devices)
  optimizer = comparison.build_optimizer(arm or comparison.arms[0], steps, seed=0)
  state = nnx.eval_shape(
    lambda model: programs.initial_state(model, optimizer, steps), programs.model
  )
  whole, rows = devices.replicated, devices.sharding_of_rows(comparison.batch_size)
  state = jax.tree.map(
    lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=whole), state
  )
  batch = Batch(
    jax.ShapeDtypeStruct((comparison.batch_size, *source.shape), source.dtype, sharding=whole),
    jax.ShapeDtypeStruct((comparison.batch_size,), 'int32', sharding=whole),
    jax.ShapeDtypeStruct((comparison.batch_size,), 'int32', sharding=rows),
  )
  return programs.make_train_step(optimizer), state, batch
