"""Trains one run: one arm, one seed, from the first epoch to the last."""

import dataclasses
import math
import pathlib
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
import optax

from train.data import Dataset, make_input
from train.data.randomness import epoch_order
from train.problem.arms import Arm
from train.problem.comparison import Comparison, wrong_answer
from train.problem.own_code import explain_errors
from train.storage.checkpoints import Checkpoints
from train.storage.configuration import check_same_run, compared_fields
from train.storage.tables import TABLES, EpochRecord, Recorder, check_start
from train.system import processes
from train.system.devices import choose_devices, describe_devices
from train.system.errors import StorageError
from train.system.signals import Interrupts
from train.training.checks import check_fit
from train.training.memory import KeptBuffers, batch_elements
from train.training.programs import (
  EVAL_BATCH_SIZE,
  EpochSums,
  EvalSums,
  TrainState,
  TrainStep,
  make_initializer,
  make_programs,
)


@dataclasses.dataclass(frozen=True)
class Settings:
  """How runs are saved, and where their data are; it does not change their numbers."""

  checkpoint_epochs: int = 1  # a run is saved every this many epochs, and at its end,
  checkpoint_minutes: float = 10.0  # and within an epoch, this many minutes after the last time
  data_dir: str | None = None  # where TFDS keeps its data sets; None is TFDS's own default
  stream: bool | None = None  # whether to stream data to the devices; None decides by size
  device_limit: int | None = None  # at most this many devices of each process; None means all


_DEFAULTS = Settings()


class Trainer:
  """What the runs of a comparison share: their data on the devices, and compiled programs.

  ``where`` is a sentence on the devices that a batch is divided among; empty for a single device.
  """

  def __init__(self, comparison: Comparison, dataset: Dataset, settings: Settings = _DEFAULTS):
    """Puts the data on the devices and checks that network, loss and metric fit them.

    Raises:
      UserError: If there is no such network, something does not fit, or devices are missing.
    """
    self.comparison = comparison
    self.settings = settings
    rows = min(comparison.batch_size, len(dataset.train))
    self.buffers = KeptBuffers(batch_elements(comparison, dataset))  # before JAX is used
    check_fit(comparison, dataset)
    self.devices = choose_devices(rows, settings.device_limit)
    self.where = describe_devices(self.devices, rows, settings.device_limit)
    self.programs = make_programs(comparison, dataset.num_classes, self.devices)
    self._initialize = make_initializer(comparison, dataset.num_classes, self.programs.model)
    self.train_input = make_input(dataset.train, settings.stream, self.devices)
    self.test_input = make_input(dataset.test, settings.stream, self.devices)
    self.train_examples, self.test_examples = len(dataset.train), len(dataset.test)
    self.steps_per_epoch = self.train_input.steps_per_epoch(comparison.batch_size)
    self._train_steps: dict[Any, TrainStep] = {}

  def start(
    self, arm: Arm, seed: int, partner_phases: np.ndarray | None = None
  ) -> tuple[TrainState, TrainStep]:
    """Returns the state before the first step of a run, and its training step.

    The arms of a seed start from the same weights. Arms that differ only in numbers share a step.
    """
    optimizer = self.comparison.build_optimizer(arm, self.steps_per_epoch, seed, partner_phases)
    if arm.program not in self._train_steps:
      self._train_steps[arm.program] = self.programs.make_train_step(optimizer)
    state = self.programs.initial_state(self._initialize(seed), optimizer, self.steps_per_epoch)
    return self.devices.replicate(state), self._train_steps[arm.program]

  def evaluate(self, arm: Arm, state: TrainState) -> EvalSums:
    """Returns the sums over the whole test split, still on the device."""
    with explain_errors(f'evaluation_params of {arm.name}'):
      params = arm.evaluation_params(state.opt_state, state.params)
    # Whole batches are divided evenly.
    batch_size = -(-EVAL_BATCH_SIZE // self.devices.count) * self.devices.count
    batches = self.test_input.in_order(batch_size)
    sums = [self.programs.eval_step(params, state.model_state, batch) for batch in batches]
    return jax.tree.map(lambda *parts: sum(parts), *sums)


class Training:
  """Trains one run and saves it; a context manager.

  ``state`` is the state after ``epoch`` whole epochs and ``step`` steps of the next one.
  """

  def __init__(
    self,
    trainer: Trainer,
    arm: Arm,
    seed: int,
    directory: pathlib.Path,
    config: Mapping[str, Any],
    warn: Callable[[str], None],
    partner_phases: np.ndarray | None = None,
  ):
    """Resumes the newest checkpoint in the directory of the run, or starts it.

    Calls ``warn`` with a sentence about each damaged checkpoint. A yoked arm replays the phases of
    its partner.

    Raises:
      UserError: If none of its checkpoints can be read, or they are of another configuration.
    """
    self._trainer = trainer
    self._arm = arm
    self._seed = seed
    self._config = config
    self._checkpoints = Checkpoints(directory / 'checkpoints', warn, trainer.devices)
    self.state, self._train_step = trainer.start(arm, seed, partner_phases)
    self.epoch = self.step = 0
    self._directory = directory
    self._check_start({'norm of the initial weights': float(optax.tree.norm(self.state.params))})
    rows: dict[str, list[str]] = {}
    restored = self._checkpoints.restore(self.state, self._check_notes)
    if restored is not None:
      self.state, notes = restored
      check_same_run(directory, notes['config'], config)
      self.epoch, self.step, rows = notes['epoch'], notes['step'], notes['rows']
    is_first = processes.is_first()
    self._recorder = Recorder(directory, config, rows, trainer.devices.count) if is_first else None
    self._saved_at = time.monotonic()

  def __enter__(self) -> 'Training':
    return self

  def __exit__(self, kind: type[BaseException] | None, *_) -> None:
    """Waits until everything is written, unless writing failed."""
    if kind is None or not issubclass(kind, OSError | StorageError):
      if self._recorder is not None:
        self._recorder.close()
      self._checkpoints.close()

  def train(
    self, interrupts: Interrupts, on_epoch: Callable[[EpochRecord, float], None]
  ) -> str | None:
    """Trains to the end, or until the run diverges.

    Within an epoch the host only queues work for the device; it waits at the end of the epoch.
    Calls ``on_epoch`` with each epoch's record and its steps per second.

    Returns:
      None, or words about where the run diverged, to follow its name.

    Raises:
      InterruptedRunError: If a signal came; the run is saved.
    """
    comparison = self._trainer.comparison
    while self.epoch < comparison.epochs:
      start, first_step = time.perf_counter(), self.step
      self._train_epoch(interrupts)
      jax.block_until_ready(self.state.sums)
      seconds, steps = time.perf_counter() - start, self.step - first_step
      record = self._record(self._trainer.evaluate(self._arm, self.state))
      phases = self.state.sums.phases
      if self._recorder is not None:
        self._recorder.write(record, () if phases is None else np.asarray(phases), seconds, steps)
      on_epoch(record, steps / seconds)
      if not math.isfinite(record.train_loss):
        step = int(self.state.sums.finite) + 1
        reason = 'try a lower learning rate or momentum'
        if record.epoch == step == 1 and not processes.together():
          reason = self._why_not_finite()
        return (
          f'diverged in epoch {record.epoch}, step {step}: its loss is NaN or infinite; {reason}'
        )
      self.epoch, self.step = self.epoch + 1, 0
      sums = EpochSums.zeros(None if phases is None else len(phases))
      self.state = self.state._replace(sums=self._trainer.devices.replicate(sums))
      if (
        self.epoch % self._trainer.settings.checkpoint_epochs == 0
        or self.epoch == comparison.epochs
      ):
        self._save()
    return None

  def _why_not_finite(self) -> str:
    """Returns words about a first batch whose loss is not finite, before any update."""
    trainer = self._trainer
    state, _ = trainer.start(self._arm, self._seed)
    batch = next(iter(trainer.train_input.epoch(self._seed, 0, trainer.comparison.batch_size)))
    outputs, losses = trainer.programs.finite_examples(state.params, state.model_state, batch)
    order = np.asarray(epoch_order(self._seed, 0, trainer.train_examples))
    for what, finite in (('outputs of the network', outputs), ('losses', losses)):
      if not finite.all():
        return (
          f'before any update the {what} are so for {int((~finite).sum())} of {len(finite)} examples, '
          f'the first in row {order[int(finite.argmin())]} of the training data: check that row (are '
          'tokens and classes in range?), the network and the loss'
        )
    return 'before any update it is so for the whole batch only: check the network and the loss'

  def _train_epoch(self, interrupts: Interrupts) -> None:
    trainer = self._trainer
    batch_size = trainer.comparison.batch_size
    for batch in trainer.train_input.epoch(self._seed, self.epoch, batch_size, self.step):
      self.state = self._train_step(self.state, batch, self._seed, self.epoch, self.step)
      self.step += 1
      if self.epoch == 0 and self.step == 1:
        self._check_start({'loss of the first batch': float(self.state.sums.loss)})
      trainer.buffers.give_back_if_scarce()
      if time.monotonic() - self._saved_at > 60 * trainer.settings.checkpoint_minutes:
        self._save()
      interrupts.leave_if_requested(f'in epoch {self.epoch + 1} after step {self.step}', self._save)

  def _check_start(self, numbers: dict[str, float]) -> None:
    processes.from_first(lambda: check_start(self._directory, numbers))

  def _save(self) -> None:
    if self._recorder is not None:
      notes = {
        'epoch': self.epoch,
        'step': self.step,
        'rows': self._recorder.rows,
        'config': compared_fields(self._config),
      }
      steps_before = self.epoch * self._trainer.steps_per_epoch
      self._checkpoints.save(steps_before + self.step, self.state, notes)
    self._saved_at = time.monotonic()

  def _check_notes(self, steps: int, notes: Mapping[str, Any]) -> None:
    """Raises a ``ValueError`` if the notes of a checkpoint do not fit its number of steps."""
    epoch, step, rows = (notes.get(name) for name in ('epoch', 'step', 'rows'))
    if not (isinstance(epoch, int) and isinstance(step, int) and isinstance(rows, dict)):
      raise ValueError('its notes lack epoch, step or rows')
    if epoch * self._trainer.steps_per_epoch + step != steps:
      raise ValueError(f'its notes are those of epoch {epoch}, step {step}')
    if any(len(rows.get(table) or ()) != epoch for table in TABLES):
      raise ValueError(f'its notes do not hold {epoch} rows of each table')

  def _record(self, test: EvalSums) -> EpochRecord:
    """Waits for the sums of the epoch and returns its record."""
    sums, test, hyperparams = jax.device_get(
      (self.state.sums, test, optax.tree.get(self.state.opt_state, 'hyperparams'))
    )
    examples = self._trainer.test_examples
    has_momentum = optax.tree.get(self.state.opt_state, 'momentum') is not None
    percent = 100 if self._trainer.comparison.metric is wrong_answer else 1
    return EpochRecord(
      epoch=self.epoch + 1,
      train_loss=float(sums.loss / sums.steps),
      test_loss=float(test.loss / examples),
      metric=percent * test.metric.item() / examples,
      learning_rate=float((hyperparams or {}).get('learning_rate', math.nan)),
      high_loss_share=(
        math.nan if sums.phases is None else int(sums.phases.sum()) / int(sums.steps)
      ),
      mean_momentum=float(sums.momentum / sums.steps) if has_momentum else math.nan,
      gradient_norm=float(sums.gradient_norm / sums.steps),
    )
