"""Trains runs from the first epoch to the last: one alone, or several at once."""

import math
import pathlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from train.data.randomness import epoch_order
from train.problem.arms import learning_rate_in
from train.storage.checkpoints import Checkpoints
from train.storage.configuration import check_same_run, compared_fields
from train.storage.tables import TABLES, EpochRecord, Recorder, check_start, is_complete, run_name
from train.system import processes
from train.system.errors import StorageError
from train.system.signals import Interrupts
from train.training.lanes import LanePrograms, Lanes
from train.training.programs import EvalSums, only_in
from train.training.trainer import Alone, Start, Trainer

SECONDS_BETWEEN_SAVES = 10.0  # of runs trained at once, whose epochs may be shorter than a save


class Run(NamedTuple):
  """A run to train."""

  start: Start
  directory: pathlib.Path
  config: Mapping[str, Any]


class Watcher(NamedTuple):
  """Learns how runs are, each by its index."""

  on_epoch: Callable[[int, EpochRecord, float], None]  # called with a record and steps per second
  on_divergence: Callable[[int, str], None]  # called with words that follow the name of the run


class Training:
  """Trains runs and saves them; a context manager.

  ``state`` is the state after ``epoch`` whole epochs and ``step`` steps of the next one.
  """

  def __init__(
    self,
    trainer: Trainer,
    runs: Sequence[Run],
    folder: pathlib.Path,
    warn: Callable[[str], None],
    programs: LanePrograms | None = None,
  ):
    """Resumes the newest checkpoint in a folder, or starts the runs.

    Calls ``warn`` with a sentence about each damaged checkpoint. With ``programs`` the runs are
    trained at once; otherwise there is one.

    Raises:
      UserError: If no checkpoint can be read, or they are of another configuration.
    """
    self._trainer, self._runs = trainer, runs
    starts = [run.start for run in runs]
    self._engine = Lanes(programs, starts) if programs else Alone(trainer, *starts)
    self.state = self._engine.state
    self.epoch = self.step = 0
    self._start_numbers = [
      {'norm of the initial weights': norm.item()}
      for norm in self._engine.by_run(self._engine.norm(self.state.params))
    ]
    self._checkpoints = Checkpoints(folder / 'checkpoints', warn, trainer.devices)
    restored = self._checkpoints.restore(self.state, self._check_notes)
    rows: list[dict[str, list[str]]] = [{} for _ in runs]
    if restored is not None:
      state, notes = restored
      self.epoch, self.step = notes['epoch'], notes['step']
      names = [saved['name'] for saved in notes['runs']]
      lanes = [names.index(run_name(run.directory)) for run in runs]
      self.state = self._engine.pick(state, lanes)
      for run, saved in zip(runs, (notes['runs'][lane] for lane in lanes), strict=True):
        check_same_run(run.directory, saved['config'], run.config)
      rows = [notes['runs'][lane]['rows'] for lane in lanes]
      self._check_start()
    epochs = trainer.comparison.epochs
    self._active = [index for index in range(len(runs)) if not is_complete(rows[index], epochs)]
    self._recorders: list[Recorder] = []
    if processes.is_first():
      environment = {'devices_used': trainer.devices.count, 'lanes': self._engine.lanes}
      if programs:
        environment['together'] = folder.name
      alone = programs is None
      events = alone or trainer.settings.tensorboard
      self._recorders = [
        Recorder(run.directory, run.config, rows[index], environment, at_once=alone, events=events)
        for index, run in enumerate(runs)
      ]
    self._saved_at = time.monotonic()

  def __enter__(self) -> 'Training':
    return self

  def __exit__(self, kind: type[BaseException] | None, *_) -> None:
    """Waits until everything is written, unless writing failed."""
    if kind is None or not issubclass(kind, OSError | StorageError):
      for recorder in self._recorders:
        recorder.close()
      self._checkpoints.close()

  def train(self, interrupts: Interrupts, watcher: Watcher) -> None:
    """Trains until each run has reached its last epoch or has diverged.

    Within an epoch the host only queues work for the device; it waits at the end of the epoch.

    Raises:
      InterruptedRunError: If a signal came; the runs are saved.
    """
    comparison = self._trainer.comparison
    while self._active and self.epoch < comparison.epochs:
      start, first_step = time.perf_counter(), self.step
      self._train_epoch(interrupts)
      jax.block_until_ready(self.state.sums)
      seconds, steps = time.perf_counter() - start, self.step - first_step
      records, phases = self._records(self._engine.evaluate(self.state))
      for index in tuple(self._active):
        record = records[index]
        if self._recorders:
          self._recorders[index].write(record, phases[index], seconds, steps)
        watcher.on_epoch(index, record, steps / seconds)
        if not math.isfinite(record.train_loss):
          self._active.remove(index)
          watcher.on_divergence(index, self._where_diverged(index))
      self.epoch, self.step = self.epoch + 1, 0
      if not self._active:
        return
      # Each in a buffer of its own, so that they can be donated.
      sums = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), self.state.sums)
      self.state = self.state._replace(sums=self._trainer.devices.replicate(sums))
      if self._is_to_be_saved():
        self._save()

  def _is_to_be_saved(self) -> bool:
    """Returns whether to save after this epoch."""
    is_last = self.epoch == self._trainer.comparison.epochs
    if self._engine.lanes:  # at their end, runs have all their tables, and none goes on
      recently = time.monotonic() - self._saved_at < SECONDS_BETWEEN_SAVES
      if is_last or recently:
        return False
    return is_last or self.epoch % self._trainer.settings.checkpoint_epochs == 0

  def _train_epoch(self, interrupts: Interrupts) -> None:
    trainer = self._trainer
    for state, step in self._engine.train(self.state, self.epoch, self.step):
      self.state, self.step = state, step
      if self.epoch == 0 and self.step == 1:
        losses = self._engine.by_run(jax.device_get(self.state.sums.loss))
        for numbers, loss in zip(self._start_numbers, losses, strict=True):
          numbers['loss of the first batch'] = loss.item()
        self._check_start()
      trainer.buffers.give_back_if_scarce()
      if time.monotonic() - self._saved_at > 60 * trainer.settings.checkpoint_minutes:
        self._save()
      interrupts.leave_if_requested(f'in epoch {self.epoch + 1} after step {self.step}', self._save)

  def _check_start(self) -> None:
    def check() -> None:
      for run, numbers in zip(self._runs, self._start_numbers, strict=False):
        check_start(run.directory, numbers)

    processes.from_first(check)

  def _where_diverged(self, index: int) -> str:
    sums = self._engine.by_run(jax.device_get(self.state.sums))[index]
    step = int(sums.finite) + 1
    reason = 'try a lower learning rate or momentum'
    if self.epoch == 0 and step == 1 and not processes.together():
      reason = self._why_not_finite(self._runs[index].start)
    return f'diverged in epoch {self.epoch + 1}, step {step}: its loss is NaN or infinite; {reason}'

  def _why_not_finite(self, start: Start) -> str:
    """Returns words about a first batch whose loss is not finite, before any update."""
    trainer = self._trainer
    state, _ = trainer.start(*start)
    batch = next(iter(trainer.train_input.epoch(start.seed, 0, trainer.comparison.batch_size)))
    outputs, losses = trainer.programs.finite_examples(state.params, state.model_state, batch)
    order = np.asarray(epoch_order(start.seed, 0, trainer.train_examples))
    for what, finite in (('outputs of the network', outputs), ('losses', losses)):
      if not finite.all():
        return (
          f'before any update the {what} are so for {int((~finite).sum())} of {len(finite)} examples, '
          f'the first in row {order[int(finite.argmin())]} of the training data: check that row (are '
          'tokens and classes in range?), the network and the loss'
        )
    return 'before any update it is so for the whole batch only: check the network and the loss'

  def _save(self) -> None:
    if self._recorders:
      runs = []
      for run, recorder in zip(self._runs, self._recorders, strict=True):
        recorder.flush()
        config = compared_fields(run.config)
        runs.append({'name': run_name(run.directory), 'rows': recorder.rows, 'config': config})
      notes = {'epoch': self.epoch, 'step': self.step, 'runs': runs}
      steps_before = self.epoch * self._trainer.steps_per_epoch
      self._checkpoints.save(steps_before + self.step, self.state, notes)
    self._saved_at = time.monotonic()

  def _check_notes(self, steps: int, notes: Mapping[str, Any]) -> None:
    """Raises a ``ValueError`` if the notes of a checkpoint do not fit its number of steps."""
    epoch, step, saved = (notes.get(name) for name in ('epoch', 'step', 'runs'))
    if not (isinstance(epoch, int) and isinstance(step, int) and isinstance(saved, list)):
      raise ValueError('its notes lack epoch, step or runs')
    if epoch * self._trainer.steps_per_epoch + step != steps:
      raise ValueError(f'its notes are those of epoch {epoch}, step {step}')
    for run in saved:
      rows = run['rows']
      lengths = {len(rows.get(table) or ()) for table in TABLES}
      ended = len(lengths) == 1 and max(lengths) < epoch and is_complete(rows, epoch)
      if lengths != {epoch} and not ended:
        raise ValueError(f'its notes do not hold {epoch} rows of each table')

  def _records(self, test: EvalSums) -> tuple[dict[int, EpochRecord], dict[int, Any]]:
    """Waits for the sums of the epoch; returns the record and the phases of each active run."""
    rate = learning_rate_in(self.state.opt_state)
    has_momentum = only_in(self.state.opt_state, 'momentum') is not None
    fetched = jax.device_get((self.state.sums, test, rate))
    examples = self._trainer.test_examples
    records, phases = {}, {}
    by_run = self._engine.by_run(fetched)
    for index in self._active:
      sums, test, learning_rate = by_run[index]
      phases[index] = sums.phases
      records[index] = EpochRecord(
        epoch=self.epoch + 1,
        train_loss=float(sums.loss / sums.steps),
        test_loss=float(test.loss / examples),
        metric=self._trainer.metric(test),
        learning_rate=math.nan if learning_rate is None else float(learning_rate),
        high_loss_share=(
          math.nan if sums.phases is None else int(sums.phases.sum()) / int(sums.steps)
        ),
        mean_momentum=float(sums.momentum / sums.steps) if has_momentum else math.nan,
        gradient_norm=float(sums.gradient_norm / sums.steps),
      )
    return records, phases
