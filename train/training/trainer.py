"""What the runs of a comparison share: data on the devices, and compiled programs."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, NamedTuple

import jax
import numpy as np
import optax

from train.data import Dataset, make_input
from train.problem.arms import Arm
from train.problem.comparison import Comparison
from train.problem.own_code import explain_errors
from train.system import processes
from train.system.devices import choose_devices, describe_devices
from train.training.checks import check_fit
from train.training.memory import KeptBuffers, batch_elements
from train.training.programs import (
  EvalSums,
  TrainState,
  TrainStep,
  eval_batch_size,
  make_initializer,
  make_programs,
)


@dataclasses.dataclass(frozen=True)
class Settings:
  """How runs are saved and trained, and where their data are; it changes rounding at most."""

  checkpoint_epochs: int = 1  # a run is saved every this many epochs, and at its end,
  checkpoint_minutes: float = 10.0  # and within an epoch, this many minutes after the last time
  data_dir: str | None = None  # where TFDS keeps its data sets; None is TFDS's own default
  stream: bool | None = None  # whether to stream data to the devices; None decides by size
  device_limit: int | None = None  # at most this many devices of each process; None means all
  together: int | Literal['auto', 'off'] = 'off'  # how many runs are trained as one program
  tensorboard: bool = False  # whether runs trained together write TensorBoard events, too


_DEFAULTS = Settings()


class Start(NamedTuple):
  """What a run starts from; a yoked arm replays the phases of its partner."""

  arm: Arm
  seed: int
  partner_phases: np.ndarray | None = None


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
    self.num_classes = dataset.num_classes
    self._initialize = make_initializer(comparison, dataset.num_classes, self.programs.model)
    self.train_input = make_input(dataset.train, settings.stream, self.devices)
    self.test_input = make_input(dataset.test, settings.stream, self.devices)
    self.train_examples, self.test_examples = len(dataset.train), len(dataset.test)
    self._test_labels = dataset.test.labels
    self.steps_per_epoch = self.train_input.steps_per_epoch(comparison.batch_size)
    self._train_steps: dict[Any, TrainStep] = {}
    self.lane_programs: dict[int, Any] = {}  # by the number of runs that they train at once

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

  def evaluate(self, eval_step: Callable[..., EvalSums], params: Any, model_state: Any) -> EvalSums:
    """Returns the sums over the whole test split, still on the device."""
    # Whole batches are divided evenly.
    count = self.devices.count
    batch_size = -(-eval_batch_size(self.comparison, self.train_examples) // count) * count
    sums, outputs = [], []
    for batch in self.test_input.in_order(batch_size):
      of_batch = eval_step(params, model_state, batch)
      sums.append(of_batch._replace(outputs=None))
      outputs.append(jax.device_get(of_batch.outputs))  # all of them may not fit on the device
    return jax.tree.map(lambda *parts: sum(parts), *sums)._replace(outputs=outputs)

  def metric(self, test: EvalSums) -> float:
    """Returns the metric of one run from what was evaluated, on the host; the same on all processes."""
    metric = self.comparison.metric
    if metric.per_example:
      return metric.mean(test.metric.item(), self.test_examples)
    outputs = jax.tree.map(lambda *parts: np.concatenate(parts), *test.outputs)
    labels = self._test_labels
    # A copy, which the function may change.
    targets = np.array(labels, jax.dtypes.canonicalize_dtype(labels.dtype))
    return processes.from_first(lambda: metric.of_all(outputs, targets))


class Alone:
  """Trains one run; a Python loop calls its steps, and its batches may be streamed or divided."""

  lanes = None

  def __init__(self, trainer: Trainer, start: Start):
    """Starts the run; ``state`` is the state before the first step."""
    self._trainer, self._start = trainer, start
    self.state, self._train_step = trainer.start(*start)

  def train(self, state: TrainState, epoch: int, step: int) -> Iterator[tuple[TrainState, int]]:
    """Trains to the end of an epoch; yields state and number of steps after each of them.

    Only queues work for the device. Donates the states.
    """
    seed, batch_size = self._start.seed, self._trainer.comparison.batch_size
    for batch in self._trainer.train_input.epoch(seed, epoch, batch_size, step):
      state = self._train_step(state, batch, seed, epoch, step)
      step += 1
      yield state, step

  def evaluate(self, state: TrainState) -> EvalSums:
    """Returns the sums over the whole test split, still on the device."""
    arm = self._start.arm
    with explain_errors(f'evaluation_params of {arm.name}'):
      params = arm.evaluation_params(state.opt_state, state.params)
    trainer = self._trainer
    return trainer.evaluate(trainer.programs.eval_step, params, state.model_state)

  def pick(self, state: TrainState, lanes: Sequence[int]) -> TrainState:
    """Returns the state of the run that was trained in a lane, the only one."""
    return state

  def norm(self, params: Any) -> np.ndarray:
    """Returns the norm of the parameters."""
    return np.asarray(optax.tree.norm(params))

  def by_run(self, tree: Any) -> list[Any]:
    """Returns the part of each run of arrays on the host."""
    return [tree]
