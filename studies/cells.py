"""Runs the cells of a study that are missing, so that a study that was stopped resumes."""

import csv
import io
import pathlib
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from train.system.environment import write_environment
from train.system.files import write_whole


def run_missing(
  cells: Sequence[Any],
  directory: pathlib.Path,
  paths: Callable[[Any, pathlib.Path], Sequence[pathlib.Path]],
  run: Callable[[Any], Sequence[str]],
) -> None:
  """Runs the cells that have no files yet.

  Args:
    cells: The cells; their ``name`` is shown.
    directory: The folder of their files.
    paths: ``paths(cell, directory)``, the files of a cell; the last one marks it as done.
    run: ``run(cell)``, the texts of these files.
  """
  directory.mkdir(parents=True, exist_ok=True)
  write_environment(directory)
  missing = [cell for cell in cells if not paths(cell, directory)[-1].exists()]
  console = Console()
  console.print(f'{len(cells) - len(missing)} of {len(cells)} cells are done.')
  columns = (TextColumn('{task.description}'), BarColumn(), MofNCompleteColumn())
  start = time.monotonic()
  with Progress(
    *columns, TimeElapsedColumn(), TextColumn('{task.fields[left]}'), console=console
  ) as progress:
    task = progress.add_task('cells', total=len(missing), left='')
    for done, cell in enumerate(missing, start=1):
      progress.update(task, description=cell.name)
      for path, text in zip(paths(cell, directory), run(cell), strict=True):
        write_whole(path, text)
      minutes = (time.monotonic() - start) / done * (len(missing) - done) / 60
      left = f'{minutes:.0f} min left'
      progress.update(task, advance=1, left=left)
      if not console.is_interactive:  # the bar of a log file does not move
        console.print(f'{cell.name}: {left}', soft_wrap=True)


def csv_text(columns: Sequence[str], rows: Iterable[Sequence]) -> str:
  """Returns a table as the text of its file."""
  text = io.StringIO()
  writer = csv.writer(text, lineterminator='\n')
  writer.writerow(columns)
  writer.writerows(rows)
  return text.getvalue()
