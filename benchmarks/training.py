"""The trainer beside PyTorch, and where the time of its steps goes.

    python -m benchmarks.training [--networks WRN-10-1 WRN-16-4] [--pairs 9] [--torch-python PYTHON]

Each network is trained by this trainer, its own step and input, and, where PyTorch is installed, by
two loops of `benchmarks.torch_training`: as LCAM's authors wrote theirs, and as it is written well.
The processes take turns; a ratio is the seconds of PyTorch's turn divided by those of the trainer's
turn beside it, so that above 1 the trainer is the faster one. Medians and quartiles of the ratios.

Then the parts of a step, see `benchmarks.shares`. PyTorch may be installed elsewhere: with
`--torch-python`, the Python of that environment, which needs torch and Pillow.
"""

import json
import math
import statistics
import subprocess
import sys

import tyro
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks.cpu_settings import format_ratios
from benchmarks.training_step import COMPARISONS, find_comparison, setting
from benchmarks.worker import Worker

WAYS = {'authors': 'authors / trainer', 'tuned': 'written well / trainer'}
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
    networks: What is trained.
    pairs: How often the processes take turns; at least 2.
    torch_python: The Python that has PyTorch.
    share_seconds: How long each part of a step is timed.
  """
  names = [find_comparison(network).name for network in networks]
  console = Console()
  has_torch = _imports_torch(torch_python)
  if not has_torch:
    console.print(f'{torch_python} has no torch and Pillow: PyTorch is left out.', highlight=False)
  table = Table()
  for column in ('', 'examples/s', *(WAYS.values() if has_torch else ())):
    table.add_column(column, justify='right' if column else 'left')
  made = {}
  with Progress(console=console, transient=True) as progress:
    bar = progress.add_task('', total=len(names) * pairs)
    for name in names:
      progress.update(bar, description=f'{name}: compiling')
      commands = {'trainer': [sys.executable, '-m', 'benchmarks.training_step', name]}
      if has_torch:
        commands |= {
          way: [torch_python, '-m', 'benchmarks.torch_training', name, way] for way in WAYS
        }
      times: dict[str, list[float]] = {way: [] for way in commands}
      for seconds in _turns(commands, pairs, made):
        for way, one in seconds.items():
          times[way].append(one)
        progress.update(bar, advance=1, description=name)
      rate = COMPARISONS[name].batch_size / statistics.median(times['trainer'])
      ratios = [
        format_ratios([a / b for a, b in zip(times[way], times['trainer'], strict=True)])
        for way in WAYS
        if way in times
      ]
      table.add_row(name, f'{rate:,.3g}', *ratios)
  console.print(f'Medians (quartiles) of {pairs} turns')
  console.print(table)
  words = ', '.join(f'{key} {value}' for key, value in made.items())
  console.print(f'{setting()}; {words}' if words else setting(), highlight=False, soft_wrap=True)
  for name in names:
    command = [sys.executable, '-m', 'benchmarks.shares', name, '--seconds', str(share_seconds)]
    subprocess.run(command, check=True)


def _turns(commands: dict[str, list[str]], pairs: int, made: dict[str, str]):
  """Yields the seconds of a step in each process, turn after turn.

  Args:
    commands: The processes.
    pairs: How many turns.
    made: Is given the versions that PyTorch's processes print first.
  """
  workers = {way: Worker(command) for way, command in commands.items()}
  try:
    for way in WAYS.keys() & workers.keys():
      made |= json.loads(workers[way].line())
    first = {way: worker.times(1)[0] for way, worker in workers.items()}
    first = {way: worker.times(1)[0] for way, worker in workers.items()}  # that one had to compile
    steps = {way: max(1, math.ceil(_SECONDS_OF_A_TURN / seconds)) for way, seconds in first.items()}
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
