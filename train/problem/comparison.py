"""What is compared, and what is the same for all that is."""

import dataclasses
import pathlib
from collections.abc import Callable, Iterable
from typing import Any, Literal

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jaxtyping import Array, Key

from train.data import AsStored, Dataset, DataSource, Preprocessing
from train.problem.arms import Arm, Coin, Fixed, Lcam, Setting, Yoked, arm_of_name
from train.problem.networks import Network, OwnNetwork
from train.problem.own_code import explain_errors
from train.problem.schedules import Drops, Schedule
from train.system.errors import UserError, value_errors_explained

PerExample = Callable[[jax.Array, jax.Array], jax.Array]

BASELINE = Fixed(0.9)
_SMALLEST, _LARGEST = float(jnp.finfo('float32').tiny), float(jnp.finfo('float32').max)
_FLOAT32 = f'from {_SMALLEST:.2g} to {_LARGEST:.2g}, which float32 holds'


def cross_entropy(logits: jax.Array, labels: jax.Array) -> jax.Array:
  """Returns the cross-entropy of each example.

  Args:
    logits: Shape (examples, classes).
    labels: Class numbers, shape (examples,).
  """
  return optax.softmax_cross_entropy_with_integer_labels(logits, labels)


def wrong_answer(logits: jax.Array, labels: jax.Array) -> jax.Array:
  """Returns for each example whether the largest logit is not that of its label.

  Args:
    logits: Shape (examples, classes).
    labels: Class numbers, shape (examples,).
  """
  return jnp.argmax(logits, -1) != labels


@dataclasses.dataclass(frozen=True)
class About:
  """How a comparison is presented; it does not change what its runs are.

  Attributes:
    summary: One line on what it asks.
    reported: What the paper reports.
    unknown: What the sources leave open, and what was chosen.
    curves: Figure and data set of the published curves in paper_curves.csv.
    published_network: The network of the published numbers.
  """

  summary: str = ''
  reported: str = ''
  unknown: str = ''
  curves: tuple[str, str] | None = None
  published_network: str = ''


@dataclasses.dataclass(frozen=True)
class Comparison:
  """A comparison of optimizers, all else equal: the paper's, or your own.

  Attributes:
    name: Its name: of the default working directory, and in reports.
    dataset: A :class:`train.Dataset`, or a function that returns one.
    network: ``function(num_classes, rngs) -> nnx.Module``, any Flax NNX network. ``num_classes`` is
      the number of ``class_names`` of the data set.
    epochs: Passes over the training split.
    batch_size: Examples per step; the last batch of an epoch may be smaller.
    arms: What is compared, by name (``'low0.9-high0.95'``) or as dataclasses of ``train.arms``.
    baseline: The name of the arm that the others are set against; the first one if not given.
    pair: The momenta, low before high, whose controls ``coin``, ``yoked`` and ``swapped`` are.
    schedule: The learning-rate schedule of SGD, of ``train.schedules``.
    seeds: Each arm is trained once per seed, from the same weights on the same batches.
    weight_decay: Times every parameter, added to its gradient.
    rule: See :func:`lcam_optax.lcam`.
    loss: ``function(outputs, targets)``: the loss of each example, shape (examples,).
    metric: ``function(outputs, targets)``: what test examples are judged by, shape (examples,); less
      is better. Its mean is reported under its name; wrong answers in percent.
    train_examples: How many training examples are used, the first ones; None means all.
    dtype: What the network computes in. Parameters and the loss are float32 either way.
    experiment: The experiment of the paper that it belongs to.
    about: How it is presented.

  Raises:
    UserError: When built, if a value is not possible.

  Example:
    >>> import numpy as np
    >>> from flax import nnx
    >>> from train import Comparison, Dataset, Split
    >>> inputs, labels = np.eye(8, dtype='float32'), np.arange(8) % 2
    >>> comparison = Comparison(
    ...   name='parity',
    ...   dataset=Dataset('parity', Split(inputs, labels), Split(inputs, labels), ('even', 'odd')),
    ...   network=lambda num_classes, rngs: nnx.Linear(8, num_classes, rngs=rngs),
    ...   epochs=2,
    ...   batch_size=4,
    ... )
    >>> [arm.name for arm in comparison.arms]
    ['fixed-0.9', 'low0.857-high0.93', 'yoked0.857-0.93', 'low0.93-high0.857', 'yoked0.93-0.857']
  """

  name: str
  dataset: DataSource | Dataset | Callable[[], Dataset]
  network: Network | Callable[..., Any]
  epochs: int
  batch_size: int
  arms: tuple[Arm | str, ...] = (
    BASELINE,
    Lcam(0.857, 0.93),
    Yoked(0.857, 0.93),
    Lcam(0.93, 0.857),
    Yoked(0.93, 0.857),
  )
  baseline: str = ''
  pair: tuple[float, float] = (0.857, 0.93)
  schedule: Schedule = dataclasses.field(default_factory=Drops)
  seeds: tuple[int, ...] = (0, 1, 2)
  weight_decay: float = 5e-4
  rule: Literal['equation9', 'algorithm1'] = 'algorithm1'
  loss: PerExample = cross_entropy
  metric: PerExample = wrong_answer
  train_examples: int | None = None
  dtype: Literal['float32', 'bfloat16'] = 'float32'
  experiment: str = ''
  about: About = About()

  def __post_init__(self):
    """Turns names and functions into what they stand for, and checks the values."""
    if not isinstance(self.network, Network):
      object.__setattr__(self, 'network', OwnNetwork(self.network))
    for name in ('seeds', 'arms'):
      values = getattr(self, name)
      if isinstance(values, str) or not isinstance(values, Iterable):
        raise UserError(f'{name} must be several, as in (0, 1, 2), not {values!r}.')
    object.__setattr__(self, 'seeds', tuple(self.seeds))
    arms = tuple(self.arm(arm) if isinstance(arm, str) else arm for arm in self.arms)
    object.__setattr__(self, 'arms', arms)
    if not self.baseline and arms:
      object.__setattr__(self, 'baseline', arms[0].name)
    _check(self)

  @property
  def title(self) -> str:
    """The comparison's name in headings."""
    title = f'{self.experiment}, {self.name}' if self.experiment else self.name
    return f'{title}: {self.about.summary}' if self.about.summary else title

  @property
  def metric_column(self) -> str:
    """What metrics.csv calls the metric."""
    return 'test_error_percent' if self.metric is wrong_answer else f'test_{self.metric.__name__}'

  @property
  def metric_label(self) -> str:
    """What tables and plots call the metric."""
    if self.metric is wrong_answer:
      return 'test error (%)'
    return f'test {self.metric.__name__.replace("_", " ")}'

  def describe(self, dataset: str) -> str:
    """Returns in words what is trained, on what, and how.

    Args:
      dataset: The name of the data set.
    """
    examples = f', first {self.train_examples:,} examples' if self.train_examples else ''
    dtype = '' if self.dtype == 'float32' else f'; {self.dtype}'
    return (
      f'{self.network.describe()} on {dataset}{examples}; '
      f'{_several(self.epochs, "epoch")} of batch {self.batch_size}; {self.schedule.describe()}; weight decay '
      f'{self.weight_decay:g}; rule {self.rule}{dtype}. {_several(len(self.arms), "arm")} '
      f'({", ".join(arm.name for arm in self.arms)}) with {_several(len(self.seeds), "seed")}.'
    )

  def arm(self, name: str) -> Arm:
    """Returns an arm by name: a declared one, a control of the pair, or one with any momenta.

    Raises:
      UserError: If there is none; it says what there is.
    """
    low, high = self.pair
    known = {arm.name: arm for arm in self.arms if isinstance(arm, Arm)}
    known |= {'coin': Coin(low, high), 'yoked': Yoked(low, high), 'swapped': Lcam(high, low)}
    return known[name] if name in known else arm_of_name(name)

  @property
  def preprocessing(self) -> Preprocessing:
    """What turns stored inputs into what the network takes.

    Your own data are taken as they are; a named data set has its usual preprocessing.
    """
    if not isinstance(self.dataset, DataSource):
      return AsStored()
    size = self.network.image_size
    preprocessing = self.dataset.preprocessing
    return preprocessing if size is None else preprocessing.resized(size)

  def build_network(self, num_classes: int, key: Key[Array, ''] | int = 0) -> nnx.Module:
    """Returns the network with random weights; call it under a trace, so that nothing is drawn twice.

    Raises:
      UserError: If there is no network of that depth or width.
    """
    with value_errors_explained():
      return self.network.build(num_classes, dtype=self.dtype, rngs=nnx.Rngs(key))

  def load_pretrained(self, model: nnx.Module) -> None:
    """Gives a network its pretrained weights, if the comparison names some.

    Raises:
      UserError: If they do not fit.
    """
    with value_errors_explained():
      self.network.load_pretrained(model)

  def build_optimizer(
    self, arm: Arm, steps_per_epoch: int, seed: int, partner_phases: Any = None
  ) -> optax.GradientTransformationExtraArgs:
    """Returns the optimizer of an arm.

    Args:
      arm: The arm.
      steps_per_epoch: Steps of an epoch, a short last one included.
      seed: The seed of the run.
      partner_phases: The phases that a yoked arm replays, one per step.
    """
    return arm.build(
      Setting(
        self.schedule,
        self.epochs,
        steps_per_epoch,
        self.weight_decay,
        self.rule,
        seed,
        partner_phases,
      )
    )

  def load(self, data_dir: str | None = None) -> Dataset:
    """Returns the data, the first ``train_examples`` of its training split.

    Args:
      data_dir: Where TFDS keeps its data sets; None is TFDS's own default.

    Raises:
      UserError: If it cannot be had.
    """
    if isinstance(self.dataset, DataSource):
      return self.dataset.load(data_dir, self.train_examples)
    dataset = self.dataset
    if not isinstance(dataset, Dataset):
      with explain_errors(f'the data set of {self.name}'):
        dataset = dataset()
    if not isinstance(dataset, Dataset):
      raise UserError(
        f'The data set of {self.name} must be a train.Dataset or a function that returns one, not '
        f'{type(dataset).__name__}.'
      )
    return (
      dataset if self.train_examples is None else dataset.with_train_examples(self.train_examples)
    )


def _several(number: int, thing: str) -> str:
  return f'{number} {thing}' if number == 1 else f'{number} {thing}s'


def _check(comparison: Comparison) -> None:
  name = comparison.name
  if not isinstance(name, str) or not name or name != pathlib.PurePath(name).name:
    raise UserError(f'name must be text that can name a folder, not {name!r}.')
  for name in ('epochs', 'batch_size', 'train_examples'):
    value = getattr(comparison, name)
    is_number = isinstance(value, int) and not isinstance(value, bool)
    may_be_none = name == 'train_examples'
    if not ((is_number and value >= 1) or (value is None and may_be_none)):
      raise UserError(f'{name} must be a whole number of at least 1, not {value!r}.')
  for name, kind, words in (
    ('arms', Arm, 'names of arms, or of train.arms'),
    ('seeds', int, 'whole numbers'),
  ):
    values = getattr(comparison, name)
    if not values or not all(isinstance(value, kind) for value in values):
      raise UserError(f'{name} must be {words}, at least one, not {values!r}.')
    names = [getattr(value, 'name', value) for value in values]
    for twice in sorted({value for value in names if names.count(value) > 1}):
      raise UserError(f'The {name[:-1]} {twice} is named twice: name it once.')
  for seed in comparison.seeds:
    if not 0 <= seed < 2**31:
      raise UserError(f'A seed must be at least 0 and below 2**31, not {seed}.')
  for name in ('loss', 'metric'):
    if getattr(getattr(comparison, name), '__name__', '<lambda>') == '<lambda>':
      raise UserError(f'{name} must be a function with a name, defined with `def`.')
  if not isinstance(comparison.schedule, Schedule):
    raise UserError(f'schedule must be one of train.schedules, not {comparison.schedule!r}.')
  rate = comparison.schedule.init_value
  if not (isinstance(rate, int | float) and _SMALLEST <= rate <= _LARGEST):
    raise UserError(f'The learning rate must be {_FLOAT32}, not {rate!r}.')
  if comparison.rule not in ('equation9', 'algorithm1'):
    raise UserError(f"rule must be 'equation9' or 'algorithm1', not {comparison.rule!r}.")
  decay = comparison.weight_decay
  if not 0 <= decay <= _LARGEST:
    raise UserError(f'weight_decay must be at least 0, not {decay!r}.')
  if 0 < decay < _SMALLEST:
    raise UserError(f'weight_decay must be 0 or {_FLOAT32}, not {decay!r}.')
