"""Writes a report as one self-contained web page."""

import json
import pathlib
from collections.abc import Sequence
from typing import Any

import jinja2
from bokeh.resources import Resources

from train.reports.curves import MOST_WITH_BANDS, Panel, finite_runs, shows_means
from train.reports.files import Contents
from train.reports.interactive_curves import BAND, INK, interactive_histograms, interactive_panel
from train.reports.last_values import Histograms
from train.reports.read_runs import FoundRuns
from train.reports.sensitivity import sensitivity
from train.reports.styles import BLACK, MARKERS, style_of
from train.reports.words import seed_ranges
from train.storage.configuration import compared_fields
from train.system.files import write_whole

_SAMPLE_WIDTH = 2.0


def write_page(
  path: pathlib.Path,
  contents: Contents,
  found: FoundRuns,
  drawn: Sequence[Panel],
  last: Sequence[Histograms],
) -> None:
  """Writes report.html, with the curves of curves.png."""
  environment = jinja2.Environment(
    loader=jinja2.FileSystemLoader(pathlib.Path(__file__).parent),
    autoescape=True,  # titles and names are the user's
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
  )
  # BokehJS must read an object before references to it.
  environment.policies['json.dumps_kwargs'] = {'sort_keys': False}
  tuned = [sensitivity(found)] if found.tuning else []
  configuration = {
    **compared_fields(found.config, ('arm', 'seed')),
    'arms': {arm: {**found.arms[arm], 'seeds': seed_ranges(found.runs[arm])} for arm in found.runs},
  }
  page = environment.get_template('page.html.jinja').render(
    contents=contents,
    arms=[_legend_entry(arm, found) for arm in found.runs],
    captions=[
      *map(_caption, drawn),
      *(histograms.label for histograms in last),
      *(f'{panel.label} by {panel.horizontal_label}' for panel in tuned),
    ],
    items=[
      *(interactive_panel(panel, found) for panel in drawn),
      *(interactive_histograms(histograms, found) for histograms in last),
      *(interactive_panel(panel, found) for panel in tuned),
    ],
    has_means=shows_means(found),
    shows_bands=len(found.runs) <= MOST_WITH_BANDS,
    configuration=json.dumps(configuration, indent=2),
    band=BAND,
    ink=INK,
    bokeh='\n'.join(Resources(mode='inline', components=['bokeh']).js_raw),
  )
  write_whole(path, page)


def _legend_entry(arm: str, found: FoundRuns) -> dict[str, Any]:
  style = style_of(arm, found.arms[arm])
  good = len(finite_runs(found, arm))
  return {
    'name': arm,
    'runs': good,
    'diverged': len(found.runs[arm]) - good,
    'colour': 'currentColor' if style.color == BLACK else style.color,
    'dashes': ' '.join(map(str, style.dashes(_SAMPLE_WIDTH))),
    'width': _SAMPLE_WIDTH,
    'marker': MARKERS[style.marker].letter if style.marker else '',
  }


def _caption(panel: Panel) -> str:
  if not panel.title:
    return panel.label
  if panel.first_epoch is None:
    return f'{panel.label} ({panel.title}: none of these arms)'
  return f'{panel.label} ({panel.title}, from epoch {panel.first_epoch:.0f} on)'
