"""Computes every number of the study's report."""

import csv
import dataclasses
import functools
import math
import pathlib
from collections.abc import Hashable, Mapping, Sequence
from typing import TypeVar

import numpy as np
from jaxtyping import Float

from studies.tuned import definition
from studies.tuned.definition import Cell, Setting
from studies.tuned.run import final_path
from train.system.statistics import Estimate, estimate, format_estimate, holm, p_value

CONTROLS = (definition.FIXED_AGAIN, definition.FIXED_12_FOLD, definition.LCAM_BEST)
COMPARED = tuple(method.name for method in (*definition.LCAM, *definition.RIVALS))
_Key = TypeVar('_Key', bound=Hashable)
_CHOICES = ('effective_rate', 'momentum', 'validation_loss')


@dataclasses.dataclass(frozen=True, eq=False)
class Tuned:
  """A method as tuned in each repeat of a setting; every array has one value per repeat.

  Attributes:
    tuning: The number of the tuning.
    point: The number of the chosen point in it.
    effective_rate: The chosen effective learning rate.
    momentum: The chosen mean momentum.
    validation_loss: The validation loss of the chosen point.
    test_error: Mean over the fresh seeds.
    test_loss: Mean over the fresh seeds.
    guesses: Share of the fresh seeds that count as a guess.
  """

  tuning: Float[np.ndarray, ' repeats']
  point: Float[np.ndarray, ' repeats']
  effective_rate: Float[np.ndarray, ' repeats']
  momentum: Float[np.ndarray, ' repeats']
  validation_loss: Float[np.ndarray, ' repeats']
  test_error: Float[np.ndarray, ' repeats']
  test_loss: Float[np.ndarray, ' repeats']
  guesses: Float[np.ndarray, ' repeats']


@dataclasses.dataclass(frozen=True, eq=False)
class Results:
  """The repeats whose settings are all done.

  Attributes:
    repeats: The number of repeats.
    tuned: The tuned methods, by setting, name of the method and part of the epochs.
  """

  repeats: int
  tuned: dict[tuple[Setting, str, str], Tuned]

  def difference(
    self,
    setting: Setting,
    name: str,
    endpoint: str = 'test_error',
    part: str = 'full',
    against: str = definition.FIXED.name,
    against_part: str | None = None,
  ) -> Float[np.ndarray, ' repeats']:
    """Returns the difference of a method to another one, in percent of that one, by repeat.

    Args:
      setting: The setting.
      name: The name of the method or control.
      endpoint: One of :data:`definition.ENDPOINTS`.
      part: The part of the epochs.
      against: The name of the other method.
      against_part: The part of the epochs of the other method; None is the same.
    """
    own = getattr(self.tuned[setting, name, part], endpoint)
    other = getattr(self.tuned[setting, against, against_part or part], endpoint)
    return 100 * (own - other) / other.mean()

  def pooled(self, name: str, *arguments, **options) -> Float[np.ndarray, ' repeats']:
    """Returns the mean of :meth:`difference` over the settings, by repeat."""
    found = [
      self.difference(setting, name, *arguments, **options) for setting in definition.settings()
    ]
    return np.mean(found, axis=0)


@dataclasses.dataclass(frozen=True)
class Tested:
  """A difference to fixed momentum with its verdict.

  Attributes:
    estimate: The mean over the repeats.
    adjusted_p: Its p-value after Holm's adjustment over its family.
  """

  estimate: Estimate
  adjusted_p: float

  @property
  def shown(self) -> bool:
    """Whether a difference is shown."""
    return self.adjusted_p < 0.05


def read_results(directory: pathlib.Path) -> Results:
  """Reads the repeats whose cells are all done, up to the first that is not complete.

  Args:
    directory: The folder of the tables of the cells.

  Raises:
    FileNotFoundError: If there is no such repeat.
  """
  repeats = 0
  while repeats < definition.REPEATS and all(
    final_path(Cell(setting, repeats), directory).exists() for setting in definition.settings()
  ):
    repeats += 1
  if not repeats:
    raise FileNotFoundError(f'No repeat is complete in {directory}.')
  tuned = {}
  for setting in definition.settings():
    found: dict[tuple[str, str], list[list[float]]] = {}
    for repeat in range(repeats):
      for key, values in _read(final_path(Cell(setting, repeat), directory), setting).items():
        found.setdefault(key, []).append(values)
    for (name, part), rows in found.items():
      tuned[setting, name, part] = Tuned(*np.array(rows).T)
    for part in definition.PARTS:
      variants = [tuned[setting, method.name, part] for method in definition.LCAM]
      tuned[setting, definition.LCAM_BEST, part] = _best(variants)
  return Results(repeats, tuned)


def read_repeats(path: pathlib.Path) -> Results:
  """Reads the results again from the table of a report, repeats.csv, as far as it has them."""
  found: dict[tuple[Setting, str, str], list[list[float]]] = {}
  settings = {(one.problem_name, one.batch_size): one for one in definition.settings()}
  fields = [field.name for field in dataclasses.fields(Tuned)]
  with path.open() as file:
    for row in csv.DictReader(file):
      key = settings[row['problem'], int(row['batch'])], row['method'], row['part']
      found.setdefault(key, []).append([float(row.get(name, 'nan')) for name in fields])
  tuned = {key: Tuned(*np.array(rows).T) for key, rows in found.items()}
  return Results(len(next(iter(tuned.values())).test_error), tuned)


def _read(path: pathlib.Path, setting: Setting) -> dict[tuple[str, str], list[float]]:
  rows: dict[tuple[str, str], list[dict[str, str]]] = {}
  with path.open() as file:
    for row in csv.DictReader(file):
      rows.setdefault((row['method'], row['part']), []).append(row)
  guess = math.log(setting.problem.classes) * (1 - 1e-5)  # it is rounded in the file
  means = {}
  for key, of_key in rows.items():
    errors, losses = ([float(row[name]) for row in of_key] for name in definition.ENDPOINTS)
    choice = [float(of_key[0][name]) for name in ('tuning', 'point', *_CHOICES)]
    guesses = np.mean(np.array(losses) >= guess)
    means[key] = [*choice, float(np.mean(errors)), float(np.mean(losses)), float(guesses)]
  return means


def _best(variants: Sequence[Tuned]) -> Tuned:
  chosen = np.argmin([variant.validation_loss for variant in variants], axis=0)
  return Tuned(
    *(
      np.choose(chosen, [getattr(variant, field.name) for variant in variants])
      for field in dataclasses.fields(Tuned)
    )
  )


def by_setting(results: Results, endpoint: str, part: str) -> dict[tuple[str, Setting], Tested]:
  """Returns the differences to fixed momentum by method and setting, one family."""
  return tested(
    {
      (name, setting): results.difference(setting, name, endpoint, part)
      for name in COMPARED
      for setting in definition.settings()
    }
  )


def averaged(results: Results, endpoint: str, part: str) -> dict[str, Tested]:
  """Returns the differences to fixed momentum averaged over the settings, by method: a family."""
  return tested({name: results.pooled(name, endpoint, part) for name in COMPARED})


def tested(differences: Mapping[_Key, np.ndarray]) -> dict[_Key, Tested]:
  """Returns the verdicts on the differences of a family, which have one value per repeat each."""
  adjusted = holm([p_value(values) for values in differences.values()])
  return {
    key: Tested(estimate(values), p)
    for (key, values), p in zip(differences.items(), adjusted, strict=True)
  }


def marked(one: Tested) -> str:
  """Returns a difference as text, with a * if it is shown."""
  return format_estimate(one.estimate, '+') + ('*' if one.shown else '')


def listed(names: Sequence[str]) -> str:
  """Returns names in parentheses, to follow their number; an empty text if there are none."""
  return f' ({", ".join(names)})' if names else ''


_unit_points = functools.lru_cache(Cell.unit_points)


def near_ends(
  results: Results, names: Sequence[str], share: float = 1 / 14
) -> Float[np.ndarray, '2 2']:
  """Returns how often a point near the end of its range was chosen, over settings and parts.

  Args:
    results: The results.
    names: The names of the methods.
    share: The share of a range that counts as near its end; 1/14 is half an octave of the rate.

  Returns:
    The shares of choices near the low end and the high end, by effective rate and momentum.
  """
  places = []
  for (setting, name, _), tuned in results.tuned.items():
    if name in names:
      for repeat in range(results.repeats):
        points = _unit_points(Cell(setting, repeat), int(tuned.tuning[repeat]))
        places.append(points[int(tuned.point[repeat])])
  chosen = np.array(places)
  return np.stack([(chosen < share).mean(0), (chosen > 1 - share).mean(0)], axis=1)
