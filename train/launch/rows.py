"""How far runs are, for whatever shows them."""

import dataclasses
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from rich.console import Console


@dataclasses.dataclass(eq=False)
class Row:
  """A run as it is shown."""

  name: str
  epochs: int
  state: str = 'waits for its turn'
  epoch: int = 0  # the number of epochs that it has recorded
  numbers: str = ''  # of the newest epoch
  moving: bool = False  # whether it is being trained
  over: bool = False  # whether nothing more happens to it

  def end(self, state: str) -> None:
    """Notes that nothing more happens to it."""
    self.state, self.moving, self.over = state, False, True

  @property
  def words(self) -> str:
    """The text beside its name and epoch."""
    state = '' if self.moving and self.numbers else self.state
    return '  '.join(filter(None, [state, self.numbers]))


def numbers_words(train_loss: float, metric_label: str, metric: float) -> str:
  """Returns the numbers of an epoch in words.

  Example:
    >>> numbers_words(1.5, 'test error (%)', 34.5), numbers_words(2, 'test squared error', 0.25)
    ('loss 1.5000  test error 34.50 %', 'loss 2.0000  test squared error 0.25')
  """
  name = metric_label.removesuffix(' (%)')
  value = f'{metric:.4g}' if name == metric_label else f'{metric:5.2f} %'
  loss = f'{train_loss:.4f}' if not 0 < abs(train_loss) < 1e-3 else f'{train_loss:.3e}'
  return f'loss {loss}  {name} {value}'


class Board(Protocol):
  """Shows rows, and lines above them."""

  def say(self, words: str) -> None:
    """Prints lines."""

  def refresh(self) -> None:
    """Shows what has changed, at once or later."""


Show = Callable[[Console, Sequence[Row]], AbstractContextManager[Board]]  # the command line's table
