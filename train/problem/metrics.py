"""What a comparison measures on the test examples, and which direction is better."""

import dataclasses
import inspect
import warnings
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from train.problem.own_code import definition, explain_errors, shapes
from train.system.errors import UserError

PerExample = Callable[[Any, jax.Array], jax.Array]

_TAKEN = ('test_loss', 'test_error_percent')  # columns of metrics.csv
_TARGETS = ('y_true', 'targets', 'target', 'labels')  # names of what comes second


def wrong_answer(logits: jax.Array, labels: jax.Array) -> jax.Array:
  """Returns for each example whether the largest logit is not that of its label.

  Args:
    logits: Shape (examples, classes).
    labels: Class numbers, shape (examples,).
  """
  return jnp.argmax(logits, -1) != labels


@dataclasses.dataclass(frozen=True)
class Metric:
  """What a comparison measures on the test examples after each epoch.

  Attributes:
    name: Its name in tables, plots and files.
    function: ``function(outputs, targets)`` that returns one number. It gets the outputs of the
      network for all test examples and their targets, NumPy arrays on the host, so that it may call
      any library. Those of scikit-learn take the targets first.
    higher_is_better: Whether a higher number is better.
    per_example: Whether ``function`` is one of JAX instead, that returns the number of each example,
      shape (examples,); reports show their mean. No memory is needed for the outputs of all.

  Raises:
    UserError: If a value is impossible, or the function takes the targets first.

  Example:
    >>> import numpy as np
    >>> from sklearn.metrics import roc_auc_score
    >>> def roc_auc(outputs, targets):
    ...   return roc_auc_score(targets, outputs[:, 1] - outputs[:, 0])
    >>> auc = Metric('AUC', roc_auc, higher_is_better=True)
    >>> auc.of_all(np.array([[2.0, 1.0], [0.0, 3.0], [0.0, 1.0]]), np.array([0, 1, 0]))
    1.0
  """

  name: str
  function: Callable[[Any, Any], Any]
  higher_is_better: bool = False
  per_example: bool = False

  def __post_init__(self):
    if not (isinstance(self.name, str) and self.name.strip() and self.name.isprintable()):
      raise UserError(f'The name of a metric must be one line of text, not {self.name!r}.')
    if not callable(self.function):
      raise UserError(
        f'The metric {self.name} must have a function of outputs and targets, not a '
        f'{type(self.function).__name__}.'
      )
    for field in ('higher_is_better', 'per_example'):
      if not isinstance(value := getattr(self, field), bool):
        raise UserError(f'{field} of the metric {self.name} must be True or False, not {value!r}.')
    try:
      first = next(iter(inspect.signature(self.function).parameters), '')
    except (TypeError, ValueError):  # a built-in function that tells no names
      first = ''
    if first in _TARGETS:
      raise UserError(
        f'{self.what} takes {first} first, and would get the outputs there: give the metric a function '
        '(outputs, targets) that calls it.'
      )

  @property
  def is_wrong_answer(self) -> bool:
    """Whether it is the usual one, which reports show in percent."""
    return self.function is wrong_answer and self.name == wrong_answer.__name__

  @property
  def what(self) -> str:
    """It and its place in messages."""
    return f'The metric {self.name} ({definition(self.function)})'

  @property
  def column(self) -> str:
    """Its column in metrics.csv."""
    if self.is_wrong_answer:
      return 'test_error_percent'
    column = f'test_{self.name.replace(" ", "_")}'
    return f'{column}_metric' if column in _TAKEN else column

  @property
  def label(self) -> str:
    """Its name in tables and plots."""
    return 'test error (%)' if self.is_wrong_answer else f'test {self.name.replace("_", " ")}'

  def mean(self, sum_over_examples: float, examples: int) -> float:
    """Returns its value from the sum of those of the examples; wrong answers in percent."""
    return (100 if self.is_wrong_answer else 1) * sum_over_examples / examples

  def of_all(self, outputs: Any, targets: np.ndarray) -> float:
    """Returns its value from the outputs and targets of all examples.

    It is NaN if the outputs are not finite and the function does not take that.

    Raises:
      UserError: If the function fails, or does not return a number.
    """
    try:
      with warnings.catch_warnings(), explain_errors(definition(self.function)):
        warnings.simplefilter('ignore')  # else the same in each epoch of each run
        found = self.function(outputs, targets)
        value = np.asarray(found)
    except UserError as error:
      if all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(outputs)):
        raise UserError(f'The metric {self.name} failed: {error}') from error
      return np.nan
    if value.shape or value.dtype.kind not in 'biuf':
      kind = f'{value.dtype} of shape {value.shape}' if value.shape else type(found).__name__
      raise UserError(
        f'{self.what} must return one real number for all examples, but returned {kind}; outputs have '
        f'shape {shapes(outputs)}, targets {targets.shape}.'
      )
    return float(value)


def metric_of(function: PerExample) -> Metric:
  """Returns the metric of a function that gives the error of each example."""
  return Metric(function.__name__, function, per_example=True)
