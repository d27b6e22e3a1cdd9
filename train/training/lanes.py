"""Trains several runs at once, each in a lane of one compiled program.

``jax.vmap`` adds an axis of lanes to the training step, and a loop of XLA runs the steps. The number of
lanes is fixed, and no lane reads another: the numbers of a run depend neither on the runs beside it nor
on how many they are.
"""

import functools
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from train.data import Batch, ResidentInput
from train.data.randomness import epoch_order
from train.problem.arms import Arm
from train.problem.comparison import Comparison
from train.problem.networks import Mlp, OwnNetwork
from train.problem.numbers import numbers_of, structure_of, with_numbers
from train.problem.own_code import explain_errors
from train.system.errors import UserError
from train.training.compiler_options import compiler_options
from train.training.memory import memory_limit, step_bytes
from train.training.programs import EvalSums, TrainState, split_network
from train.training.trainer import Start, Trainer

USUAL_LANES = 16  # weights and traces of small networks fit in a cache of one core
_KEPT_BYTES = 2**26  # of orders: arms with the same seeds share them
_STEPS_AT_ONCE = 128  # in one loop of XLA; signals are answered between two of them
# Of a step of one run on a CPU; with more operations lanes gain less, and unused ones cost more.
_MOST_FLOPS = 1e8


class LanePrograms:
  """The compiled programs that all groups of runs share.

  Attributes:
    trainer: What all runs share.
    width: The number of lanes.
    jit: ``jax.jit`` with options for programs that run often.
    jit_once: ``jax.jit`` with options for programs that run once in a training.
    draw: ``draw(seeds)`` returns initial parameters and other variables.
    orders: ``orders(seeds, epoch)`` returns the orders of the training examples.
    kept_orders: The same, of a tuple of seeds; the last ones are kept.
    eval_step: ``eval_step(params, model_state, batch) -> EvalSums``, an axis of lanes on all but the
      batch.
  """

  def __init__(self, trainer: Trainer, width: int):
    """Compiles nothing yet."""
    self.trainer, self.width = trainer, width
    network, examples = trainer.comparison.network, trainer.train_examples
    once = compiler_options(network, runs_once=True)
    self.jit = functools.partial(jax.jit, compiler_options=compiler_options(network))
    self.jit_once = functools.partial(jax.jit, compiler_options=once)
    self.draw = self.jit_once(self.weights)
    self.orders = jax.jit(
      jax.vmap(lambda seed, epoch: epoch_order(seed, epoch, examples), (0, None))
    )
    self.kept_orders = functools.lru_cache(_KEPT_BYTES // (4 * width * examples))(
      lambda seeds, epoch: self.orders(np.array(seeds, np.int32), epoch)
    )
    self.eval_step = self.jit(jax.vmap(trainer.programs.evaluate, (0, 0, None)))
    self._groups: dict[Hashable, GroupPrograms] = {}

  @property
  def data(self) -> Batch:
    """The training split."""
    assert isinstance(self.trainer.train_input, ResidentInput)
    return self.trainer.train_input.whole

  def weights(self, seeds: jax.Array) -> tuple[Any, Any]:
    """Returns initial parameters and other variables, not jitted."""
    trainer = self.trainer

    def of_seed(seed):
      key = jax.random.key(seed)
      return split_network(trainer.comparison.build_network(trainer.num_classes, key))[1:]

    return jax.vmap(of_seed)(seeds)

  def of(self, arm: Arm) -> 'GroupPrograms':
    """Returns the programs of an arm, the same for all arms that can be trained together."""
    arm = arm.general
    found = self._programs_of(structure_of(arm), arm, numbers_traced=True)
    return found if found.exist else self._programs_of((arm,), arm, numbers_traced=False)

  def _programs_of(self, key: Hashable, arm: Arm, numbers_traced: bool) -> 'GroupPrograms':
    if key not in self._groups:
      self._groups[key] = GroupPrograms(self, arm, numbers_traced)
    return self._groups[key]


class GroupPrograms:
  """The compiled programs of one arm, or of all arms that differ from it in numbers only."""

  def __init__(self, shared: LanePrograms, arm: Arm, numbers_traced: bool):
    """Compiles nothing yet."""
    self.shared, self._arm, self._numbers_traced = shared, arm, numbers_traced
    self._start = shared.jit_once(self._start_lanes)
    self.evaluation_params = jax.jit(self._evaluation_params)

  @functools.cached_property
  def exist(self) -> bool:
    """Whether the programs can be made."""
    try:
      self._lowered  # noqa: B018
    except Exception:  # of any type; `reason_against` says what it was
      return False
    return True

  @functools.cached_property
  def loops(self) -> bool:
    """Whether XLA loops over steps: in its loops on a CPU, a convolution is far slower."""
    return jax.default_backend() != 'cpu' or not self._convolves

  @functools.cached_property
  def train(self) -> Callable[..., TrainState]:
    """``train(state, numbers, data, orders, seeds, epoch, step, stop, size) -> state``.

    It trains from ``step`` to ``stop`` on batches of ``size`` examples, or a step if it does not loop,
    and donates the state.
    """
    return self._jit_train(self.loops)

  def numbers(self, starts: Sequence[Start]) -> list[np.ndarray]:
    """Returns the numbers of the arms, each of all lanes."""
    if not self._numbers_traced:
      return []
    rows = [numbers_of(start.arm.general) for start in starts]
    return [np.array(column, np.float32) for column in zip(*rows, strict=True)]

  def start(self, starts: Sequence[Start], seeds: jax.Array) -> TrainState:
    """Returns the states before the first steps."""
    params, model_state = self.shared.draw(seeds)
    phases = None
    if starts[0].partner_phases is not None:
      phases = np.stack([start.partner_phases for start in starts]).astype(np.int8)
    rest = self._start(self.numbers(starts), params, seeds, phases)
    # In buffers of its own: the state is donated, and may hold numbers and seeds as they were given.
    return _pick(TrainState(params, model_state, *rest), np.arange(self.shared.width))

  def reason_against(self) -> str | None:
    """Returns why runs are not trained at once: None if they are, '' if there is no need to say it.

    Raises:
      UserError: If so many were asked for, and they need more memory than the device has.
    """
    trainer, width = self.shared.trainer, self.shared.width
    try:
      with explain_errors('The training step of several runs'):
        lowered = self._lowered
    except UserError as error:
      return f'Runs are trained one by one, because they cannot be trained at once: {error}'
    asked = trainer.settings.together != 'auto'
    if not asked and self._convolves:  # slower on a CPU, and agrees less with runs alone
      return ''
    if jax.default_backend() == 'cpu' and not asked:
      flops = (lowered.cost_analysis() or {}).get('flops', 0)
      return '' if flops > width * _MOST_FLOPS else None
    needed, limit = step_bytes(lowered.compile()), memory_limit()
    if needed <= limit:
      return None
    if asked:
      raise UserError(
        f'{width} runs of {trainer.comparison.network.describe()} at once take '
        f'{needed / 2**30:,.1f} GiB, and a device has {limit / 2**30:,.1f} GiB: lower --together.'
      )
    return ''

  @functools.cached_property
  def _convolves(self) -> bool:
    return 'stablehlo.convolution' in self._lowered.as_text()

  @functools.cached_property
  def _lowered(self) -> jax.stages.Lowered:
    shared = self.shared
    seeds = jax.ShapeDtypeStruct((shared.width,), jnp.int32)
    params, model_state = jax.eval_shape(shared.weights, seeds)
    numbers = self.numbers([Start(self._arm, 0)] * shared.width)
    rest = jax.eval_shape(self._start_lanes, numbers, params, seeds, None)
    state, orders = TrainState(params, model_state, *rest), jax.eval_shape(shared.orders, seeds, 0)
    size = min(shared.trainer.comparison.batch_size, shared.trainer.train_examples)
    train = self._jit_train(loops=True)
    return train.lower(state, numbers, shared.data, orders, seeds, 0, 0, 1, size)

  def _arm_with(self, numbers: Sequence[jax.Array]) -> Arm:
    return with_numbers(self._arm, iter(numbers)) if self._numbers_traced else self._arm

  def _optimizer(self, numbers: Sequence[jax.Array], seed: Any, phases: Any = None) -> Any:
    trainer = self.shared.trainer
    return trainer.comparison.build_optimizer(
      self._arm_with(numbers), trainer.steps_per_epoch, seed, phases, self._arm.name
    )

  def _start_lanes(self, numbers: Any, params: Any, seeds: jax.Array, phases: Any) -> Any:
    """Returns the states of the optimizers, and the sums of no steps."""
    trainer = self.shared.trainer

    def start(numbers, params, seed, phases):
      optimizer = self._optimizer(numbers, seed, phases)
      return trainer.programs.start(params, optimizer, trainer.steps_per_epoch)

    return jax.vmap(start)(numbers, params, seeds, phases)

  def _evaluation_params(self, numbers: Any, opt_state: Any, params: Any) -> Any:
    def evaluated(numbers, opt_state, params):
      return self._arm_with(numbers).evaluation_params(opt_state, params)

    return jax.vmap(evaluated)(numbers, opt_state, params)

  def _jit_train(self, loops: bool) -> Any:
    trainer = self.shared.trainer
    batch_size = trainer.comparison.batch_size

    def train(state, numbers, data, orders, seeds, epoch, step, stop, size):
      def train_lane(state, numbers, order, seed, step):
        rows = jax.lax.dynamic_slice(order, (step * batch_size,), (size,))
        train_step = trainer.programs.train_step(self._optimizer(numbers, seed))
        return train_step(state, data._replace(rows=rows), seed, epoch, step)

      def train_lanes(step, state):
        return jax.vmap(train_lane, (0, 0, 0, 0, None))(state, numbers, orders, seeds, step)

      return (
        jax.lax.fori_loop(step, stop, train_lanes, state) if loops else train_lanes(step, state)
      )

    return self.shared.jit(train, donate_argnums=0, static_argnames='size')


class Lanes:
  """Trains runs at once whose arms share programs; has the methods of ``Alone``."""

  def __init__(self, programs: LanePrograms, starts: Sequence[Start], data: Batch | None = None):
    """Starts the runs; ``state`` is the state before the first step.

    ``data`` are training examples in place of the trainer's, of the same number and shape.
    """
    self.lanes = programs.width
    self._data = data or programs.data
    self._programs, self._of_arm = programs, programs.of(starts[0].arm)
    starts = [*starts, *[starts[0]] * (self.lanes - len(starts))]  # all lanes are trained
    assert all(programs.of(start.arm) is self._of_arm for start in starts)
    self._kept_seeds = tuple(start.seed for start in starts)
    self._seeds = jnp.asarray(self._kept_seeds, jnp.int32)
    self._numbers = self._of_arm.numbers(starts)
    self.state = self._of_arm.start(starts, self._seeds)

  def train(self, state: TrainState, epoch: int, step: int) -> Iterator[tuple[TrainState, int]]:
    """Trains to the end of an epoch; yields state and number of steps from time to time.

    Only queues work for the device. Donates the states. Yields after the first step of a run.
    """
    trainer, of_arm = self._programs.trainer, self._of_arm
    orders = self._programs.kept_orders(self._kept_seeds, epoch)
    whole, rest = divmod(trainer.train_examples, trainer.comparison.batch_size)
    while step < trainer.steps_per_epoch:
      if step == whole or not of_arm.loops or epoch == step == 0:
        stop = step + 1
      else:
        stop = min(step + _STEPS_AT_ONCE, whole)
      size = rest if step == whole else trainer.comparison.batch_size
      data = self._data
      state = of_arm.train(state, self._numbers, data, orders, self._seeds, epoch, step, stop, size)
      step = stop
      yield state, step

  def evaluate(self, state: TrainState) -> EvalSums:
    """Returns the sums of each lane over the whole test split, still on the device."""
    params = self._of_arm.evaluation_params(self._numbers, state.opt_state, state.params)
    eval_step = self._programs.eval_step
    return self._programs.trainer.evaluate(eval_step, params, state.model_state)

  def pick(self, state: TrainState, lanes: Sequence[int]) -> TrainState:
    """Returns the states of the runs that were trained in these lanes."""
    return _pick(state, np.array([*lanes, *[lanes[0]] * (self.lanes - len(lanes))]))

  def norm(self, params: Any) -> np.ndarray:
    """Returns the norm of the parameters in each lane."""
    return np.asarray(_norm(params))

  def by_run(self, tree: Any) -> list[Any]:
    """Returns the part of each lane of arrays on the host."""
    leaves, structure = jax.tree.flatten(tree)
    return [jax.tree.unflatten(structure, of_lane) for of_lane in zip(*leaves, strict=True)]


_norm = jax.jit(jax.vmap(optax.tree.norm))
_pick = jax.jit(lambda state, lanes: jax.tree.map(lambda leaf: leaf[lanes], state))


def may_be_together(comparison: Comparison, together: int | str) -> bool:
  """Returns whether runs may be trained at once, before anything is loaded."""
  convolves = not isinstance(comparison.network, OwnNetwork | Mlp)  # as the others do
  return together != 'off' and not (together == 'auto' and convolves)


def usual_lanes(trainer: Trainer) -> int | None:
  """Returns how many runs the settings train at once; None if each is trained alone.

  Raises:
    UserError: If it was asked for, and other settings rule it out.
  """
  together = trainer.settings.together
  if together == 'off' or not may_be_together(trainer.comparison, together):
    return None
  reason = None
  if trainer.devices.count > 1:
    reason = 'a batch is divided among devices: add --devices 1'
  elif not isinstance(trainer.train_input, ResidentInput):
    reason = 'the data are streamed: leave --stream out if they fit on the device'
  elif getattr(trainer.comparison.network, 'pretrained', None):
    reason = 'the network starts from pretrained weights: leave --pretrained out'
  if together == 'auto':
    return USUAL_LANES if reason is None else None
  if reason is not None:
    raise UserError(f'--together {together} is not possible where {reason}, or leave it out.')
  return together


def lane_programs(trainer: Trainer, lanes: int) -> LanePrograms:
  """Returns the programs that train so many runs at once, made once."""
  if lanes not in trainer.lane_programs:
    trainer.lane_programs[lanes] = LanePrograms(trainer, lanes)
  return trainer.lane_programs[lanes]
