"""What a user sees while runs are trained at the same time: a table, or lines in a file."""

import dataclasses
import time
from collections.abc import Sequence

from rich.console import Console, Group
from rich.live import Live
from rich.table import Column, Table
from rich.text import Text

from train.command.progress import SECONDS_BETWEEN_LINES, shortened

_OTHER_LINES = 6  # of the terminal, for the head of the table and what stands around it
_WIDTH_OF_THE_REST = 34  # of the terminal, for what is not the name


@dataclasses.dataclass(eq=False)
class Row:
  """A run as it is shown.

  Attributes:
    name: What it is called.
    epochs: How many epochs it has.
    state: What happens to it, in words.
    epoch: How many epochs it has recorded.
    numbers: Those of the newest of them.
    moving: Whether it is being trained.
    over: Whether nothing happens to it any more.
  """

  name: str
  epochs: int
  state: str = 'waits for its turn'
  epoch: int = 0
  numbers: str = ''
  moving: bool = False
  over: bool = False

  @property
  def words(self) -> str:
    """What is said of it, beside its name and epoch."""
    return '  '.join(
      filter(None, ['' if self.moving and self.numbers else self.state, self.numbers])
    )


class RunTable:
  """Shows many runs; a context manager.

  On a terminal it is a table that moves, of as many runs as there is room for: those that are
  trained come first. Elsewhere it is a line about all runs now and then.
  """

  def __init__(self, console: Console, rows: Sequence[Row]):
    """Starts to measure how fast the runs get on.

    Args:
      console: Where to show them.
      rows: The runs; what is shown follows their attributes.
    """
    self._console = console
    self._rows = rows
    self._start, self._first_epochs = time.monotonic(), self._epochs_done()
    self._spoken = self._start
    self._live = None
    if console.is_interactive:
      self._live = Live(get_renderable=self._render, console=console, refresh_per_second=2)

  def __enter__(self) -> 'RunTable':
    """Shows the table."""
    if self._live:
      self._live.start()
    return self

  def __exit__(self, *_) -> None:
    """Leaves the table as it is."""
    if self._live:
      self._live.stop()

  def say(self, words: str) -> None:
    """Prints lines above the table."""
    for line in words.splitlines():
      self._console.print(Text(line), soft_wrap=True)

  def tell_now_and_then(self) -> None:
    """Prints a line about all runs if the last was some time ago and there is no table."""
    now = time.monotonic()
    if self._live is None and now - self._spoken > SECONDS_BETWEEN_LINES:
      self._spoken = now
      self.say(self.summary())

  def summary(self) -> str:
    """Returns how far all runs together are."""
    done, total = self._epochs_done(), sum(row.epochs for row in self._rows)
    over, moving = (sum(getattr(row, name) for row in self._rows) for name in ('over', 'moving'))
    words = (
      f'all runs  epoch {done}/{total}  {over} of {len(self._rows)} ended, {moving} trained now'
    )
    here = done - self._first_epochs
    if here <= 0 or done >= total:
      return words
    seconds = round((time.monotonic() - self._start) / here * (total - done))
    return f'{words}  {seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02} left'

  def _epochs_done(self) -> int:
    return sum(row.epochs if row.over else row.epoch for row in self._rows)

  def _render(self) -> Group:
    name_width = max(12, self._console.width - _WIDTH_OF_THE_REST)
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
    return Group(table, Text(self.summary()))
