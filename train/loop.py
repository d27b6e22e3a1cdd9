"""The training of one run: one arm, one seed, from the first epoch to the last."""

import time
from collections.abc import Callable

import jax
import optax

from train.experiments import Arm
from train.records import EpochRecord, RunRecorder
from train.setup import Setup
from train.step import EpochSums, EvalSums, TrainState

EVAL_BATCH_SIZE = 1000


def train_run(
  setup: Setup,
  arm: Arm,
  seed: int,
  recorder: RunRecorder,
  on_epoch: Callable[[EpochRecord, float], None],
) -> None:
  """Trains one run and records every epoch.

  Within an epoch the host only sends work to the device; it waits for the device once, for the
  epoch's sums.

  Args:
    setup: What the runs of the experiment share.
    arm: The momenta.
    seed: Determines weights, batches and augmentation.
    recorder: Where the epochs are recorded.
    on_epoch: Called with each epoch's record and its seconds.
  """
  experiment = setup.experiment
  state = setup.initial_state(arm, seed)
  for epoch in range(experiment.epochs):
    start = time.perf_counter()
    state = state._replace(sums=EpochSums.zeros())
    batches = setup.train_input.epoch(seed, epoch, experiment.batch_size)
    for step, batch in enumerate(batches):
      state = setup.train_step(state, batch, seed, epoch, step)
    record = summarise(epoch, state, evaluate(setup, state), setup.test_examples)
    seconds = time.perf_counter() - start
    recorder.write(record, seconds, setup.steps_per_epoch)
    on_epoch(record, seconds)


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
    epoch=epoch + 1,
    train_loss=float(sums.loss / sums.steps),
    test_loss=float(test.loss / test_examples),
    test_error_percent=100 * int(test.errors) / test_examples,
    learning_rate=float(learning_rate),
    high_loss_share=int(sums.high_loss_phase) / int(sums.steps),
    mean_momentum=float(sums.momentum / sums.steps),
    gradient_norm=float(sums.gradient_norm / sums.steps),
  )
