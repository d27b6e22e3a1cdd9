"""Measures the cost of several devices here, and computes the gain on TPUs.

    python -m benchmarks.scaling here     # processes and virtual devices on this machine's cores
    python -m benchmarks.scaling tpu      # chips of a TPU v5e pod, from the compiled program

`here` divides the same batches among parts of the same processor. Nothing can be gained this way, so
everything above 1 is overhead.
"""

import dataclasses
import math
import os
import re
import socket
import statistics
import subprocess
import sys
import time

import jax
import tyro

from benchmarks.training_step import COMPARISONS, setting, training
from train.command.costs import step_flops
from train.problem.comparison import Comparison
from train.problem.experiments import FIGURE_3, VIT_CIFAR10
from train.system.devices import choose_devices

# From Cloud TPU's page on v5e (docs.cloud.google.com/tpu/docs/v5e): the peak is in bfloat16, the
# default for float32 products. The four links have 400 GB/s together in both directions, hence
# 50 GB/s each way per link. A slice of 2x4 chips is not a torus, so its corners have two links; a
# slice of 16x16 is one, so all chips have four.
PEAK = 197e12
LINK = 50e9
SLICES = {8: 2 * LINK, 256: 4 * LINK}
_BYTES = {'f32': 4, 'bf16': 2, 's32': 4, 'u32': 4, 'pred': 1, 's8': 1, 'f64': 8}


@dataclasses.dataclass(frozen=True)
class Setting:
  """How a batch is divided.

  Attributes:
    processes: The number of processes.
    devices: The number of virtual devices of each process.
  """

  processes: int
  devices: int

  @property
  def name(self) -> str:
    """Its name in the table."""
    return f'{self.processes} process(es) of {self.devices} virtual device(s)'


SETTINGS = (Setting(1, 1), Setting(1, 2), Setting(1, 8), Setting(2, 1))


class Workers:
  """The processes of a setting, which train steps on request."""

  def __init__(self, setting: Setting):
    """Starts the processes, and returns when they have compiled."""
    with socket.socket() as probe:
      probe.bind(('127.0.0.1', 0))
      coordinator = f'127.0.0.1:{probe.getsockname()[1]}'
    flag = f'--xla_force_host_platform_device_count={setting.devices}'
    self._processes = [
      subprocess.Popen(
        [
          *(sys.executable, '-m', 'benchmarks.scaling', 'worker'),
          *(coordinator, str(setting.processes), str(number)),
        ],
        env=os.environ | {'XLA_FLAGS': f'{os.environ.get("XLA_FLAGS", "")} {flag}'.strip()},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
      )
      for number in range(setting.processes)
    ]
    self.seconds(1)

  def seconds(self, steps: int) -> float:
    """Returns the seconds that this number of steps takes."""
    start = time.perf_counter()
    for process in self._processes:
      process.stdin.write(f'{steps}\n')
      process.stdin.flush()
    for process in self._processes:
      while 'done' not in (line := process.stdout.readline()):
        assert line, 'a process ended'
    return time.perf_counter() - start

  def close(self) -> None:
    """Ends the processes."""
    for process in self._processes:
      process.stdin.close()
    for process in self._processes:
      process.wait()


def here(steps: int = 10, rounds: int = 9) -> None:
  """Prints the time of a step in each setting divided by that of one process with one device.

  Args:
    steps: The number of steps per round.
    rounds: How often the settings take turns.
  """
  workers = {setting: Workers(setting) for setting in SETTINGS}
  times: dict[Setting, list[float]] = {setting: [] for setting in SETTINGS}
  for _ in range(rounds):
    for one, several in workers.items():
      times[one].append(several.seconds(steps))
  for several in workers.values():
    several.close()
  print(f'{setting()}; digits, {steps} steps, medians of {rounds} rounds')
  for one, seconds in times.items():
    ratios = [mine / alone for mine, alone in zip(seconds, times[SETTINGS[0]], strict=True)]
    low, _, high = statistics.quantiles(ratios, n=4)
    print(f'{one.name:40} {statistics.median(ratios):.2f} ({low:.2f} to {high:.2f})')


def worker(coordinator: str, processes: int, process_id: int, /) -> None:
  """Reads numbers of steps from stdin, one a line, and trains each."""
  if processes > 1:
    jax.distributed.initialize(coordinator, processes, process_id)
  train = training(COMPARISONS['digits'])
  for line in sys.stdin:
    train(int(line))
    print('done', flush=True)


def tpu() -> None:
  """Prints lower bounds for a step of the paper's networks on slices of a TPU v5e pod."""
  jax.config.update('jax_num_cpu_devices', 8)
  print(setting())
  for comparison in (FIGURE_3, VIT_CIFAR10):
    flops = step_flops(comparison)
    bytes_ = all_reduced_bytes(compiled_step(comparison))
    name = f'{comparison.network.describe()}, batch {comparison.batch_size}'
    print(f'{name}: {flops / 1e12:.2f} TFLOP and {bytes_ / 1e6:.0f} MB to all-reduce a step')
    for chips, bandwidth in SLICES.items():
      used = math.gcd(chips, comparison.batch_size)
      compute = flops / used / PEAK
      reduce = all_reduce_seconds(bytes_, used, bandwidth)
      print(
        f'  {chips} chips, {used} used: {1e3 * compute:.2f} ms of arithmetic, {1e3 * reduce:.2f} ms '
        f'of links; at least {1e3 * max(compute, reduce):.2f} ms'
      )
    limit = flops / PEAK * SLICES[256] / (2 * bytes_)
    print(
      f'  arithmetic and links take equal time on {limit:.0f} chips of a torus; more gain little'
    )


def all_reduce_seconds(bytes_: float, chips: int, bandwidth: float) -> float:
  """Returns a lower bound for an all-reduce, in which each byte leaves each chip twice.

  Args:
    bytes_: The number of bytes to reduce.
    chips: The number of chips.
    bandwidth: The bytes that a chip can send in a second.

  Example:
    >>> all_reduce_seconds(1e9, 2, 100e9)
    0.01
  """
  return 2 * bytes_ * (chips - 1) / chips / bandwidth


def compiled_step(comparison: Comparison) -> str:
  """Returns the text of the training step compiled for all devices here; allocates nothing."""
  from train.command.costs import abstract_step

  devices = choose_devices(comparison.batch_size)
  step, state, batch = abstract_step(comparison, devices)
  return step.lower(state, batch, 0, 0, 0).compile().as_text()


def all_reduced_bytes(program: str) -> int:
  """Returns the bytes of all results of all-reduces in a compiled program.

  Example:
    >>> all_reduced_bytes('x = (f32[2,3]{1,0}, s32[]) all-reduce(f32[2,3] a, s32[] b), to_apply=add')
    28
  """
  total = 0
  for shapes in re.findall(r'= (.*) all-reduce(?:-start)?\(', program):
    for dtype, sizes in re.findall(r'(\w+)\[([\d,]*)\]', shapes):
      total += _BYTES[dtype] * math.prod(int(size) for size in sizes.split(',') if size)
  return total


if __name__ == '__main__':
  tyro.extras.subcommand_cli_from_dict({'here': here, 'tpu': tpu, 'worker': worker})
