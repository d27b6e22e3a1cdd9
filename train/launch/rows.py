"""How far runs are, for whatever shows it."""

import dataclasses
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from rich.console import Console


@dataclasses.dataclass(eq=False)
class Row:
  """A run as it is shown.

  Attributes:
    name: Its name.
    epochs: The number of its epochs.
    state: What happens to it, in words.
    epoch: The number of epochs that it has recorded.
    numbers: Those of the newest epoch, in words.
    moving: Whether it is being trained.
    over: Whether nothing more happens to it.
  """

  name: str
  epochs: int
  state: str = 'waits for its turn'
  epoch: int = 0
  numbers: str = ''
  moving: bool = False
  over: bool = False

  def start(self, epoch: int) -> None:
    """Notes that it is trained now, from an epoch on."""
    self.state, self.epoch, self.moving = 'compiling ...', epoch, True

  def end(self, state: str) -> None:
    """Notes that nothing more happens to it."""
    self.state, self.moving, self.over = state, False, True

  @property
  def words(self) -> str:
    """What is said of it beside its name and epoch."""
    state = '' if self.moving and self.numbers else self.state
    return '  '.join(filter(None, [state, self.numbers]))


class Board(Protocol):
  """Shows rows, and lines above them."""

  def say(self, words: str) -> None:
    """Prints lines."""
    ...

  def refresh(self) -> None:
    """Shows what has changed, at once or some time later."""
    ...


Show = Callable[[Console, Sequence[Row]], AbstractContextManager[Board]]


def metric_words(label: str, value: float) -> str:
  """Returns a metric with its name.

  Example:
    >>> metric_words('test error (%)', 34.5), metric_words('test squared error', 0.25)
    ('test error 34.50 %', 'test squared error 0.25')
  """
  if label.endswith(' (%)'):
    return f'{label.removesuffix(" (%)")} {value:5.2f} %'
  return f'{label} {value:.4g}'


def numbers_words(train_loss: float, metric_label: str, metric: float) -> str:
  """Returns the numbers of an epoch in words."""
  return f'loss {train_loss:.4f}  {metric_words(metric_label, metric)}'
