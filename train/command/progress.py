"""Shows runs while they are trained: a table and a bar on a terminal, lines in a file."""

import time
from collections.abc import Sequence

from rich.console import Console, Group
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Column, Table
from rich.text import Text

from train.launch.rows import Row

_SECONDS_BETWEEN_LINES = 30  # in a file
_OTHER_LINES = 6  # of a terminal: all but the runs
_OTHER_WIDTH = 34  # of a terminal: all but the name
_BAR_WIDTH = 20


class RunTable:
  """Shows runs; a context manager. Change its rows to change what it shows.

  On a terminal it is a table of the runs that fit, those being trained first, above a bar of all
  runs. Elsewhere it is a line from time to time.
  """

  def __init__(self, console: Console, rows: Sequence[Row]):
    self._console = console
    self._rows = rows
    self._start, self._first_epochs = time.monotonic(), self._epochs_done()
    self._spoken = self._start
    self._live = Live(get_renderable=self._render, console=console, refresh_per_second=2)

  def __enter__(self) -> 'RunTable':
    if self._console.is_interactive:
      self._live.start()
    return self

  def __exit__(self, *_) -> None:
    self._live.stop()

  def say(self, words: str) -> None:
    """Prints lines above the table."""
    for line in words.splitlines():
      # A file has one line for each; a terminal's is not broken within a word.
      self._console.print(Text(line), soft_wrap=not self._console.is_interactive)

  def refresh(self) -> None:
    """Prints a line in a file if the last one is some time ago; a terminal refreshes by itself."""
    now = time.monotonic()
    if not self._console.is_interactive and now - self._spoken > _SECONDS_BETWEEN_LINES:
      self._spoken = now
      moving = [row for row in self._rows if row.moving]
      if len(moving) == 1:
        (row,) = moving
        self.say(f'{row.name}  epoch {row.epoch}/{row.epochs}  {row.words}')
      self.say(self._summary())

  def _summary(self) -> str:
    """Returns how far all runs together are."""
    done, total = self._epochs_done(), sum(row.epochs for row in self._rows)
    over, moving = sum(row.over for row in self._rows), sum(row.moving for row in self._rows)
    words = (
      f'all runs  epoch {done}/{total}  {over} of {len(self._rows)} ended, {moving} trained now'
    )
    here = done - self._first_epochs
    if here <= 0 or done >= total:
      return words
    # The mean since the start: epochs may take longer than any window that forgets.
    seconds = round((time.monotonic() - self._start) / here * (total - done))
    return f'{words}  {seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02} left'

  def _epochs_done(self) -> int:
    return sum(row.epochs if row.over else row.epoch for row in self._rows)

  def _render(self) -> Group:
    name_width = max(12, self._console.width - _OTHER_WIDTH)
    names = {row: shortened(row.name, name_width) for row in self._rows}
    epochs = {row: f'{row.epoch}/{row.epochs}' for row in self._rows}
    table = Table(
      Column('run', width=max(map(len, names.values()))),
      Column('epoch', width=max(map(len, [*epochs.values(), 'epoch'])), justify='right'),
      Column(''),  # cut before the others
      box=None,
      pad_edge=False,
    )
    room = max(1, self._console.height - _OTHER_LINES)
    # Sorting is stable: within a kind the order is that of the plan.
    for row in sorted(self._rows, key=lambda row: (not row.moving, row.over))[:room]:
      words = Text(row.words, style='dim', no_wrap=True, overflow='ellipsis')
      table.add_row(Text(names[row]), epochs[row], words)
    total = sum(row.epochs for row in self._rows)
    bar = ProgressBar(total=total, completed=self._epochs_done(), width=_BAR_WIDTH)
    return Group(table, Padding(bar), Text(self._summary()))


def shortened(name: str, width: int) -> str:
  """Returns a name that fits: cut in the middle, because the end has the seed.

  Example:
    >>> shortened('adam-low0.857-high0.93 seed 3', 20)
    'adam-low0.857…seed 3'
  """
  if len(name) <= width:
    return name
  tail = ' '.join(name.split(' ')[-2:])
  return f'{name[: max(1, width - 1 - len(tail))]}…{tail}'
