"""The results of a comparison, for notebooks and scripts."""

import base64
import dataclasses
import html
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from train.reports.contrasts import Contrast, Contrasts, contrasts
from train.reports.make_report import describe
from train.reports.read_runs import FoundRuns
from train.reports.tables import Table
from train.storage.tuning import TriedRow
from train.system.errors import UserError
from train.system.statistics import Estimate, estimate

if TYPE_CHECKING:
  from matplotlib.figure import Figure


@dataclasses.dataclass(frozen=True, eq=False)
class ArmResult:
  """The finished runs of an arm.

  Attributes:
    name: Its name.
    seeds: The seeds of its finished runs.
    metric: The metric of each of them after the last epoch, or the one chosen on validation data; wrong
      answers in percent.
    diverged: The seeds of its runs that diverged.
  """

  name: str
  seeds: tuple[int, ...]
  metric: np.ndarray
  diverged: tuple[int, ...]

  @property
  def mean(self) -> float:
    """The mean of the metric over the seeds; NaN without a finished run."""
    return self._estimate.mean

  @property
  def half_width(self) -> float:
    """The half-width of its 95 % confidence interval (Student's t); infinite for one seed."""
    return self._estimate.half_width

  @property
  def _estimate(self) -> Estimate:
    return estimate(self.metric) if len(self.metric) else Estimate(np.nan, np.inf)


class Results:
  """The results of a comparison; in Jupyter it shows its tables and curves.

  Attributes:
    arms: The results of each arm, by its name.
    contrasts: The differences of arms, with intervals and p-values, as in contrasts.csv.
    verdict: Sentences about them.
    tuning: The points that were tried, if the arms are tuned, as in tuning.csv.
  """

  arms: dict[str, ArmResult]
  contrasts: list[Contrast]
  verdict: list[str]
  tuning: list[TriedRow]

  def __init__(self, found: FoundRuns):
    """Takes the runs that were found in a working directory."""
    self._found = found
    self._compared: Contrasts = contrasts(found)
    self._described = describe(found, self._compared)
    self.arms = {arm: _arm_result(found, arm) for arm in found.runs}
    self.contrasts = self._compared.rows
    self.verdict = self._described.contents.verdict
    self.tuning = found.tuning

  def curves(self) -> dict[str, dict[str, np.ndarray]]:
    """Returns the columns of metrics.csv of each arm's finished runs, shape (seeds, epochs)."""
    curves = {}
    for arm, result in self.arms.items():
      runs = [self._found.runs[arm][seed] for seed in result.seeds]
      if runs:
        curves[arm] = {name: np.stack([run[name] for run in runs]) for name in runs[0]}
    return curves

  def plot(self) -> 'Figure':
    """Returns a Matplotlib figure of the curves, as in curves.png."""
    from train.reports.plots import draw_curves

    contents, _, drawn, last = self._described
    return draw_curves(self._found, drawn, last, contents.caption)

  def plot_sensitivity(self) -> 'Figure':
    """Returns a Matplotlib figure of the validation metric by learning rate, as in sensitivity.png.

    Raises:
      UserError: If the arms were not tuned.
    """
    from train.reports.plots import draw_sensitivity

    if not self.tuning:
      raise UserError('These arms were not tuned: use `train.tune` instead of `train.compare`.')
    return draw_sensitivity(self._found, self._described.contents.tuning)

  def __repr__(self) -> str:
    contents = self._described.contents
    lines = [contents.title, *contents.verdict]
    lines += [f'{arm.name}: {arm.mean:.6g} ± {arm.half_width:.2g}' for arm in self.arms.values()]
    return '\n'.join(lines)

  def _repr_html_(self) -> str:
    contents = self._described.contents
    figures = {contents.caption: self.plot()}
    if self.tuning:
      figures[contents.tuning] = self.plot_sensitivity()
    return ''.join(
      [
        f'<h3>{html.escape(contents.title)}</h3>',
        *(f'<p>{html.escape(sentence)}</p>' for sentence in contents.verdict),
        *map(_html_table, contents.tables),
        *(_html_picture(caption, figure) for caption, figure in figures.items()),
      ]
    )


def _arm_result(found: FoundRuns, arm: str) -> ArmResult:
  seeds = found.seeds(arm, 'finished')
  values = np.array([found.judged(arm, seed) for seed in seeds])
  return ArmResult(arm, tuple(seeds), values, tuple(found.seeds(arm, 'diverged')))


def _html_picture(caption: str, figure: 'Figure') -> str:
  picture = io.BytesIO()
  figure.savefig(picture, dpi=80)
  source = base64.b64encode(picture.getvalue()).decode()
  return f'<img alt="{html.escape(caption)}" src="data:image/png;base64,{source}">'


def _html_table(table: Table) -> str:
  def row(cells: Sequence[str], tag: str) -> str:
    inner = ''.join(f'<{tag}>{html.escape(cell)}</{tag}>' for cell in cells)
    return f'<tr>{inner}</tr>'

  body = zip(*(column.cells for column in table.columns), strict=True)
  notes = ''.join(f'<p><small>{html.escape(note)}</small></p>' for note in table.notes)
  head = row([column.head for column in table.columns], 'th')
  return f'<table>{head}{"".join(row(cells, "td") for cells in body)}</table>{notes}'
