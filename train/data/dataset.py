"""A data set that has been loaded: a known one, or the user's own."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Shaped

from train.system.errors import UserError

# Networks compute in 32 bits; NumPy and scikit-learn default to 64.
_NARROW = {'f': np.float32, 'i': np.int32, 'u': np.uint32}


class DataError(UserError):
  """A data set cannot be loaded or used; the message is one sentence that says why."""


@dataclasses.dataclass(frozen=True, eq=False)
class Split:
  """The examples of one split, row by row, as they are stored.

  The arguments may be anything that NumPy converts to an array of numbers: lists, pandas frames,
  JAX arrays, objects that are numbers. 64-bit numbers become 32-bit ones; all else is kept as it is, without a copy. A memory
  map stays one: 64-bit numbers in it become 32-bit ones batch by batch, on the way to the device.

  Attributes:
    inputs: Features, images, audio or tokens: numbers of shape (examples, ...). Or several of them, in
      a dictionary or a tuple of arrays, which the network gets as it is; a list holds rows.
    labels: Classes, integers of shape (examples,); or other targets, numbers of shape
      (examples, ...).

  Raises:
    DataError: If one of them is not an array of numbers, has masked values, or holds NaN or
      infinity, or if they have no rows or different numbers of rows.

  Example:
    >>> split = Split([[0.5, 1.0], [0.0, 2.0], [1.5, 3.0]], labels=[1, 0, 1])
    >>> len(split), split.inputs.dtype.name, split.labels.dtype.name
    (3, 'float32', 'int32')
  """

  inputs: Any  # an array, or dictionaries and tuples of arrays
  labels: Shaped[np.ndarray, 'examples ...']

  def __post_init__(self):
    labels = _to_array(self.labels, 'labels')
    inputs = jax.tree_util.tree_map_with_path(
      lambda path, part: _to_array(part, f'inputs{jax.tree_util.keystr(path)}'),
      self.inputs,
      is_leaf=lambda part: not _is_several(part),
    )
    leaves = jax.tree_util.tree_leaves_with_path(inputs)
    if not leaves:
      raise DataError(f'The inputs of a split must hold an array, and {self.inputs} holds none.')
    for path, array in leaves:
      what = f'inputs{jax.tree_util.keystr(path)}'
      if len(array) != len(labels):
        raise DataError(
          f'A split must have one label per input, not {what} of shape {array.shape} and labels of '
          f'shape {labels.shape}.'
        )
      if len(array) == 0:
        raise DataError(f'A split must have examples, but its {what} have shape {array.shape}.')
      _check_finite(array, what)
    _check_finite(labels, 'labels')
    object.__setattr__(self, 'inputs', inputs)
    object.__setattr__(self, 'labels', labels)

  def __len__(self) -> int:
    """The number of examples."""
    return len(self.labels)


@dataclasses.dataclass(frozen=True, eq=False)
class Dataset:
  """A training split, a test split, and the names of the classes.

  Attributes:
    name: Its name in reports.
    train: The training examples.
    test: The test examples.
    class_names: The name of each class, in order of the labels; empty if labels are not classes.
    validation: The examples that ``tune`` chooses settings with; None for a fifth of the training
      examples. Nothing else uses them.

  Raises:
    DataError: If the arrays of the splits differ in dtype or in the shape of a row, or if there are
      class names and a label is not one of 0 to ``len(class_names) - 1``.

  Example:
    >>> train, test = Split([[0.1], [0.9]], [0, 1]), Split([[0.2]], [0])
    >>> Dataset('mine', train, test, class_names=('low', 'high')).num_classes
    2
  """

  name: str
  train: Split
  test: Split
  class_names: tuple[str, ...] = ()
  validation: Split | None = None

  def __post_init__(self):
    object.__setattr__(self, 'class_names', tuple(map(str, self.class_names)))
    others = {'test': self.test, 'validation': self.validation}
    others = {name: split for name, split in others.items() if split is not None}
    for part in ('inputs', 'labels'):
      train = getattr(self.train, part)
      for name, split in others.items():
        other = getattr(split, part)
        if _kinds(train) != _kinds(other):
          raise DataError(
            f'The training {part} of {self.name} are {_described(train)} and the {name} {part} '
            f'{_described(other)}: only the number of rows may differ.'
          )
    if self.class_names:
      for name, split in {'training': self.train, **others}.items():
        self._check_classes(name, split.labels)

  @property
  def num_classes(self) -> int:
    """The number of classes; 0 if labels are not classes."""
    return len(self.class_names)

  def with_train_examples(self, number: int | None) -> 'Dataset':
    """Returns this data set with only the first ``number`` training examples; None keeps all.

    Raises:
      DataError: If ``number`` is below 1 or above the number of training examples.
    """
    if number is None:
      return self
    if not 1 <= number <= len(self.train):
      raise DataError(f'There are {len(self.train)} training examples, so {number} cannot be used.')
    first = jax.tree.map(lambda array: array[:number], (self.train.inputs, self.train.labels))
    return dataclasses.replace(self, train=Split(*first))

  def with_validation(self, seed: int) -> 'Dataset':
    """Returns this data set, with a random fifth of the training examples set apart for validation.

    A data set that has validation examples stays as it is.

    Raises:
      DataError: If there are fewer than five training examples.
    """
    if self.validation is not None:
      return self
    number = len(self.train) // 5
    if not number:
      raise DataError(
        f'{self.name} has {len(self.train)} training examples, and a fifth of them cannot be set apart '
        'to tune with: give the data set a validation split.'
      )
    order = np.random.default_rng(seed).permutation(len(self.train))
    validation, train = (
      jax.tree.map(lambda array, rows=rows: array[rows], (self.train.inputs, self.train.labels))
      for rows in map(np.sort, np.split(order, [number]))
    )
    return dataclasses.replace(self, train=Split(*train), validation=Split(*validation))

  def tested_on_validation(self) -> 'Dataset':
    """Returns this data set with its validation examples in place of the test split."""
    assert self.validation is not None
    return dataclasses.replace(self, test=self.validation, validation=None)

  def _check_classes(self, split, labels):
    if labels.ndim != 1 or labels.dtype.kind not in 'iu':
      raise DataError(
        f'With class_names, labels must be integers of shape (examples,), but the {split} labels of '
        f'{self.name} are {labels.dtype} {labels.shape}: omit class_names for other targets.'
      )
    wrong = (labels < 0) | (labels >= self.num_classes)
    if wrong.any():
      row = int(wrong.argmax())
      raise DataError(
        f'Label {labels[row]} in row {row} of the {split} labels of {self.name} is not one of its '
        f'{self.num_classes} classes, 0 to {self.num_classes - 1}.'
      )


def _is_several(values: Any) -> bool:
  """Returns whether inputs are several arrays, and not the rows of one."""
  if isinstance(values, tuple):
    return bool(values) and all(getattr(part, 'shape', ()) or _is_several(part) for part in values)
  return isinstance(values, dict)


def _kinds(tree: Any) -> Any:
  """Returns what the splits of a data set must have in common, in the structure of arrays."""
  return jax.tree.map(lambda array: (array.shape[1:], array.dtype), tree)


def _described(tree: Any) -> str:
  return ', '.join(
    f'{jax.tree_util.keystr(path)} {array.dtype} {array.shape}'.strip()
    for path, array in jax.tree_util.tree_leaves_with_path(tree)
  )


def _to_array(values, what: str) -> np.ndarray:
  """Returns an array with an axis of examples and no 64-bit numbers."""
  for part in values if isinstance(values, list | tuple) else [values]:
    if np.ma.is_masked(part):
      raise DataError(
        f'The {what} of a split are a masked array with {np.ma.count_masked(part)} masked values: '
        'replace them, as with `.filled(0)`, or leave their rows out.'
      )
  if hasattr(values, 'toarray'):
    raise DataError(f'The {what} of a split are a sparse matrix: convert it with `.toarray()`.')
  try:
    array = values if isinstance(values, np.memmap) else np.asarray(values)
    if array.dtype == object and array.ndim:
      _check_objects(array, what, getattr(values, 'columns', None))
      array = np.array(array.tolist())
  except ValueError as error:
    raise DataError(f'The {what} of a split have rows of different shapes.') from error
  # To JAX bfloat16 is a number, to NumPy it is not; to NumPy a duration is.
  if (
    not (jnp.issubdtype(array.dtype, jnp.number) or array.dtype == bool) or array.dtype.kind == 'm'
  ):
    raise DataError(
      f'The {what} of a split must be numbers, not {array.dtype} of shape {array.shape}.'
    )
  if array.ndim == 0:
    raise DataError(f'The {what} of a split must have an axis of examples, not shape ().')
  if not array.dtype.isnative:
    array = array.astype(array.dtype.newbyteorder('='))
  kind, size = array.dtype.kind, array.dtype.itemsize
  narrow = _NARROW.get(kind)
  if narrow is None or size <= 4:
    return array
  if kind in 'iu' and array.size:
    limits = np.iinfo(narrow)
    for extreme in (array.min(), array.max()):
      if not limits.min <= extreme <= limits.max:
        raise DataError(
          f'The {what} of a split hold {extreme}, which {limits.dtype} cannot: use smaller numbers.'
        )
  if isinstance(array, np.memmap) and size == 8:
    return array
  with np.errstate(over='ignore'):  # _check_finite reports what becomes infinite
    return array.astype(narrow)


def _check_objects(array: np.ndarray, what: str, columns: Any) -> None:
  """Raises a ``DataError`` that names the first object that is no number, and its column."""
  for index, value in np.ndenumerate(array):
    if not isinstance(value, int | float | np.number | np.bool_):
      column = '' if columns is None else f' of column {columns[index[1]]!r}'
      found = ' '.join(repr(value).split())
      raise DataError(
        f'The {what} of a split must be numbers, but row {index[0]}{column} holds {found:.40}, a '
        f'{type(value).__name__}: leave it out, or make numbers of all like it.'
      )


def _check_finite(array: np.ndarray, what: str) -> None:
  if not jnp.issubdtype(array.dtype, jnp.inexact) or not array.size:
    return
  narrow = np.float32 if array.dtype == np.float64 else array.dtype
  with np.errstate(invalid='ignore', over='ignore'):
    # Both NaN if there is one; faster than a mask.
    extremes = np.array([array.min(), array.max()]).astype(narrow)
    if np.isfinite(extremes).all():
      return
    wrong = ~np.isfinite(array.reshape(len(array), -1).astype(narrow)).all(1)
  more = f' and in {wrong.sum() - 1} more of {len(array)} rows' if wrong.sum() > 1 else ''
  raise DataError(
    f'The {what} of a split, {array.dtype} {array.shape}, hold NaN or infinity in row '
    f'{wrong.argmax()}{more}.'
  )
