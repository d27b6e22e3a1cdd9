"""Computes every number of the study's report."""

import csv
import dataclasses
import pathlib
from collections.abc import Iterable, Iterator

import numpy as np
from jaxtyping import Float

from studies.label_noise import definition
from studies.label_noise.definition import FIXED, LCAM_WIDE, LOW, WEIGHTS, Cell, Setting
from studies.label_noise.methods import Method
from studies.label_noise.run import paths
from studies.label_noise.theory import Distributions, pays_low, relative_weight
from train.system.statistics import Estimate, estimate, holm, p_value

FAMILIES = ('primary', 'direction', 'problems', 'rivals')
_NUMBERS = ('rate', 'validation_error', 'test_error', 'wrong_learnt', 'wrong_weight')


@dataclasses.dataclass(frozen=True, eq=False)
class Tuned:
  """A method as tuned in each repeat of a setting; every array has one value per repeat.

  Attributes:
    rate: The chosen effective rate.
    validation_error: The error that it was chosen by.
    test_error: Mean error on test examples.
    wrong_learnt: Share of the wrong labels of training examples that the networks give.
    wrong_weight: The weight of wrong labels' gradients, relative to that of all.
  """

  rate: Float[np.ndarray, ' repeats']
  validation_error: Float[np.ndarray, ' repeats']
  test_error: Float[np.ndarray, ' repeats']
  wrong_learnt: Float[np.ndarray, ' repeats']
  wrong_weight: Float[np.ndarray, ' repeats']


@dataclasses.dataclass(frozen=True, eq=False)
class Results:
  """The settings whose repeats are all done.

  Attributes:
    tuned: The tuned methods, by setting and name.
    losses: The losses of training examples in runs of fixed momentum before the last epoch, by
      setting; wrong ones are those that labels would have, where none is.
  """

  tuned: dict[Setting, dict[str, Tuned]]
  losses: dict[Setting, Distributions]

  def difference(self, setting: Setting, name: str, against: str) -> Float[np.ndarray, ' repeats']:
    """Returns the difference of two methods' errors, times 100, by repeat."""
    of = self.tuned[setting]
    return 100 * (of[name].test_error - of[against].test_error)

  def direction(self, setting: Setting) -> Float[np.ndarray, ' repeats']:
    """Returns the effect of the direction, times 100: below 0 if the low-loss phase is better."""
    low, yoked_low, high, yoked_high = (method.name for method in LCAM_WIDE)
    return self.difference(setting, low, yoked_low) - self.difference(setting, high, yoked_high)


@dataclasses.dataclass(frozen=True)
class Contrast:
  """A difference between two methods, with its verdict.

  Attributes:
    family: The family of tests that it belongs to.
    setting: The setting.
    name: The name of the method.
    against: The name of the other one.
    estimate: The difference of their errors, times 100.
    adjusted_p: Its p-value after Holm's adjustment over the family.
  """

  family: str
  setting: Setting
  name: str
  against: str
  estimate: Estimate
  adjusted_p: float

  @property
  def shown(self) -> bool:
    """Whether a difference is shown."""
    return self.adjusted_p < definition.SHOWN


def read_results(directory: pathlib.Path) -> Results:
  """Reads the settings whose repeats are all done.

  Args:
    directory: The folder of the tables of the cells.

  Raises:
    FileNotFoundError: If there is no such setting.
  """
  tuned, losses = {}, {}
  for setting in definition.settings():
    files = [paths(Cell(setting, repeat), directory) for repeat in range(definition.REPEATS)]
    if all(test.exists() for *_, test in files):
      tuned[setting] = _read_tests(test for *_, test in files)
      losses[setting] = _read_losses(of_cell for _, of_cell, _ in files)
  if not tuned:
    raise FileNotFoundError(f'No setting is complete in {directory}.')
  return Results(tuned, losses)


def contrasts(results: Results) -> list[Contrast]:
  """Returns all contrasts, family by family."""
  found = []
  pairs: dict[str, list[tuple[Setting, str, str]]] = {family: [] for family in FAMILIES}
  for family, *pair in _pairs(results):
    pairs[family].append(tuple(pair))
  for family, of_family in pairs.items():
    differences = [results.difference(*pair) for pair in of_family]
    adjusted = holm([p_value(values) for values in differences])
    found += [
      Contrast(family, *pair, estimate(values), p)
      for pair, values, p in zip(of_family, differences, adjusted, strict=True)
    ]
  return found


def _pairs(results: Results) -> Iterator[tuple[str, Setting, str, str]]:
  rivals = {
    rival.name for rival in (*definition.RIVALS, *definition.RIVALS_OF_REGRESSION, *WEIGHTS)
  }
  for setting in results.tuned:
    methods = setting.methods
    yoked = {method.partner: method.name for method in methods if method.partner}
    for method in methods:
      for against in (FIXED.name, yoked[method.name]) if method.name in yoked else ():
        yield _family(setting, method), setting, method.name, against
      if method.name in rivals:
        for against in (FIXED.name, LOW.name):
          yield 'rivals', setting, method.name, against


def _family(setting: Setting, method: Method) -> str:
  if setting.problem_name != 'digits':
    return 'problems'
  is_first = setting.noise == definition.DIGITS_FIRST[0] and setting.batch_size <= 8
  return 'primary' if is_first and method == LOW else 'direction'


def find(
  contrasts: Iterable[Contrast], setting: Setting, name: str, against: str = FIXED.name
) -> Contrast | None:
  """Returns the contrast of two methods in a setting; None if it was not run."""
  for one in contrasts:
    if (one.setting, one.name, one.against) == (setting, name, against):
      return one
  return None


def relative(results: Results, setting: Setting, name: str) -> Estimate:
  """Returns the difference of a method to fixed momentum in percent of its mean error."""
  of_fixed = results.tuned[setting][FIXED.name].test_error.mean()
  return estimate(results.difference(setting, name, FIXED.name) / of_fixed)


def predicted_and_measured(
  results: Results,
) -> dict[tuple[Setting, Method], tuple[float, float]]:
  """Returns the relative weight of wrong labels with LCAM, predicted and measured."""
  return {
    (setting, method): (
      relative_weight(results.losses[setting], setting.batch_size, (method.high - method.low) / 2),
      float(of[method.name].wrong_weight.mean()),
    )
    for setting, of in results.tuned.items()
    for method in setting.methods
    if method.rule == 'algorithm1' and method.low != method.high and not method.partner
    if np.isfinite(of[method.name].wrong_weight).all()
  }


def directions(results: Results) -> list[tuple[Setting, bool, bool]]:
  """Returns where the effect of the direction is told from zero, whether low is predicted, and is."""
  return [
    (setting, pays_low(results.losses[setting]), bool(effect.mean() < 0))
    for setting in results.tuned
    if setting.batch_size == 2
    for effect in [results.direction(setting)]
    if p_value(effect) < definition.SHOWN
  ]


def _read_tests(files: Iterable[pathlib.Path]) -> dict[str, Tuned]:
  repeats: dict[str, list[list[float]]] = {}
  for path in files:
    rows: dict[str, list[list[float]]] = {}
    with path.open() as file:
      for row in csv.DictReader(file):
        rows.setdefault(row['method'], []).append([float(row[name]) for name in _NUMBERS])
    for name, of_method in rows.items():
      repeats.setdefault(name, []).append(np.mean(of_method, axis=0).tolist())
  return {name: Tuned(*np.array(of_method).T) for name, of_method in repeats.items()}


def _read_losses(files: Iterable[pathlib.Path]) -> Distributions:
  shares, found = [], {'right': [], 'wrong': [], 'other': []}
  for path in files:
    with path.open() as file:
      rows = [row for row in csv.DictReader(file) if row['after'] == 'last']
    shares.append(float(rows[0]['share_wrong']))
    for row in rows:
      found[row['labels']].append(float(row['loss']))
  wrong = found['wrong'] or found['other']
  return Distributions(float(np.mean(shares)), np.array(found['right']), np.array(wrong))


def write_cells(path: pathlib.Path, results: Results) -> None:
  """Writes each method of each setting: means over the repeats."""
  head = (
    'problem',
    'noise',
    'batch',
    'method',
    'test_error',
    'half_width',
    *_NUMBERS[1:2],
    *_NUMBERS[3:],
  )
  with path.open('w', newline='') as file:
    writer = csv.writer(file, lineterminator='\n')
    writer.writerow((*head, 'median_rate'))
    for setting, of_setting in results.tuned.items():
      for name, tuned in of_setting.items():
        error = estimate(tuned.test_error)
        means = [tuned.validation_error, tuned.wrong_learnt, tuned.wrong_weight]
        numbers = (*error, *(values.mean() for values in means), np.median(tuned.rate))
        place = (setting.problem_name, setting.noise.name, setting.batch_size, name)
        writer.writerow((*place, *(f'{number:.4g}' for number in numbers)))


def write_contrasts(path: pathlib.Path, found: Iterable[Contrast]) -> None:
  """Writes all contrasts."""
  head = ('family', 'problem', 'noise', 'batch', 'method', 'against')
  with path.open('w', newline='') as file:
    writer = csv.writer(file, lineterminator='\n')
    writer.writerow((*head, 'difference', 'half_width', 'holm_p'))
    for one in found:
      setting = one.setting
      place = (setting.problem_name, setting.noise.name, setting.batch_size, one.name, one.against)
      numbers = (f'{number:.4g}' for number in (*one.estimate, one.adjusted_p))
      writer.writerow((one.family, *place, *numbers))
