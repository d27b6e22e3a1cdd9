"""The programs of a network: initial weights, training steps, and an evaluation step."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jaxtyping import Array, Float, Int, Int8, Key

from lcam_optax import loss_phase_weights
from train.data import Batch, Preprocessing, gather, step_key
from train.problem.comparison import Comparison, cross_entropy
from train.problem.metrics import Metric, PerExample, metric_of, wrong_answer
from train.problem.own_code import explain_errors
from train.system.devices import ONE_DEVICE, Devices
from train.training.compiler_options import CompilerOptions, compiler_options
from train.training.memory import check_parameters_fit

Scalar = Float[Array, '']
TrainStep = Callable[..., 'TrainState']
USUAL_METRIC = metric_of(wrong_answer)
_EVAL_BATCH_SIZE = 250  # on a CPU faster than 1000, whose activations exceed its caches


class EpochSums(NamedTuple):
  """Sums over the steps of an epoch, kept on the device so that no step waits for the host."""

  steps: Int[Array, '']
  loss: Scalar  # its mean is what the authors log, although the last batch may be smaller
  momentum: Scalar
  gradient_norm: Scalar  # of gradients before weight decay
  finite: Int[Array, '']  # the number of steps before the first whose loss is NaN or infinite
  phases: Int8[Array, ' steps_per_epoch'] | None  # 1 for a high loss; None without a loss phase

  @classmethod
  def zeros(cls, phases: int | None = None) -> 'EpochSums':
    """Returns the sums of no steps, each in a buffer of its own, so that they can be donated."""
    return cls(
      steps=jnp.zeros([], jnp.int32),
      loss=jnp.zeros([], jnp.float32),
      momentum=jnp.zeros([], jnp.float32),
      gradient_norm=jnp.zeros([], jnp.float32),
      finite=jnp.zeros([], jnp.int32),
      phases=None if phases is None else jnp.zeros(phases, jnp.int8),
    )


class TrainState(NamedTuple):
  """All that a step changes."""

  # Nested dictionaries: Python takes the leaves of an NNX state apart at each call, which costs more
  # than a short step.
  params: Any  # the trainable parameters
  model_state: Any  # the other variables of the network, such as batch statistics
  opt_state: Any
  sums: EpochSums  # of the current epoch


class EvalSums(NamedTuple):
  """Sums of losses and metric over test examples."""

  loss: Scalar
  metric: Scalar | None  # None for a metric of the whole split,
  outputs: Any = None  # which needs the outputs; in the end a list of those of each batch


class Programs:
  """The programs of one network on one kind of input.

  Attributes:
    model: The network that it was made with.
    jit: ``jax.jit`` with the devices and XLA options of these programs.
    eval_step: ``eval_step(params, model_state, batch) -> EvalSums``, jitted.
  """

  def __init__(
    self,
    model: nnx.Module,
    preprocessing: Preprocessing,
    loss: PerExample = cross_entropy,
    metric: Metric = USUAL_METRIC,
    devices: Devices = ONE_DEVICE,
    compiler_options: CompilerOptions | None = None,
  ):
    """Keeps the structure of the network, for which ``nnx.eval_shape`` of it is enough."""
    self.model = model
    self._graphdef, _, _ = split_network(model)
    self.preprocessing = preprocessing
    self._loss = explain_errors(loss.__name__)(loss)
    self._metric = explain_errors(metric.name)(metric.function) if metric.per_example else None
    self._devices = devices
    self.jit = partial(jax.jit, out_shardings=devices.replicated, compiler_options=compiler_options)
    self.eval_step = self.jit(self.evaluate)

  def initial_state(
    self,
    model: nnx.Module,
    optimizer: optax.GradientTransformationExtraArgs,
    steps_per_epoch: int,
  ) -> TrainState:
    """Returns the state before the first step, on this process's default device."""
    _, params, model_state = split_network(model)

    # One program; one for each shape would take a second to compile.
    start = jax.jit(lambda params: self.start(params, optimizer, steps_per_epoch))
    return TrainState(params, model_state, *start(params))

  def start(
    self, params: Any, optimizer: optax.GradientTransformationExtraArgs, steps_per_epoch: int
  ) -> tuple[Any, EpochSums]:
    """Returns the state of the optimizer before the first step, and the sums of no steps."""
    opt_state = optimizer.init(params)
    has_phases = only_in(opt_state, 'high_loss_phase') is not None
    return opt_state, EpochSums.zeros(steps_per_epoch if has_phases else None)

  def loss(self, params, model_state, inputs, targets, strength=None) -> tuple[jax.Array, Any]:
    """Returns the mean loss of a batch in training mode, and the model state after it.

    With a strength the gradient, but not the mean, is that of the losses times their weights.
    """
    model = nnx.merge(self._graphdef, params, model_state, copy=True)
    model.train()
    outputs = _outputs(model, inputs)
    _, _, model_state = split_network(model)
    losses = in_float32(self._loss(outputs, targets))
    mean = losses.mean()
    if strength is not None:
      weights = loss_phase_weights(losses.astype(mean.dtype), strength)
      weighted = (weights * losses).mean()
      mean = jax.lax.stop_gradient(mean) + (weighted - jax.lax.stop_gradient(weighted))
    return mean, model_state

  def make_train_step(self, optimizer: optax.GradientTransformationExtraArgs) -> TrainStep:
    """Returns the training step, jitted; the state is donated."""
    return self.jit(self.train_step(optimizer), donate_argnums=0)

  def train_step(self, optimizer: optax.GradientTransformationExtraArgs) -> TrainStep:
    """Returns a training step, not jitted.

    It is ``train_step(state, batch, seed, epoch, step) -> state``, and serves for all optimizers that
    differ only in what their states hold. The augmentation is a pure function of the integers
    ``seed``, ``epoch`` and ``step``.
    """

    def train_step(state: TrainState, batch: Batch, seed, epoch, step) -> TrainState:
      inputs, targets = self._devices.divide(gather(batch))
      inputs = self.preprocessing.train(step_key(seed, epoch, step), inputs)
      (loss, model_state), grads = jax.value_and_grad(self.loss, has_aux=True)(
        state.params,
        state.model_state,
        inputs,
        targets,
        # Not a name that an optimizer of the user's may have.
        only_in(state.opt_state, 'loss_phase_strength'),
      )
      updates, opt_state = optimizer.update(grads, state.opt_state, state.params, value=loss)
      params = optax.apply_updates(state.params, updates)
      sums = _add_step(state.sums, loss, grads, opt_state, step)
      return TrainState(params, model_state, opt_state, sums)

    return train_step

  def evaluate(self, params, model_state, batch: Batch) -> EvalSums:
    inputs, targets = self._devices.divide(gather(batch))
    outputs = self._evaluated(params, model_state, inputs)

    def sum_of(function: PerExample) -> Scalar:
      # Sums in a shorter dtype, or in int32, overflow.
      values = function(outputs, targets).astype(jnp.float32)
      return values.sum() if values.ndim else values * len(targets)  # one for the batch

    if self._metric is None:
      return EvalSums(sum_of(self._loss), None, outputs)
    return EvalSums(sum_of(self._loss), sum_of(self._metric))

  def _evaluated(self, params, model_state, inputs) -> Any:
    """Returns the outputs of the network in evaluation mode."""
    model = nnx.merge(self._graphdef, params, model_state, copy=True)
    model.eval()
    return _outputs(model, self.preprocessing.evaluate(inputs))

  def finite_examples(self, params, model_state, batch: Batch) -> tuple[jax.Array, jax.Array]:
    """Returns for each example of a batch whether its outputs, and its loss, are finite.

    A loss of the whole batch is that of no example.
    """
    inputs, targets = gather(batch)
    outputs = self._evaluated(params, model_state, inputs)
    rows = [
      jnp.isfinite(leaf).reshape(len(targets), -1).all(1) for leaf in jax.tree.leaves(outputs)
    ]
    losses = self._loss(outputs, targets)
    finite = jnp.isfinite(losses) if losses.ndim else jnp.full(len(targets), True)
    return jnp.stack(rows).all(0), finite


def make_programs(
  comparison: Comparison, num_classes: int, devices: Devices = ONE_DEVICE
) -> Programs:
  """Returns the programs of a comparison's network; allocates nothing.

  Raises:
    UserError: If there is no such network, or no device could hold it.
  """
  structure = nnx.eval_shape(lambda: comparison.build_network(num_classes))
  parameters = jax.tree.leaves(nnx.state(structure, nnx.Param))
  check_parameters_fit(sum(array.size for array in parameters), comparison.network.describe())
  return Programs(
    structure,
    comparison.preprocessing,
    comparison.loss,
    comparison.metric,
    devices,
    compiler_options(comparison.network),
  )


def eval_batch_size(comparison: Comparison, train_examples: int) -> int:
  """Returns how many examples are evaluated at once: as many as are trained on if a loss mixes them."""
  of_training = min(comparison.batch_size, train_examples)
  return of_training if comparison.mixes_examples else _EVAL_BATCH_SIZE


def make_initializer(
  comparison: Comparison, num_classes: int, structure: nnx.Module
) -> Callable[[int], nnx.Module]:
  """Returns a function of the seed that gives the comparison's network with its initial weights.

  One program draws all random weights: compiled one by one, they take several times as long.
  ``structure`` is the network that :func:`make_programs` was made with.
  """
  graphdef = nnx.graphdef(structure)

  @partial(jax.jit, compiler_options=compiler_options(comparison.network, runs_once=True))
  def draw(key: Key[Array, '']) -> nnx.State:
    return nnx.state(comparison.build_network(num_classes, key))

  def initialize(seed: int) -> nnx.Module:
    model = nnx.merge(graphdef, draw(jax.random.key(seed)))
    comparison.load_pretrained(model)
    return model

  return initialize


@explain_errors('The network')
def _outputs(model: nnx.Module, inputs: Any) -> Any:
  return in_float32(model(inputs))


def in_float32(tree: Any) -> Any:
  """Returns floats of a short dtype as float32: networks may compute in it, losses and metrics not."""

  def widened(leaf: jax.Array) -> jax.Array:
    is_short = jnp.issubdtype(leaf.dtype, jnp.floating) and jnp.finfo(leaf.dtype).bits < 32
    return leaf.astype(jnp.float32) if is_short else leaf

  return jax.tree.map(widened, tree)


def split_network(model: nnx.Module) -> tuple[nnx.GraphDef, Any, Any]:
  """Returns structure, parameters and other variables of a network, these as plain dictionaries.

  Without what the network sows when it is called, which is not there at its start.
  """
  graphdef, params, _, model_state = nnx.split(model, nnx.Param, nnx.Intermediate, ...)
  return graphdef, nnx.to_pure_dict(params), nnx.to_pure_dict(model_state)


def only_in(opt_state: optax.OptState, name: str) -> Any:
  """Returns what a state keeps under a name; None without it, or with several of them."""
  found = optax.tree.get_all_with_path(opt_state, name)
  return found[0][1] if len(found) == 1 else None


def _add_step(sums: EpochSums, loss, grads, opt_state, step) -> EpochSums:
  phases, momentum = sums.phases, only_in(opt_state, 'momentum')
  if phases is not None:
    phase = only_in(opt_state, 'high_loss_phase')
    phases = phases.at[step].set(phase.astype(phases.dtype))
  return EpochSums(
    steps=sums.steps + 1,
    loss=sums.loss + loss,
    # Only optimizers whose momentum changes have one in their state.
    momentum=sums.momentum + (0.0 if momentum is None else momentum),
    gradient_norm=sums.gradient_norm + optax.tree.norm(grads),
    finite=sums.finite + (jnp.isfinite(loss) & (sums.finite == sums.steps)),
    phases=phases,
  )
