"""A comparison of optimizers: all that its runs have in common, and in what they differ."""

import collections
import dataclasses
import functools
import pathlib
import zlib
from collections.abc import Callable, Iterable
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jaxtyping import Array, Key

from train.data import AsStored, Dataset, DataSource, Preprocessing
from train.problem.arms import (
  Arm,
  BestOf,
  Coin,
  Fixed,
  Lcam,
  Pair,
  Setting,
  Weighted,
  Yoked,
  arm_of_name,
)
from train.problem.metrics import Metric, PerExample, metric_of, wrong_answer
from train.problem.networks import Network, OwnNetwork
from train.problem.own_code import explain_errors, is_users, source_digest
from train.problem.schedules import Drops, Schedule
from train.system.errors import UserError, value_errors_explained

BASELINE = Fixed(0.9)
_KNOWN = tuple(arm.kind for arm in (Fixed, Lcam, Yoked, Coin))  # to reports
_OF_REPORTS = ('.csv', '.html', '.md', '.png')
_SMALLEST, _LARGEST = float(jnp.finfo('float32').tiny), float(jnp.finfo('float32').max)
_FLOAT32 = f'from {_SMALLEST:.2g} to {_LARGEST:.2g}, which float32 holds'


def cross_entropy(logits: jax.Array, labels: jax.Array) -> jax.Array:
  """Returns the cross-entropy of each example.

  Args:
    logits: Shape (examples, classes).
    labels: Class numbers, shape (examples,).
  """
  return optax.softmax_cross_entropy_with_integer_labels(logits, labels)


@dataclasses.dataclass(frozen=True)
class About:
  """How a comparison is presented; it does not affect the runs."""

  summary: str = ''  # the question of the comparison
  reported: str = ''  # the results in the paper
  unknown: str = ''  # the settings that the sources leave open, with the choices made here
  curves: tuple[str, str] | None = None  # figure and data set in paper_curves.csv
  published_network: str = ''


@dataclasses.dataclass(frozen=True)
class Comparison:
  """A comparison of optimizers, all else equal: the paper's, or your own.

  Attributes:
    name: Its name, in reports and in the default working directory.
    dataset: A :class:`train.Dataset`, or a function that returns one.
    network: ``function(num_classes, rngs) -> nnx.Module``, any Flax NNX network. ``num_classes`` is
      the number of ``class_names`` of the data set.
    epochs: Passes over the training split.
    batch_size: Examples per step; the last batch of an epoch may be smaller.
    arms: The optimizers, by name (``'low0.9-high0.95'``) or as dataclasses of ``train.arms``.
    baseline: The name of the arm that the others are compared with; by default the first one.
    pair: The momenta, low before high, of the controls ``coin``, ``yoked`` and ``swapped``.
    schedule: The learning-rate schedule of SGD, one of ``train.schedules``.
    seeds: Each arm is trained once per seed, from the same weights on the same batches.
    weight_decay: Times every parameter, added to its gradient.
    weight_decay_of: ``function(path, value) -> bool`` that returns whether a parameter decays, such as
      ``lambda path, value: value.ndim > 1``; ``path`` is text, ``'layers.0.kernel'``. None: all do.
    rule: See :func:`lcam_optax.lcam`.
    loss: ``function(outputs, targets)`` that returns the loss of each example, shape (examples,).
    mixes_examples: Whether ``loss`` compares the examples of a batch, as contrastive losses do; it may
      then return one number for the batch. Test examples are evaluated in batches of ``batch_size``,
      the last of which may be smaller; each counts by its number of examples.
    metric: ``function(outputs, targets)`` that returns the error of each test example, shape
      (examples,); lower is better. Reports show its mean under its name, wrong answers in percent.
      Or a :class:`Metric`: one of the whole test split, or one where higher is better.
    train_examples: The number of training examples used, the first ones; None means all.
    stage: Set by ``tune``: 'tuning' tests on validation examples instead of the test split, and
      'tuned' keeps them out of training. Without it, they are not used.
    dtype: The dtype of the network's computation. Parameters and the loss are always float32.
    experiment: The experiment of the paper to which it belongs.
    about: How it is presented.

  Raises:
    UserError: If a value is impossible.

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
  weight_decay_of: Callable[[str, jax.Array], bool] | None = None
  rule: Literal['equation9', 'algorithm1'] = 'algorithm1'
  loss: PerExample = cross_entropy
  mixes_examples: bool = False
  metric: Metric | PerExample = wrong_answer
  train_examples: int | None = None
  dtype: Literal['float32', 'bfloat16'] = 'float32'
  stage: Literal['', 'tuning', 'tuned'] = ''
  experiment: str = ''
  about: About = About()

  def __post_init__(self):
    for name, example in (('seeds', '(0, 1, 2)'), ('arms', "('fixed-0.9', 'low0.9-high0.95')")):
      values = getattr(self, name)
      if isinstance(values, str) or not isinstance(values, Iterable):
        raise UserError(f'{name} must be a sequence such as {example}, not {values!r}.')
      object.__setattr__(self, name, tuple(map(_plain, values)))
    for name in ('epochs', 'batch_size', 'train_examples'):
      object.__setattr__(self, name, _plain(getattr(self, name)))
    arms = tuple(self.arm(arm) if isinstance(arm, str) else arm for arm in self.arms)
    object.__setattr__(self, 'arms', arms)
    if not isinstance(self.network, Network):
      object.__setattr__(self, 'network', OwnNetwork(self.network))
    _check(self)
    if not isinstance(self.metric, Metric):
      object.__setattr__(self, 'metric', metric_of(self.metric))
    object.__setattr__(self, 'baseline', self.baseline or arms[0].name)

  @property
  def title(self) -> str:
    """The comparison's name in headings."""
    title = f'{self.experiment}, {self.name}' if self.experiment else self.name
    stage = {'': '', 'tuning': ', tuning on validation data', 'tuned': ', tuned'}[self.stage]
    summary = f': {self.about.summary}' if self.about.summary else ''
    return f'{title}{stage}{summary}'

  @property
  def metric_column(self) -> str:
    """The column of the metric in metrics.csv."""
    return self.metric.column

  @property
  def metric_label(self) -> str:
    """The name of the metric in tables and plots."""
    return self.metric.label

  @property
  def schedule_words(self) -> str:
    """The learning-rate schedule in words."""
    tuned = '; first rate tuned for each arm' if self.stage else ''
    return f'{self.schedule.describe()}{tuned}'

  def describe(self, dataset: str) -> str:
    """Returns a description in words, with the name of the data set."""
    examples = f', first {self.train_examples:,} examples' if self.train_examples else ''
    dtype = '' if self.dtype == 'float32' else f'; {self.dtype}'
    of = ' of some parameters' if self.weight_decay_of else ''
    tuning = self.stage == 'tuning'  # whose arms are points of arms
    names = ', '.join(dict.fromkeys((arm.plain if tuning else arm).name for arm in self.arms))
    return (
      f'{self.network.describe()} on {dataset}{examples}; {_several(self.epochs, "epoch")} of batch '
      f'{self.batch_size}; {self.schedule_words}; weight decay {self.weight_decay:g}{of}; rule '
      f'{self.rule}{dtype}. {_several(len(self.arms), "point" if tuning else "arm")} '
      f'({names}) with {_several(len(self.seeds), "seed")}.'
    )

  def arm(self, name: str) -> Arm:
    """Returns an arm by name: a control of the pair, one of the comparison, or any other."""
    low, high = self.pair
    named = [arm for arm in self.arms if isinstance(arm, Arm)]
    named += [one for arm in named if isinstance(arm, BestOf) for one in arm.variants]
    known = {getattr(arm, 'name', ''): arm for arm in named}
    known |= {'coin': Coin(low, high), 'yoked': Yoked(low, high), 'swapped': Lcam(high, low)}
    return known.get(name) or arm_of_name(name)

  @property
  def preprocessing(self) -> Preprocessing:
    """The usual preprocessing of a named data set; none for the user's own data."""
    if not isinstance(self.dataset, DataSource):
      return AsStored()
    usual, size = self.dataset.preprocessing, self.network.image_size
    return usual if size is None else usual.resized(size)

  def build_network(self, num_classes: int, key: Key[Array, ''] | int = 0) -> nnx.Module:
    """Returns the network with random weights; call it inside a trace, to draw no weights twice."""
    with value_errors_explained():
      return self.network.build(num_classes, dtype=self.dtype, rngs=nnx.Rngs(key))

  def load_pretrained(self, model: nnx.Module) -> None:
    """Loads pretrained weights, if the comparison has some, into a network."""
    with value_errors_explained():
      self.network.load_pretrained(model)

  def build_optimizer(
    self, arm: Arm, steps_per_epoch: int, seed: Any, partner_phases: Any = None, name: str = ''
  ) -> optax.GradientTransformationExtraArgs:
    """Returns the optimizer of an arm in one run; ``Setting`` describes the arguments.

    With a ``name`` for errors, the numbers of the arm may be traced.
    """
    name = name or arm.name
    steps = self.epochs, steps_per_epoch
    decay, decayed = self.weight_decay, self.decayed if self.weight_decay_of else None
    setting = Setting(self.schedule, *steps, decay, self.rule, seed, partner_phases, decayed)
    with explain_errors(f'The arm {name}'):
      optimizer = arm.build(setting)
    if not isinstance(optimizer, optax.GradientTransformation):
      raise UserError(
        f'`build` of the arm {name} must return an optimizer of Optax, but returned '
        f'{optimizer!r:.60}.'
      )
    explained = explain_errors(f'The optimizer of {name}')
    update = optax.with_extra_args_support(optimizer).update
    return optax.GradientTransformationExtraArgs(explained(optimizer.init), explained(update))

  def decayed(self, params: optax.Params) -> Any:
    """Returns for each parameter whether weight decay takes part of it away."""
    of, keystr = self.weight_decay_of, jax.tree_util.keystr
    with explain_errors('weight_decay_of'):
      return jax.tree_util.tree_map_with_path(
        lambda path, value: of is None or bool(of(keystr(path, simple=True, separator='.'), value)),
        params,
      )

  @property
  def own_parts(self) -> list[Any]:
    """The user's own network, loss, metric and so on, which all arms share."""
    function = getattr(self.network, 'function', self.network)
    parts = (function, self.loss, self.metric.function, self.schedule.code, self.weight_decay_of)
    return [part for part in parts if part is not None and is_users(part)]

  @property
  def own_arms(self) -> list[Arm]:
    """The arms that may run code of the user's: those that are not the ones of their name."""
    plain = dict.fromkeys(arm.plain for arm in self.arms)
    return [arm for arm in plain if not _is_named(arm)]

  @functools.cached_property
  def code_sha256(self) -> str | None:
    """The digest of the source of the user's own parts; None without any."""
    return source_digest(own) if (own := self.own_parts) else None

  def load(self, data_dir: str | None = None) -> Dataset:
    """Loads the data set, with ``train_examples`` training examples.

    For the folder of TFDS, see :meth:`train.data.DataSource.load`.
    """
    dataset = self.dataset
    if isinstance(dataset, DataSource):
      return self._for_stage(dataset.load(data_dir, self.train_examples))
    if not isinstance(dataset, Dataset):
      with explain_errors(f'the data set of {self.name}'):
        dataset = dataset()
    if not isinstance(dataset, Dataset):
      raise UserError(
        f'The data set of {self.name} must be a train.Dataset or a function that returns one, not '
        f'{type(dataset).__name__}.'
      )
    return self._for_stage(dataset.with_train_examples(self.train_examples))

  def _for_stage(self, dataset: Dataset) -> Dataset:
    if not self.stage:
      return dataset
    dataset = dataset.with_validation(zlib.crc32(self.name.encode()))
    return dataset.tested_on_validation() if self.stage == 'tuning' else dataset


def _plain(value: Any) -> Any:
  """Returns an integer of NumPy's as Python's, and all else unchanged."""
  return int(value) if isinstance(value, np.integer) else value


def _several(number: int, thing: str) -> str:
  return f'{number} {thing}' if number == 1 else f'{number} {thing}s'


def _check(comparison: Comparison) -> None:
  def require(condition: Any, name: str, wanted: str) -> None:
    if not condition:
      raise UserError(f'{name} must be {wanted}, not {getattr(comparison, name)!r}.')

  def require_all(name: str, kind: type, wanted: str) -> None:
    values = getattr(comparison, name)
    require(values and all(isinstance(value, kind) for value in values), name, wanted)

  def require_once(name: str, values: Iterable[Any]) -> None:
    counts = collections.Counter(values)
    if twice := [value for value, count in counts.items() if count > 1]:
      raise UserError(f'The {name[:-1]} {min(twice)} is named twice: name it once.')

  require(_can_name_a_folder(comparison.name), 'name', 'text that can name a folder')
  for field in ('epochs', 'batch_size', 'train_examples'):
    value = getattr(comparison, field)
    unset = field == 'train_examples' and value is None
    require(unset or (type(value) is int and value >= 1), field, 'a whole number of at least 1')
  require_all('arms', Arm, 'at least one name of an arm, or arm of train.arms, such as Optax')
  for arm in comparison.arms:
    _check_arm(arm)
  # Some file systems take names that differ only in case for the same.
  require_once('arms', [arm.name.lower() for arm in comparison.arms])
  if comparison.baseline not in ['', *(arm.name for arm in comparison.arms)]:
    try:
      arm_of_name(comparison.baseline)
    except UserError as error:
      raise UserError(f'baseline: {error}') from error
  weighted = [arm.name for arm in comparison.arms if isinstance(arm.plain, Weighted)]
  if comparison.batch_size == 1 and weighted:
    raise UserError(
      f'{weighted[0]} weighs the examples of a batch against each other, and a batch of 1 has one: '
      'choose a larger batch_size, or an LCAM such as low0.95-high0.'
    )
  require(isinstance(comparison.mixes_examples, bool), 'mixes_examples', 'True or False')
  if comparison.mixes_examples and weighted:
    raise UserError(
      f'{weighted[0]} weighs examples by their losses, and with mixes_examples they have none of their '
      'own: leave the arm out.'
    )
  require_all('seeds', int, 'at least one whole number')
  require_once('seeds', comparison.seeds)
  for seed in comparison.seeds:
    if not 0 <= seed < 2**31:
      raise UserError(f'A seed must be at least 0 and below 2**31, not {seed}.')
  for field in ('loss', 'metric'):
    if isinstance(getattr(comparison, field), Metric):
      continue
    name = getattr(getattr(comparison, field), '__name__', '<lambda>')
    require(name != '<lambda>', field, 'a function with a name, defined with `def`')
    if not (_is_line(name) and callable(getattr(comparison, field))):
      raise UserError(f'{field} must be a function whose name is one line of text, not {name!r}.')
  require(isinstance(comparison.experiment, str), 'experiment', 'text')
  require(isinstance(comparison.about, About), 'about', 'a train.problem.comparison.About')
  schedule, decay = comparison.schedule, comparison.weight_decay
  require(isinstance(schedule, Schedule), 'schedule', 'one of train.schedules, such as Optax')
  for field in ('kind', 'describe'):
    found = getattr(schedule, field, None)
    if not _is_line(said := found() if callable(found) else found):
      raise UserError(
        f'The schedule {type(schedule).__name__} must have a `{field}` in words, not {said!r}.'
      )
  for rate in (schedule.init_value, *(arm.learning_rate for arm in comparison.arms)):
    if rate is not None and not (isinstance(rate, int | float) and _SMALLEST <= rate <= _LARGEST):
      raise UserError(f'The learning rate must be {_FLOAT32}, not {rate!r}.')
  require(comparison.rule in ('equation9', 'algorithm1'), 'rule', "'equation9' or 'algorithm1'")
  possible = isinstance(decay, int | float) and (decay == 0 or _SMALLEST <= decay <= _LARGEST)
  require(possible, 'weight_decay', f'0 or {_FLOAT32}')
  of = comparison.weight_decay_of
  require(of is None or callable(of), 'weight_decay_of', 'a function of path and value')


def _check_arm(arm: Arm) -> None:
  what = f'The arm {type(arm).__name__}'
  for field in ('kind', 'name'):
    if not _is_line(found := getattr(arm, field, None)):
      raise UserError(f'{what} must have a `{field}`, one line of text, not {found!r}.')
  if arm.kind in _KNOWN and not isinstance(arm.plain, Fixed | Pair):
    raise UserError(f'{what} must have a `kind` of its own: {arm.kind} is one of train.arms.')
  # Reports are written beside the folders of the arms.
  if not _can_name_a_folder(arm.name) or arm.name.startswith('.') or arm.name.endswith(_OF_REPORTS):
    raise UserError(
      f'{what} must have a `name` that can name a folder, without {" ".join(_OF_REPORTS)} at its end, '
      f'not {arm.name!r}.'
    )
  try:
    hash(arm.program)
    frozen = dataclasses.is_dataclass(arm)
  except TypeError:
    frozen = False
  if not frozen:
    raise UserError(
      f'{what} must be a frozen dataclass whose fields are numbers, text or tuples of them: decorate '
      'its class with @dataclasses.dataclass(frozen=True).'
    )


def _is_named(arm: Arm) -> bool:
  try:
    return arm_of_name(arm.name) == arm
  except UserError:
    return False


def _can_name_a_folder(name: Any) -> bool:
  return _is_line(name) and name == pathlib.PurePath(name).name and bool(name.strip('.'))


def _is_line(text: Any) -> bool:
  return isinstance(text, str) and text.isprintable()
