"""What a user sees while runs are trained: a line per run, moving on a terminal."""

import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from train.records import EpochRecord

_SECONDS_BETWEEN_LINES = 30  # of a run, where the output is a file


class RunProgress:
  """Shows the runs of an experiment; a context manager.

  On a terminal each run is a bar, and the bar of all runs stands below. Elsewhere, in a log file
  for example, each run is a line now and then and one at its end.
  """

  def __init__(self, console: Console, runs: int, epochs: int):
    """Starts with no run finished.

    Args:
      console: Where to show it.
      runs: How many runs there are.
      epochs: How many epochs each has.
    """
    self._console = console
    self._epochs = epochs
    self._bars = Progress(
      TextColumn('{task.description}'),
      BarColumn(bar_width=20),
      MofNCompleteColumn(),
      TextColumn('{task.fields[numbers]}'),
      TimeRemainingColumn(),
      console=console,
      disable=not console.is_terminal,
    )
    self._total = self._bars.add_task('all epochs', total=runs * epochs, numbers='')
    self._spoken = 0.0

  def __enter__(self) -> 'RunProgress':
    """Starts to show the bars."""
    self._bars.start()
    return self

  def __exit__(self, *_) -> None:
    """Leaves the bars as they are."""
    self._bars.stop()

  def start_run(self, name: str, epochs_done: int) -> None:
    """Shows a new run, or one that goes on."""
    self._name = name
    self._run = self._bars.add_task(
      name, total=self._epochs, completed=epochs_done, numbers='compiling ...'
    )
    self._bars.advance(self._total, epochs_done)
    self._spoken = time.monotonic()
    if epochs_done:
      self.say(f'{name}: goes on after epoch {epochs_done}')

  def skip_run(self, sentence: str) -> None:
    """Counts a run that need not be trained, and says why."""
    self._bars.advance(self._total, self._epochs)
    self.say(sentence)

  def epoch(self, record: EpochRecord, steps_per_second: float) -> None:
    """Shows a finished epoch of the current run."""
    numbers = (
      f'loss {record.train_loss:.4f}  test error {record.test_error_percent:5.2f} %  '
      f'{steps_per_second:.1f} steps/s'
    )
    self._bars.update(self._run, advance=1, numbers=numbers)
    self._bars.advance(self._total)
    last = record.epoch == self._epochs
    due = time.monotonic() - self._spoken > _SECONDS_BETWEEN_LINES
    if last or (due and not self._console.is_terminal):
      self._spoken = time.monotonic()
      self.say(f'{self._name}  epoch {record.epoch}/{self._epochs}  {numbers}')
    if last:
      self.end_run()

  def end_run(self) -> None:
    """Takes the bar of the current run away."""
    self._bars.remove_task(self._run)

  def say(self, sentence: str) -> None:
    """Prints a line above the bars."""
    self._console.print(sentence, highlight=False, soft_wrap=True)
