"""What a user sees while runs are trained: a line per run, moving on a terminal."""

import time

from rich.console import Console, Group, RenderableType
from rich.progress import (
  BarColumn,
  Progress,
  ProgressColumn,
  Task,
  TextColumn,
)
from rich.table import Column
from rich.text import Text

from train.storage.tables import EpochRecord

SECONDS_BETWEEN_LINES = 30  # where the output is a file
_BAR_WIDTH = 20
_NARROWEST_BAR = 8
_TIME_WIDTH = 8  # 12:34:56


class _TimeLeft(ProgressColumn):
  """The time to the moment when a bar will be full, as ``task.fields['full_at']`` has it.

  Rich's own estimate forgets what is older than half a minute, which epochs may take longer than, and
  takes epochs of earlier processes for fast ones.
  """

  max_refresh = 0.5

  def render(self, task: Task) -> Text:
    """Returns hours, minutes and seconds."""
    full_at = task.fields['full_at']
    if full_at is None:
      return Text('-:--:--', style='progress.remaining')
    seconds = max(0, round(full_at - time.monotonic()))
    text = f'{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}'
    return Text(text, style='progress.remaining')


class _Bars(Progress):
  """Bars with a line of numbers below, which a narrow terminal cuts before anything else."""

  numbers = ''

  def get_renderable(self) -> RenderableType:
    """Returns what stands on the terminal."""
    numbers = Text(self.numbers, style='dim', no_wrap=True, overflow='ellipsis')
    return Group(*self.get_renderables(), *([numbers] if self.numbers else []))


class RunProgress:
  """Shows the runs of a comparison; a context manager.

  On a terminal all runs together and the one that is trained are bars with epochs and the time left;
  the numbers of the last epoch stand below. Elsewhere, in a log file for example, each run is a
  line now and then and one at its end.
  """

  def __init__(
    self,
    console: Console,
    runs: int,
    epochs: int,
    metric_label: str = 'test error (%)',
    seconds_between_lines: float = SECONDS_BETWEEN_LINES,
  ):
    """Starts with no run finished.

    Args:
      console: Where to show it.
      runs: How many runs there are.
      epochs: How many epochs each has.
      metric_label: How the metric is called.
      seconds_between_lines: How often a run has a line, where the output is a file.
    """
    self._seconds_between_lines = seconds_between_lines
    self._console = console
    self._epochs = epochs
    self._metric_label = metric_label
    self._moves = console.is_interactive
    counts = len(f'epoch {runs * epochs}/{runs * epochs}')
    # What is left for the name, with a space between two columns each.
    self._name_width = max(12, console.width - _NARROWEST_BAR - counts - _TIME_WIDTH - 3)
    self._bars = _Bars(
      TextColumn('{task.description}', markup=False, table_column=Column(no_wrap=True)),
      BarColumn(bar_width=None, table_column=Column(max_width=_BAR_WIDTH, ratio=1)),
      TextColumn('epoch {task.completed:.0f}/{task.total:.0f}', table_column=Column(no_wrap=True)),
      _TimeLeft(table_column=Column(no_wrap=True)),
      console=console,
      disable=not self._moves,
      expand=False,
    )
    self._total = self._bars.add_task('all runs', total=runs * epochs, full_at=None)
    self._running = False
    self._left = runs * epochs
    self._spoken = self._last_epoch_at = 0.0

  def __enter__(self) -> 'RunProgress':
    """Starts to show the bars."""
    self._bars.start()
    return self

  def __exit__(self, *_) -> None:
    """Leaves the bars as they are."""
    self._bars.stop()

  def start_run(self, name: str, epochs_done: int) -> None:
    """Shows a new run, or one that goes on.

    Args:
      name: Arm and seed.
      epochs_done: How many of its epochs were trained before.
    """
    self._name = name
    self._run = self._bars.add_task(
      shortened(name, self._name_width), total=self._epochs, completed=epochs_done, full_at=None
    )
    self._bars.numbers = 'compiling ...'
    self._running, self._epochs_done = True, epochs_done
    self._count(epochs_done)
    self._spoken = self._last_epoch_at = time.monotonic()
    if epochs_done:
      self.say(f'{name}: goes on after epoch {epochs_done}')

  def skip_run(self, sentence: str) -> None:
    """Counts a run that need not be trained, and says why."""
    self._count(self._epochs)
    self.say(sentence)

  def epoch(self, record: EpochRecord, steps_per_second: float) -> None:
    """Shows a finished epoch of the current run."""
    now = time.monotonic()
    seconds, self._last_epoch_at = now - self._last_epoch_at, now
    self._epochs_done = record.epoch
    self._count(1)
    self._bars.update(self._run, advance=1, full_at=now + (self._epochs - record.epoch) * seconds)
    self._bars.update(self._total, full_at=now + self._left * seconds)
    metric = metric_words(self._metric_label, record.metric)
    numbers = f'loss {record.train_loss:.4f}  {metric}  {steps_per_second:.1f} steps/s'
    self._bars.numbers = numbers
    last = record.epoch == self._epochs
    due = now - self._spoken > self._seconds_between_lines
    if last or (due and not self._moves):
      self._spoken = now
      self.say(f'{self._name}  epoch {record.epoch}/{self._epochs}  {numbers}')
    if last:
      self.end_run()

  def end_run(self) -> None:
    """Takes the bar of the current run away; epochs that it did not come to count as done."""
    if self._running:
      self._running = False
      self._bars.numbers = ''
      self._count(self._epochs - self._epochs_done)
      self._bars.remove_task(self._run)

  def say(self, sentence: str) -> None:
    """Prints a line above the bars."""
    # A file has one line for each; a terminal's is not broken within a word.
    self._console.print(Text(sentence), soft_wrap=not self._moves)

  def _count(self, epochs: int) -> None:
    self._left -= epochs
    self._bars.advance(self._total, epochs)


def metric_words(label: str, value: float) -> str:
  """Returns a metric with its name.

  Example:
    >>> metric_words('test error (%)', 34.5), metric_words('test squared error', 0.25)
    ('test error 34.50 %', 'test squared error 0.25')
  """
  if label.endswith(' (%)'):
    return f'{label.removesuffix(" (%)")} {value:5.2f} %'
  return f'{label} {value:.4g}'


def shortened(name: str, width: int) -> str:
  """Returns a name that fits, without some of its middle; the end, with the seed, stays.

  Example:
    >>> shortened('adam-low0.857-high0.93 seed 3', 20)
    'adam-low0.857…seed 3'
  """
  if len(name) <= width:
    return name
  tail = ' '.join(name.split(' ')[-2:])
  return f'{name[: max(1, width - 1 - len(tail))]}…{tail}'
