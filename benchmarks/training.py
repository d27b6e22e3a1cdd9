"""Compares the trainer's speed with PyTorch's, and measures where the time of its steps goes.

    python -m benchmarks.training [--networks WRN-10-1 WRN-16-4] [--pairs 9] [--torch-python PYTHON]

Each network is trained by the trainer, with its own step and input, and, if PyTorch is installed, by
the two loops of `benchmarks.torch_training`: one as LCAM's authors wrote it, and one written well. The
processes take turns. A ratio is the seconds of PyTorch's turn divided by those of the trainer's turn
next to it, so that the trainer is faster where it is above 1. The results are medians and quartiles.

On a GPU or TPU the trainer is timed in bfloat16, too, and each loop is compared with the trainer in
its own dtype.

Then the parts of a step are timed; see `benchmarks.shares`. PyTorch may be installed in another
environment with torch and Pillow: pass its Python as `--torch-python`.
"""

import itertools
import json
import statistics
import subprocess
import sys

import jax
import tyro
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks.settings import format_ratios
from benchmarks.training_step import COMPARISONS, Dtype, find_comparison, setting
from benchmarks.worker import Worker, share_the_device

WAYS = {'authors': 'authors / trainer', 'tuned': 'written well / trainer'}
DTYPES: tuple[Dtype, ...] = ('float32', 'bfloat16')
_NETWORKS = ('WRN-10-1', 'WRN-16-1', 'WRN-16-4', 'WRN-28-10', 'M11', 'ViT-Ti-16')
_SECONDS_OF_A_TURN = 1.0


def main(
  networks: tuple[str, ...] = _NETWORKS,
  pairs: int = 9,
  torch_python: str = sys.executable,
  share_seconds: float = 10.0,
) -> None:
  """Prints the ratios of each network and the parts of a step.

  Args:
    networks: The networks to train.
    pairs: How often the processes take turns; at least 2.
    torch_python: The Python that has PyTorch.
    share_seconds: How long each part of a step is timed.
  """
  names = [find_comparison(network).name for network in networks]
  share_the_device()
  dtypes = DTYPES[:1] if jax.default_backend() == 'cpu' else DTYPES
  console = Console()
  has_torch = _imports_torch(torch_python)
  if not has_torch:
    console.print(f'{torch_python} has no torch and Pillow: PyTorch is left out.', highlight=False)
  table = Table()
  for column in ('', 'examples/s', *(WAYS.values() if has_torch else ())):
    table.add_column(column, justify='right' if column else 'left')
  made: dict[str, str] = {}
  with Progress(console=console, transient=True) as progress:
    bar = progress.add_task('', total=len(names) * pairs)
    for name in names:
      progress.update(bar, description=f'{name}: compiling')
      commands = {
        dtype: [sys.executable, '-m', 'benchmarks.training_step', name, '--dtype', dtype]
        for dtype in dtypes
      }
      if has_torch:
        commands |= {
          way: [torch_python, '-m', 'benchmarks.torch_training', name, way] for way in WAYS
        }
      times: dict[str, list[float]] = {process: [] for process in commands}
      computed_in: dict[str, str] = {}
      for seconds in _turns(commands, pairs, made, computed_in):
        for process, one in seconds.items():
          times[process].append(one)
        progress.update(bar, advance=1, description=name)
      for dtype in dtypes:
        rate = COMPARISONS[name].batch_size / statistics.median(times[dtype])
        ratios = [
          format_ratios([a / b for a, b in zip(times[way], times[dtype], strict=True)])
          if computed_in[way] == dtype
          else '-'
          for way in WAYS
          if way in times
        ]
        table.add_row(f'{name}, {dtype}', f'{rate:,.{0 if rate >= 100 else 1}f}', *ratios)
  console.print(f'Medians (quartiles) of {pairs} turns')
  console.print(table)
  words = ', '.join(f'{key} {value}' for key, value in made.items())
  console.print(f'{setting()}; {words}' if words else setting(), highlight=False, soft_wrap=True)
  for name, dtype in itertools.product(names, dtypes):
    options = [name, '--dtype', dtype, '--seconds', str(share_seconds)]
    subprocess.run([sys.executable, '-m', 'benchmarks.shares', *options], check=True)


def _turns(
  commands: dict[str, list[str]], pairs: int, made: dict[str, str], computed_in: dict[str, str]
):
  """Yields the seconds of a step in each process, turn after turn.

  Args:
    commands: The commands of the processes.
    pairs: The number of turns.
    made: Receives the version and the device that PyTorch's processes print first.
    computed_in: Receives the dtype of each of them.
  """
  workers = {way: Worker(command) for way, command in commands.items()}
  try:
    for way in WAYS.keys() & workers.keys():
      said = json.loads(workers[way].line())
      computed_in[way] = said.pop('dtype')
      made |= said
    for worker in workers.values():
      worker.times(1)  # compiles
    steps = {way: worker.steps_in(_SECONDS_OF_A_TURN) for way, worker in workers.items()}
    for turn in range(pairs):
      order = list(workers) if turn % 2 else list(workers)[::-1]
      seconds = {way: workers[way].times(steps[way])[0] / steps[way] for way in order}
      yield {way: seconds[way] for way in workers}
  finally:
    for worker in workers.values():
      worker.__exit__()


def _imports_torch(python: str) -> bool:
  try:
    found = subprocess.run([python, '-c', 'import torch, PIL'], capture_output=True, check=False)
  except OSError:
    return False
  return found.returncode == 0


if __name__ == '__main__':
  tyro.cli(main)
