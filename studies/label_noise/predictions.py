"""Holds what came out beside each prediction of :mod:`studies.label_noise.definition`."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from studies.label_noise.analysis import Contrast, Results, directions, find, relative
from studies.label_noise.definition import (
  FIXED,
  HIGH,
  LCAM_EQUATION9,
  LCAM_NARROW,
  LCAM_PAPER,
  LCAM_WIDE,
  LOW,
  OTHER_NOISES,
  WEIGHTS,
  Setting,
)
from studies.label_noise.methods import Method
from studies.label_noise.noise import Noise
from train.system.statistics import Estimate, estimate, format_estimate

EASY = WEIGHTS[0]


class Checked(NamedTuple):
  """A prediction and what came out.

  Attributes:
    number: Its number in the definition.
    predicted: What was predicted.
    found: What came out.
    kept: Whether it came out so; None if it was not run.
  """

  number: str
  predicted: str
  found: str
  kept: bool | None


def check_predictions(
  results: Results,
  found: Sequence[Contrast],
  weights: Mapping[tuple[Setting, Method], tuple[float, float]],
) -> list[Checked]:
  """Returns all predictions with what came out.

  A number is kept if it lies in the 95 % interval; a range, if the mean lies in it.

  Args:
    results: The results.
    found: All contrasts.
    weights: The predicted and the measured relative weight of wrong labels.
  """
  return list(_Predictions(results, found, weights).all())


class _Predictions:
  def __init__(self, results, found, weights):
    self._results, self._found, self._weights = results, found, weights

  def all(self) -> Iterator[Checked]:
    low, high, easy = LOW.name, HIGH.name, EASY.name
    for batch, expected in {1: -1.5, 2: -1.3, 4: -0.5}.items():
      said = f'20 %, batch {batch}: {low} {expected:+.1f}, shown'
      yield self._number('1', said, _digits(0.2, batch), low, expected, shown=True)
    for batch in (8, 32, 128):
      said = f'20 %, batch {batch}: {low} between -.4 and +.4'
      yield self._range('1', said, _digits(0.2, batch), low, -0.4, 0.4)
    for batch in (1, 2, 4):
      yield self._yoked(_digits(0.2, batch))
    for batch, expected in {1: 1.1, 2: 1.3, 4: 0.9}.items():
      said = f'20 %, batch {batch}: {high} {expected:+.1f}'
      yield self._number('2', said, _digits(0.2, batch), high, expected)
    yield self._range('3', f'0 %, batch 2: {low} +0 to +.7', _digits(0.0, 2), low, 0, 0.7)
    yield self._range('3', f'10 %, batch 2: {low} below 0', _digits(0.1, 2), low, -100, 0)
    for batch, expected in {1: -2.8, 2: -1.2}.items():
      said = f'40 %, batch {batch}: {low} {expected:+.1f}'
      yield self._number('4', said, _digits(0.4, batch), low, expected)
    yield self._narrow(_digits(0.2, 2))
    said = f'20 %, batch 2: {LCAM_PAPER[0].name} between -.2 and +.2'
    yield self._range('5', said, _digits(0.2, 2), LCAM_PAPER[0].name, -0.2, 0.2)
    for own, yoked in (LCAM_EQUATION9[:2], LCAM_EQUATION9[2:]):
      said = f'20 %, batch 2: {own.name} - its yoked run between -.3 and +.5'
      yield self._range('6', said, _digits(0.2, 2), own.name, -0.3, 0.5, yoked.name)
    yield self._pair()
    said, flips = 'pair flips of 40 %, batch 2: no gain', Setting('digits', Noise('pair', 0.4), 2)
    yield self._number('7', said, flips, LOW.name, 0.0)
    said = f'20 %, batch 2: {easy} as {low}'
    yield self._number('8', said, _digits(0.2, 2), easy, 0.0, low)
    said = f'20 %, batch 32: {easy} better by over .8'
    yield self._range('8', said, _digits(0.2, 32), easy, -100, -0.8)
    said = f'20 %, batch 2: gce-0.7 at least as good as {low}'
    yield self._range('9', said, _digits(0.2, 2), 'gce-0.7', -100, 0, low)
    for name in ('clip-1', 'decay-0.01'):
      said = f'20 %, batch 2: {name} not shown to be worse than {low}'
      yield self._not_shown('9', said, _digits(0.2, 2), name, low, only_above=True)
    yield from self._problems()
    yield self._weight()
    yield self._recipe()

  def _estimate(self, setting: Setting, name: str, against: str) -> Estimate | None:
    of = self._results.tuned.get(setting, {})
    if not {name, against} <= set(of):
      return None
    return estimate(self._results.difference(setting, name, against))

  def _number(
    self, number, said, setting, name, expected, against=FIXED.name, *, shown=False
  ) -> Checked:
    value = self._estimate(setting, name, against)
    kept = None if value is None else abs(value.mean - expected) <= value.half_width
    if kept and shown:
      kept = bool((one := find(self._found, setting, name, against)) and one.shown)
    return Checked(number, said, format_estimate(value, '+'), kept)

  def _range(self, number, said, setting, name, low, high, against=FIXED.name) -> Checked:
    value = self._estimate(setting, name, against)
    kept = None if value is None else bool(low <= value.mean <= high)
    return Checked(number, said, format_estimate(value, '+'), kept)

  def _not_shown(self, number, said, setting, name, against, *, only_above=False) -> Checked:
    one = find(self._found, setting, name, against)
    if one is None:
      return Checked(number, said, '-', None)
    told = f'{format_estimate(one.estimate, "+")}, Holm p {one.adjusted_p:.2g}'
    return Checked(number, said, told, not one.shown or (only_above and one.estimate.mean < 0))

  def _yoked(self, setting: Setting) -> Checked:
    said = f'20 %, batch {setting.batch_size}: against its yoked run as much or more'
    own = self._estimate(setting, LOW.name, FIXED.name)
    value = self._estimate(setting, LOW.name, LCAM_WIDE[1].name)
    kept = None if own is None or value is None else bool(value.mean <= own.mean)
    return Checked('1', said, format_estimate(value, '+'), kept)

  def _narrow(self, setting: Setting) -> Checked:
    said = '20 %, batch 2: .45/.95 does .4 to .7 of what 0/.95 does'
    wide = self._estimate(setting, LOW.name, FIXED.name)
    narrow = self._estimate(setting, LCAM_NARROW[0].name, FIXED.name)
    if wide is None or narrow is None:
      return Checked('5', said, '-', None)
    ratio = narrow.mean / wide.mean
    return Checked('5', said, f'{ratio:.2f} ({format_estimate(narrow, "+")})', 0.4 <= ratio <= 0.7)

  def _pair(self) -> Checked:
    said = f'pair flips, batch 2: {LOW.name} better at 20 %, by about half of the symmetric gain (.3 to .7)'
    flips = self._estimate(Setting('digits', Noise('pair', 0.2), 2), LOW.name, FIXED.name)
    symmetric = self._estimate(_digits(0.2, 2), LOW.name, FIXED.name)
    if flips is None or symmetric is None:
      return Checked('7', said, '-', None)
    ratio = flips.mean / symmetric.mean
    told = f'{ratio:.2f} ({format_estimate(flips, "+")})'
    return Checked('7', said, told, 0.3 <= ratio <= 0.7)

  def _problems(self) -> Iterator[Checked]:
    for name, noises in OTHER_NOISES.items():
      setting = Setting(name, noises[0], 2)
      where = f'{name}, {noises[0].name}, batch 2: {LOW.name}'
      if setting not in self._results.tuned:
        yield Checked('10', where, '-', None)
        continue
      value = self._estimate(setting, LOW.name, FIXED.name)
      one = find(self._found, setting, LOW.name)
      assert value is not None
      assert one is not None
      told = f'{format_estimate(value, "+")}{"*" if one.shown else ""}'
      if name == 'diabetes':
        of = relative(self._results, setting, LOW.name)
        said, told = 'better by 5 to 12 % of the error', f'{format_estimate(of, "+", ".1f")} %'
        kept = bool(-12 <= of.mean <= -5)
      elif name.startswith('cifar'):
        said, kept = 'within 1 of zero, not shown', abs(value.mean) <= 1 and not one.shown
      elif name == 'wine':
        said, kept = 'better, not shown', value.mean < 0 and not one.shown
      else:
        said, kept = 'better', value.mean + value.half_width < 0
      yield Checked('10', f'{where} {said}', told, kept)

  def _weight(self) -> Checked:
    errors = [abs(predicted - measured) for predicted, measured in self._weights.values()]
    near = float(np.mean(np.array(errors) < 0.1))
    said = 'weights of wrong labels: predicted within .1 of the measured one in 9 of 10'
    return Checked('11', said, f'{100 * near:.0f} % of {len(errors)}', near >= 0.9)

  def _recipe(self) -> Checked:
    judged = directions(self._results)
    right = sum(predicted == low for _, predicted, low in judged)
    said = 'the recipe gives the right direction in 8 of 10'
    kept = right >= 0.8 * len(judged) if judged else None
    return Checked('11', said, f'{right} of {len(judged)}', kept)


def _digits(share: float, batch: int) -> Setting:
  return Setting('digits', Noise('symmetric', share), batch)
