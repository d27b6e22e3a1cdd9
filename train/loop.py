"""The training of one run: one arm, one seed, from the first epoch to the last."""

import dataclasses
import math
import pathlib
import time
from collections.abc import Callable
from typing import Any

import jax
import optax

from train.checkpoints import Checkpoints
from train.experiments import Arm
from train.interrupts import Interrupts
from train.records import EpochRecord, Recorder
from train.setup import Setup
from train.step import EpochSums, EvalSums, TrainState

EVAL_BATCH_SIZE = 250  # on CPU faster than 1000, whose activations no cache holds


@dataclasses.dataclass(frozen=True)
class SavePolicy:
  """When a run is saved; at its end it always is.

  Attributes:
    epochs: After every so many epochs.
    minutes: Within an epoch, when the last time was so many minutes ago.
  """

  epochs: int = 1
  minutes: float = 10.0


class Run:
  """One run: what it starts from, how it goes on, and how it is saved."""

  def __init__(
    self,
    setup: Setup,
    arm: Arm,
    seed: int,
    directory: pathlib.Path,
    config: dict[str, Any],
    warn: Callable[[str], None],
  ):
    """Goes on from the newest checkpoint in the directory, or starts anew.

    Args:
      setup: What the runs of the comparison share.
      arm: The optimizer.
      seed: Determines weights, batches, augmentation and coins.
      directory: Where the run is recorded.
      config: See :func:`train.records.run_config`.
      warn: Called with a sentence about each damaged checkpoint.
    """
    self._setup = setup
    self._seed = seed
    _, self._train_step = setup.program(arm)
    self._checkpoints = Checkpoints(directory / 'checkpoints', warn)
    self._state = setup.initial_state(arm, seed)
    self.epoch = self.step = 0
    rows: dict[str, list[str]] = {}
    restored = self._checkpoints.restore(self._state)
    if restored is not None:
      self._state, notes = restored
      self.epoch, self.step = notes['epoch'], notes['step']
      rows = {'metrics': notes['metrics'], 'timing': notes['timing']}
    self._recorder = Recorder(directory, config, **rows)
    self._saved_at = time.monotonic()

  def train(
    self,
    policy: SavePolicy,
    interrupts: Interrupts,
    on_epoch: Callable[[EpochRecord, float], None],
  ) -> str | None:
    """Trains to the end.

    Within an epoch the host only sends work to the device, and waits for it at the end.

    Args:
      policy: When the run is saved.
      interrupts: Tells when to save and leave.
      on_epoch: Called with each epoch's record and its steps per second.

    Returns:
      None, or a sentence about where the run diverged.

    Raises:
      InterruptedRunError: If a signal came; the run is saved.
    """
    part = self._setup.part
    while self.epoch < part.epochs:
      start, first_step = time.perf_counter(), self.step
      self._train_epoch(policy, interrupts)
      jax.block_until_ready(self._state.sums)
      seconds, steps = time.perf_counter() - start, self.step - first_step
      test = evaluate(self._setup, self._state)
      record = summarise(self.epoch + 1, self._state, test, self._setup.test_examples)
      self._recorder.write(record, seconds, steps)
      on_epoch(record, steps / seconds)
      if not math.isfinite(record.train_loss):
        return (
          f'diverged in epoch {record.epoch}, step {int(self._state.sums.finite) + 1}: its loss is '
          'NaN or infinite; try a lower learning rate or momentum'
        )
      self.epoch, self.step = self.epoch + 1, 0
      self._state = self._state._replace(sums=EpochSums.zeros())
      if self.epoch % policy.epochs == 0 or self.epoch == part.epochs:
        self._save()
    return None

  def close(self) -> None:
    """Waits until everything is written."""
    self._recorder.close()
    self._checkpoints.close()

  def _train_epoch(self, policy: SavePolicy, interrupts: Interrupts) -> None:
    batch_size = self._setup.part.batch_size
    for batch in self._setup.train_input.epoch(self._seed, self.epoch, batch_size, self.step):
      self._state = self._train_step(self._state, batch, self._seed, self.epoch, self.step)
      self.step += 1
      overdue = time.monotonic() - self._saved_at > 60 * policy.minutes
      if overdue or interrupts.requested is not None:
        self._save()
      interrupts.leave_if_requested(f'in epoch {self.epoch + 1} after step {self.step}')

  def _save(self) -> None:
    notes = {
      'epoch': self.epoch,
      'step': self.step,
      'metrics': self._recorder.metrics,
      'timing': self._recorder.timing,
    }
    self._checkpoints.save(self.epoch * self._setup.steps_per_epoch + self.step, self._state, notes)
    self._saved_at = time.monotonic()


def evaluate(setup: Setup, state: TrainState) -> EvalSums:
  """Returns the sums over the whole test split, still on the device."""
  batches = setup.test_input.in_order(EVAL_BATCH_SIZE)
  sums = [setup.eval_step(state.params, state.rest, batch) for batch in batches]
  return jax.tree.map(lambda *parts: sum(parts), *sums)


def summarise(epoch: int, state: TrainState, test: EvalSums, test_examples: int) -> EpochRecord:
  """Waits for an epoch's sums and returns its record."""
  sums, test, learning_rate = jax.device_get(
    (state.sums, test, optax.tree.get(state.opt_state, 'hyperparams')['learning_rate'])
  )
  return EpochRecord(
    epoch=epoch,
    train_loss=float(sums.loss / sums.steps),
    test_loss=float(test.loss / test_examples),
    test_error_percent=100 * int(test.errors) / test_examples,
    learning_rate=float(learning_rate),
    high_loss_share=int(sums.high_loss_phase) / int(sums.steps),
    mean_momentum=float(sums.momentum / sums.steps),
    gradient_norm=float(sums.gradient_norm / sums.steps),
  )
