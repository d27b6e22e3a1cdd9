"""Measures the time from the shell to the end of the trainer's first step, part by part.

    python -m benchmarks.start_up [--starts 5] [--experiment digits]

Each start is a new process. A cold start finds no compiled programs; a warm start finds those that
the cold start before it has kept. Cold and warm starts take turns. The results are medians, in seconds.
"""

import json
import os
import statistics
import sys
import tempfile
import time

import tyro
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.training_step import setting
from benchmarks.worker import Worker

_KINDS = 'cold', 'warm'


def main(starts: int = 5, experiment: str = 'digits') -> None:
  """Prints the seconds of each part of a start.

  Args:
    starts: The number of starts of each kind.
    experiment: The experiment to train; its data must be prepared.
  """
  seconds: dict[str, list[dict[str, float]]] = {kind: [] for kind in _KINDS}
  for _ in track(range(starts), 'starts', transient=True):
    with tempfile.TemporaryDirectory() as folder:
      for kind in _KINDS:
        seconds[kind].append(_start(experiment, folder))
  table = Table(title=f'{experiment}: seconds to the end of the first step')
  for column in ('', *_KINDS):
    table.add_column(column, justify='right' if column else 'left')
  for part in seconds['cold'][0]:
    medians = [statistics.median(one[part] for one in seconds[kind]) for kind in _KINDS]
    table.add_row(part, *(f'{median:.2f}' for median in medians))
  console = Console()
  console.print(table)
  console.print(setting(), highlight=False, soft_wrap=True)


def _start(experiment: str, folder: str) -> dict[str, float]:
  """Returns the seconds of each part of a start whose cache folder is in ``folder``."""
  # The place of the user's cache folder depends on the system.
  home = dict.fromkeys(('HOME', 'XDG_CACHE_HOME', 'LOCALAPPDATA'), folder)
  begin = time.perf_counter()
  program = f'from benchmarks import first_step; first_step.take({experiment!r})'
  command = [sys.executable, '-c', program]
  with Worker(command, os.environ | home) as worker:
    parts = json.loads(worker.line())
    total = time.perf_counter() - begin
  return {'Python': total - sum(parts.values()), **parts, 'in all': total}


if __name__ == '__main__':
  tyro.cli(main)
