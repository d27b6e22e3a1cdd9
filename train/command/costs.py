"""Lists experiments with their costs: arithmetic, memory and, where a step is timed, hours."""

import math
import time
from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from rich.console import Console
from rich.padding import Padding
from rich.status import Status
from rich.table import Table

from train.data import Batch, DataSource
from train.data.inputs import is_streamed
from train.problem.arms import ARM_FORMS, Arm
from train.problem.comparison import Comparison
from train.problem.experiments import EXPERIMENTS, find_comparisons
from train.system.devices import ONE_DEVICE, Devices, choose_devices
from train.system.environment import check_devices
from train.system.errors import UserError
from train.training.memory import memory_limit, step_bytes
from train.training.programs import TrainState, TrainStep, make_programs

_PROBE_SECONDS = 10.0
_MOST_PROBE_STEPS = 10
FLOP = ((1e15, 'PFLOP'), (1e12, 'TFLOP'), (1e9, 'GFLOP'), (1e6, 'MFLOP'))
BYTES = ((2**30, 'GiB'), (2**20, 'MiB'), (2**10, 'KiB'), (1, 'bytes'))
HOURS = ((3600, 'hours'),)
# While a checkpoint is written: the trainer's copy, Orbax's and its encoded form.
_CHECKPOINT_COPIES = 3
_LABEL_BYTES = 4


def list_experiments(console: Console, names: tuple[str, ...], probed: tuple[str, ...]) -> None:
  """Prints all experiments in short, or the named ones with costs; times a step of the probed ones."""
  if not (names or probed):
    _print_all(console)
    return
  check_devices()
  for name in (*names, *probed):
    if name.endswith('.py'):
      raise UserError(f'list knows the experiments of the paper only, not {name}.')
  listed = {name: find_comparisons(name) for name in (*names, *probed)}
  timed = {_key(comparison) for name in probed for comparison in listed[name]}
  measured: dict[Hashable, Costs] = {}
  with console.status('') as status:
    for experiment, comparisons in listed.items():
      console.print(f'\n[bold]{experiment}[/]', highlight=False)
      for comparison in comparisons:
        key = _key(comparison)
        if key not in measured:
          measured[key] = measure(comparison, key in timed, status)
        title = f'{comparison.name}: {comparison.about.summary}'
        table = Table.grid(padding=(0, 2, 0, 0))
        for row in _rows(comparison, measured[key]):
          table.add_row(*row)
        for lines, indent in ((title, 2), (table, 4)):
          console.print(Padding(lines, (0, 0, 0, indent), expand=False), highlight=False)
  console.print(
    f'\n--arms takes these names, and any other of {ARM_FORMS}. `list --probe NAME ...` also times '
    f'a step, to estimate the hours of a training on this device ({jax.devices()[0].device_kind}).',
    highlight=False,
  )


def _print_all(console: Console) -> None:
  """Prints how long each experiment is, which needs no program."""
  for experiment, comparisons in EXPERIMENTS.items():
    first, *others = dict.fromkeys(one.about.summary for one in comparisons)
    console.print(f'[bold]{experiment}[/]' + ('' if others else f': {first}'), highlight=False)
    for one in comparisons:
      steps, runs = _steps_and_runs(one)
      console.print(
        f'  {one.name:<16}{one.network.describe():<16}{runs:>3} runs of {steps:>7,} steps, '
        f'{runs * steps:>9,} in all',
        highlight=False,
      )
  console.print(
    '\n`list NAME ...` tells arms, memory and arithmetic per run and in all, `list --probe NAME ...` '
    'also the hours here.',
    highlight=False,
  )


def _steps_and_runs(comparison: Comparison) -> tuple[int, int]:
  steps = steps_per_epoch(comparison) * comparison.epochs
  return steps, len(comparison.arms) * len(comparison.seeds)


class Costs(NamedTuple):
  """Costs of a comparison's first arm, from its compiled training step. Memory is in bytes."""

  devices: int  # that train a run
  params: Any  # the shapes of the parameters
  flops: float  # floating-point operations of a step on a whole batch
  # Memory of each device for the buffers of a step: the state, activations, the batch. On a CPU, calls
  # and the allocator were seen to take 1.1 to 5 times as much.
  step: int
  state: int  # the part of it that stays: parameters, statistics, the state of the optimizer
  data: int  # memory of the host for the data set; the arrays of TFDS are mapped from disk
  resident: int  # the part of the data that each device also holds
  seconds: float | None = None  # the time of a step, if measured

  @property
  def fits(self) -> bool:
    """Whether a device has the memory of a step."""
    return self.step + self.resident <= memory_limit()


def _rows(comparison: Comparison, costs: Costs) -> list[tuple[str, str]]:
  steps, runs = _steps_and_runs(comparison)
  training = []
  for number, words in ((1, 'per run'), (runs, f'in all, {runs} runs')):
    cost = f'{number * steps:,} steps, {in_unit(number * costs.flops * steps, FLOP)}'
    if costs.seconds is not None:
      cost += f', {in_unit(number * steps * costs.seconds, HOURS)} here'
    training.append(f'{words}: {cost}')
  parameters = sum(leaf.size for leaf in jax.tree.leaves(costs.params))

  memory = f'each of {costs.devices} x ' if costs.devices > 1 else ''
  memory += (
    f'{jax.devices()[0].device_kind}: at least {in_unit(costs.step, BYTES)} for a training step of '
    f'{comparison.arms[0].name}, {in_unit(costs.state, BYTES)} of it the state'
  )
  larger, more = _larger_state(comparison, costs.params)
  if more > costs.state / 10:
    memory += f' ({in_unit(more, BYTES)} more with {larger})'
  if costs.resident:
    memory += f', and {in_unit(costs.resident, BYTES)} for the data'
  if not costs.fits:
    memory += f': more than its {in_unit(memory_limit(), BYTES)}'
  host = (
    f'{in_unit(costs.data, BYTES)} for the data, up to '
    f'{in_unit(_CHECKPOINT_COPIES * (costs.state + more), BYTES)} while a checkpoint is written'
  )

  low, high = comparison.pair
  size = f'{comparison.epochs} epochs of batch {comparison.batch_size}'
  rows = (
    ('network', f'{comparison.network.describe()} on {comparison.dataset.name}, {size}'),
    ('', f'{parameters:,} parameters'),
    ('training', training[0]),
    ('', training[1]),
    ('memory', memory),
    ('', f'host: {host}'),
    ('arms', ' '.join(arm.name for arm in comparison.arms)),
    ('controls', f'yoked coin swapped, of low {low:g}, high {high:g}'),
    ('paper', comparison.about.reported),
  )
  return [(label, text) for label, text in rows if text]


def in_unit(number: float, units: Sequence[tuple[float, str]]) -> str:
  """Returns a number in the largest unit that it reaches; the units are in falling order.

  Example:
    >>> in_unit(5.27e7, FLOP), in_unit(1.3e18, FLOP), in_unit(291_905_819, BYTES)
    ('52.7 MFLOP', '1,300 PFLOP', '278 MiB')
  """
  size, unit = next((item for item in units if number >= item[0]), units[-1])
  number /= size
  return f'{number:,.0f} {unit}' if number >= 1000 else f'{number:.3g} {unit}'


def measure(comparison: Comparison, timed: bool, status: Status) -> Costs:
  """Compiles the training step of a comparison, and times it if asked to and if it fits."""
  name = f'{comparison.network.describe()}, batch {comparison.batch_size}'
  status.update(f'{name}: compiling')
  devices = choose_devices(comparison.batch_size)
  step, state, batch = abstract_step(comparison, devices)
  lowered = step.lower(state, batch, 0, 0, 0)
  compiled = lowered.compile()
  counted = lowered.cost_analysis()  # None for devices other than a CPU
  flops = counted['flops'] if counted else step_flops(comparison)
  data = data_bytes(comparison.dataset)
  costs = Costs(devices.count, state.params, flops, step_bytes(compiled), _bytes_of(state), *data)
  if not (timed and costs.fits):
    return costs
  rows = jax.device_put(jnp.arange(comparison.batch_size, dtype='int32'), batch.rows.sharding)
  state, batch = jax.tree.map(
    lambda leaf: jnp.zeros(leaf.shape, leaf.dtype, device=leaf.sharding), (state, batch)
  )
  status.update(f'{name}: timing')
  times: list[float] = []
  while len(times) < _MOST_PROBE_STEPS and sum(times) < _PROBE_SECONDS:
    start = time.perf_counter()
    state = jax.block_until_ready(compiled(state, batch._replace(rows=rows), 0, 0, len(times)))
    times.append(time.perf_counter() - start)
    run = in_unit(times[0] * steps_per_epoch(comparison) * comparison.epochs, HOURS)
    status.update(f'{name}: about {run} a run')
  return costs._replace(seconds=float(np.median(times)))


def steps_per_epoch(comparison: Comparison) -> int:
  """Returns the number of steps of an epoch, a short last one included."""
  return math.ceil(comparison.dataset.train_examples / comparison.batch_size)


def step_flops(comparison: Comparison) -> float:
  """Returns the floating-point operations of a training step on a whole batch, before optimization.

  Counts them for the host's CPU: for other devices JAX counts only the compiled program, of which
  some compilers hide a part in calls.
  """
  try:
    host = jax.local_devices(backend='cpu')[0]
  except RuntimeError:  # JAX_PLATFORMS excludes it
    host = None
  with jax.default_device(host):
    step, state, batch = abstract_step(comparison)
    lowered = step.lower(state, batch, 0, 0, 0)
    return (lowered if host else lowered.compile()).cost_analysis()['flops']


def data_bytes(source: DataSource) -> tuple[int, int]:
  """Returns the memory of a data set on the host, and of the part that each device also holds."""
  example = math.prod(source.shape) * np.dtype(source.dtype).itemsize + _LABEL_BYTES
  splits = [examples * example for examples in (source.train_examples, source.test_examples)]
  if jax.default_backend() == 'cpu':  # which reads the arrays of the host
    return sum(splits), 0
  return sum(splits), sum(size for size in splits if not is_streamed(size))


def _larger_state(comparison: Comparison, params: Any) -> tuple[str, int]:
  """Returns the arm with the largest state, and by how many bytes it exceeds the first arm's."""
  steps = steps_per_epoch(comparison)
  # The first of several arms with the same program, because tracing takes a while, too.
  arms = {arm.program: arm for arm in reversed(comparison.arms)}.values()
  sizes = {
    arm.name: _bytes_of(jax.eval_shape(comparison.build_optimizer(arm, steps, 0).init, params))
    for arm in arms
  }
  largest = max(sizes, key=sizes.get)
  return largest, sizes[largest] - sizes[comparison.arms[0].name]


def _bytes_of(arrays: Any) -> int:
  return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(arrays))


def _key(comparison: Comparison) -> Hashable:
  """Returns what determines the program of a comparison's first arm."""
  shared = comparison.network, comparison.dataset.name, comparison.batch_size, comparison.dtype
  return *shared, comparison.arms[0].program


def abstract_step(
  comparison: Comparison, devices: Devices = ONE_DEVICE, arm: Arm | None = None
) -> tuple[TrainStep, TrainState, Batch]:
  """Returns a training step, by default of the first arm, with the shapes of state and batch."""
  source, steps = comparison.dataset, steps_per_epoch(comparison)
  programs = make_programs(comparison, source.num_classes, devices)
  optimizer = comparison.build_optimizer(arm or comparison.arms[0], steps, seed=0)
  state = nnx.eval_shape(
    lambda model: programs.initial_state(model, optimizer, steps), programs.model
  )
  whole, rows = devices.replicated, devices.sharding_of_rows(comparison.batch_size)
  shape, size = jax.ShapeDtypeStruct, comparison.batch_size
  state = jax.tree.map(lambda leaf: shape(leaf.shape, leaf.dtype, sharding=whole), state)
  batch = Batch(
    shape((size, *source.shape), source.dtype, sharding=whole),
    shape((size,), 'int32', sharding=whole),
    shape((size,), 'int32', sharding=rows),
  )
  return programs.make_train_step(optimizer), state, batch
