"""Writes the part of the report on the follow-up: is it the loss?"""

import csv
import dataclasses
import pathlib
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from studies.tuned import definition
from studies.tuned.analysis import Results, Tested, listed, marked, tested
from studies.tuned.definition import FIXED, LCAM, Cell, Setting
from studies.tuned.followup import DECAYED, followup_path
from train.system.statistics import estimate, format_estimate

_Means = dict[tuple[Setting, str, str], Float[np.ndarray, 'repeats endpoints']]


@dataclasses.dataclass(frozen=True, eq=False)
class Followup:
  """The repeats of the follow-up whose settings are all done.

  Attributes:
    repeats: The number of repeats.
    means: Test errors and losses, averaged over the seeds, by setting, method and arm.
    fixed: Those of tuned fixed momentum in the study itself, by setting.
  """

  repeats: int
  means: _Means
  fixed: dict[Setting, Float[np.ndarray, 'repeats endpoints']]

  def averaged(
    self, own: tuple[str, str], other: tuple[str, str] | None = None, endpoint: int = 0
  ) -> Float[np.ndarray, ' repeats']:
    """Returns the difference of one arm to another, averaged over settings, by repeat.

    Args:
      own: A method and an arm.
      other: Another method and arm; None is fixed momentum with a constant rate.
      endpoint: 0 is the test error, 1 the test loss.

    Returns:
      The difference in percent of fixed momentum: with decay if both have it, else without.
    """
    found = []
    for setting in definition.settings():
      fixed = base = self.fixed[setting]
      if other:
        fixed = self.means[setting, *other]
        base = fixed if other[1] == 'decay' else base
      difference = self.means[setting, *own] - fixed
      found.append(100 * difference[:, endpoint] / base[:, endpoint].mean())
    return np.mean(found, axis=0)


def read_followup(results: Results, directory: pathlib.Path) -> Followup | None:
  """Reads the follow-up; returns None if no repeat of it is complete.

  Args:
    results: The results of the study.
    directory: The folder of the tables.
  """
  repeats, means = 0, {}
  while repeats < results.repeats:
    cells = [Cell(setting, repeats) for setting in definition.settings()]
    paths = [followup_path(cell, directory) for cell in cells]
    if not all(path.exists() for path in paths):
      break
    for cell, path in zip(cells, paths, strict=True):
      for (method, arm), row in _read(path).items():
        means.setdefault((cell.setting, method, arm), []).append(row)
    repeats += 1
  if not repeats:
    return None
  fixed = {}
  for setting in definition.settings():
    tuned = results.tuned[setting, FIXED.name, 'full']
    fixed[setting] = np.stack([tuned.test_error, tuned.test_loss], axis=1)[:repeats]
  return Followup(repeats, {key: np.array(rows) for key, rows in means.items()}, fixed)


def _read(path: pathlib.Path) -> dict[tuple[str, str], list[float]]:
  rows: dict[tuple[str, str], list[list[float]]] = {}
  with path.open() as file:
    for row in csv.DictReader(file):
      ends = [float(row[name]) for name in definition.ENDPOINTS]
      rows.setdefault((row['method'], row['arm']), []).append(ends)
  return {key: np.mean(values, axis=0).tolist() for key, values in rows.items()}


def against_yoked(followup: Followup, endpoint: int = 0) -> dict[str, Tested]:
  """Returns the differences of LCAM to its yoked runs, as one family."""
  return tested(
    {
      method.name: followup.averaged((method.name, 'lcam'), (method.name, 'yoked'), endpoint)
      for method in LCAM
    }
  )


def with_decay(followup: Followup, endpoint: int = 0) -> dict[str, Tested]:
  """Returns the differences to fixed momentum, all with a decaying rate, as one family."""
  fixed = (FIXED.name, 'decay')
  return tested(
    {
      method.name: followup.averaged((method.name, 'decay'), fixed, endpoint)
      for method in DECAYED[1:]
    }
  )


def followup_answer(followup: Followup) -> str:
  """Returns the result in three sentences."""
  own = {method.name: followup.averaged((method.name, 'lcam')) for method in LCAM}
  best = min(own, key=lambda name: own[name].mean())
  apart = [name for name, one in against_yoked(followup).items() if one.shown]
  better = [
    name for name, one in with_decay(followup).items() if one.shown and one.estimate.mean < 0
  ]

  def text(values):
    return format_estimate(estimate(values), '+')

  return (
    f'- **Is it the loss?** {best} is at {text(own[best])} %, its yoked runs, which do not look at '
    f'their loss, at {text(followup.averaged((best, "yoked")))} %; of {len(LCAM)} variants, '
    f'{len(apart)} are shown to differ from their yoked runs{listed(apart)}. A learning rate that '
    f'decays takes fixed momentum to {text(followup.averaged((FIXED.name, "decay")))} %; with that '
    f'decay, {len(better)} of {len(DECAYED) - 1} methods are shown better than fixed momentum'
    f'{listed(better)}. (See the follow-up below.)'
  )


def followup_lines(followup: Followup) -> Sequence[str]:
  """Returns the lines of this part of the report."""
  lines = [
    '',
    '## Is it the loss, or a learning rate that falls?',
    '',
    'Asked after two of the repeats had been looked at, and written down before its own runs '
    f'(`studies/tuned/followup.py`); {followup.repeats} of {definition.REPEATS} repeats are done. '
    'While the loss falls, most steps are low: the higher momentum in the low-loss phase is one that '
    'falls in training, and the rate here is constant. A yoked run has the same momenta as an LCAM '
    'run, but of the next seed: the schedule without this loss. Test error, all epochs, averaged over '
    'the nine settings; Holm over the 12 variants in the last two columns.',
    '',
    '| variant, as tuned | LCAM - fixed | yoked - fixed | LCAM - yoked | LCAM - yoked, test loss |',
    '|---|---|---|---|---|',
  ]
  errors, losses = (against_yoked(followup, endpoint) for endpoint in (0, 1))
  for method in LCAM:
    against_fixed = ' | '.join(
      format_estimate(estimate(followup.averaged((method.name, arm))), '+')
      for arm in ('lcam', 'yoked')
    )
    numbers = f'{marked(errors[method.name])} | {marked(losses[method.name])}'
    lines.append(f'| {method.name} | {against_fixed} | {numbers} |')
  lines += [
    '',
    'And tuned anew with a learning rate that decays to zero as a cosine, fixed momentum too; Holm over '
    f'these {len(DECAYED) - 1}:',
    '',
    '| with decay | against fixed with decay | test loss | against fixed without decay |',
    '|---|---|---|---|',
  ]
  errors, losses = (with_decay(followup, endpoint) for endpoint in (0, 1))
  for method in DECAYED:
    name = method.name
    without = format_estimate(estimate(followup.averaged((name, 'decay'))), '+')
    numbers = f'{marked(errors[name])} | {marked(losses[name])}' if name in errors else '- | -'
    lines.append(f'| {name} | {numbers} | {without} |')
  return lines


def write_followup(path: pathlib.Path, followup: Followup) -> None:
  """Writes the means of every repeat."""
  with path.open('w', newline='') as file:
    writer = csv.writer(file, lineterminator='\n')
    writer.writerow(('problem', 'batch', 'method', 'arm', 'repeat', *definition.ENDPOINTS))
    for (setting, method, arm), rows in followup.means.items():
      for repeat, row in enumerate(rows):
        place = setting.problem_name, setting.batch_size, method, arm, repeat
        writer.writerow((*place, *(f'{number:.5g}' for number in row)))
