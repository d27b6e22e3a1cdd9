"""The curves of a comparison for a web page, where BokehJS draws them."""

import json
import math
import re
from typing import Any

import numpy as np
from bokeh.embed import json_item
from bokeh.models import (
  BasicTicker,
  BasicTickFormatter,
  ColumnDataSource,
  DataRange1d,
  FixedTicker,
  GlyphRenderer,
  HoverTool,
  Quad,
  Scatter,
  Span,
  VArea,
)
from bokeh.models import Line as BokehLine
from bokeh.plotting import figure

from train.reports.curves import Line, Panel
from train.reports.last_values import Histograms
from train.reports.read_runs import FoundRuns
from train.reports.styles import BLACK, MARKERS, Style, style_of

BAND = 'band'
INK = 'ink'  # tags what is black like text, and must be white like text on a dark page
_HEIGHT = 330
_WIDTHS = {'mean': 2.0, 'run': 1.2, 'published': 1.2, 'diverged': 1.2}


def interactive_panel(panel: Panel, found: FoundRuns) -> dict[str, Any]:
  """Returns a panel as an item of ``Bokeh.embed.embed_item``; renderers have their arm's name."""
  plot = _plot(
    height=_HEIGHT,
    x_range=panel.horizontal,
    y_axis_type='log' if panel.logarithmic else 'linear',
    x_axis_type='linear' if panel.of_epochs else 'log',
    x_axis_label=panel.horizontal_label,
  )
  lines = [_add(plot, line, style_of(line.arm, found.arms[line.arm])) for line in panel.lines]
  fitted = {id(line) for line in panel.fitted}
  # Bands do not count, so that a wide band of few seeds does not flatten the lines.
  plot.y_range = DataRange1d(
    renderers=[one for line, one in zip(panel.lines, lines, strict=True) if id(line) in fitted],
    only_visible=True,
    range_padding=0.15,
  )
  place = panel.horizontal_label, '@epoch' if panel.of_epochs else '@epoch{0.[00000]}'
  tooltips = [('arm', '$name'), place, (panel.label, '@value{0.[00000]}')]
  plot.add_tools(HoverTool(renderers=lines, line_policy='nearest', tooltips=tooltips))
  if panel.of_epochs:
    plot.xaxis.ticker = BasicTicker(min_interval=1)
  if panel.logarithmic:  # below two powers of ten, Bokeh's own ticks are those of a linear axis
    plot.yaxis.ticker = FixedTicker(ticks=_ticks(panel))
    plot.yaxis.formatter = BasicTickFormatter()
  return _numbered_anew(json_item(plot))


def interactive_histograms(drawn: Histograms, found: FoundRuns) -> dict[str, Any]:
  """Returns histograms as an item of ``Bokeh.embed.embed_item``, as :func:`interactive_panel`."""
  plot = _plot(
    height=80 + 48 * len(drawn.arms),
    y_range=(0.35 - len(drawn.arms), 0.75),
    y_axis_location='right' if drawn.is_difference else 'left',
  )
  bars = []
  for place, one in enumerate(drawn.arms):
    style = style_of(one.arm, found.arms[one.arm])
    look = {'name': one.arm, 'tags': [INK] if style.color == BLACK else []}
    filled = one.counts > 0
    source = ColumnDataSource(
      {
        'left': drawn.edges[:-1][filled],
        'right': drawn.edges[1:][filled],
        'top': 0.62 * one.heights[filled] - place,
        'seeds': one.counts[filled],
      }
    )
    quads = Quad(left='left', right='right', top='top', bottom=-place, line_alpha=0)
    quads.update(fill_color=style.color, fill_alpha=0.45)
    bars.append(plot.add_glyph(source, quads, **look))
    mean, half_width = one.estimate
    half_width = half_width if math.isfinite(half_width) else 0
    ends = ColumnDataSource({'x': [mean - half_width, mean + half_width], 'y': [-place - 0.14] * 2})
    plot.add_glyph(ends, BokehLine(x='x', y='y', line_color=style.color, line_width=2), **look)
    middle = ColumnDataSource({'x': [mean], 'y': [-place - 0.14]})
    shape = MARKERS[style.marker or 'o'].bokeh
    dot = Scatter(x='x', y='y', marker=shape, line_color=style.color, fill_color=style.color)
    plot.add_glyph(middle, dot, **look)
  if drawn.is_difference:
    plot.renderers.append(Span(location=0, dimension='height', line_color='grey'))
  tooltips = [('arm', '$name'), ('from', '@left'), ('to', '@right'), ('seeds', '@seeds')]
  plot.add_tools(HoverTool(renderers=bars, tooltips=tooltips))
  places = [0.15 - place for place in range(len(drawn.arms))]
  plot.yaxis.ticker = FixedTicker(ticks=places)
  plot.yaxis.major_label_overrides = {
    place: one.words for place, one in zip(places, drawn.arms, strict=True)
  }
  plot.ygrid.visible = False
  return _numbered_anew(json_item(plot))


def _plot(**options: Any) -> Any:
  plot = figure(
    **options,
    sizing_mode='stretch_width',
    tools='pan,box_zoom,reset',
    active_drag=None,  # on a phone, a finger that scrolls the page would move the curves
    background_fill_color=None,
    border_fill_color=None,
    outline_line_color=None,
  )
  plot.toolbar.logo = None
  plot.grid.grid_line_color = 'grey'
  plot.grid.grid_line_alpha = 0.3
  return plot


def _ticks(panel: Panel) -> list[float]:
  """Returns the ticks of a logarithmic axis, from a power of ten below the lines to one above."""
  low, high = panel.extent or (1.0, 1.0)
  powers = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 2)
  return [float(f'{mantissa}e{power}') for power in powers for mantissa in panel.mantissas]


def _add(plot: Any, line: Line, style: Style) -> GlyphRenderer:
  """Adds a line, with a few markers on it, and its band; returns the line."""
  look = {'name': line.arm, 'tags': [INK] if style.color == BLACK else []}
  source = ColumnDataSource({'epoch': line.epochs, 'value': np.asarray(line.values, float)})
  if line.band:
    source.data['low'], source.data['high'] = line.band
    band = VArea(x='epoch', y1='low', y2='high', fill_color=style.color, fill_alpha=0.12)
    plot.add_glyph(source, band, name=line.arm, tags=[BAND, *look['tags']])
  if line.kind in ('points', 'pick'):
    shape = (
      {'marker': 'circle', 'size': 5} if line.kind == 'points' else {'marker': 'star', 'size': 16}
    )
    colours = {'line_color': style.color, 'fill_color': style.color}
    return plot.add_glyph(source, Scatter(x='epoch', y='value', **shape, **colours), **look)
  if style.marker and line.kind != 'diverged':
    some = slice(None, None, max(1, len(line.epochs) // 6))
    few = ColumnDataSource({'epoch': line.epochs[some], 'value': line.values[some]})
    marker = {'marker': MARKERS[style.marker].bokeh, 'size': 6, 'fill_color': style.color}
    plot.add_glyph(few, Scatter(x='epoch', y='value', line_color=style.color, **marker), **look)
  width = _WIDTHS[line.kind]
  dashes = {'line_dash': [1, 3] if line.kind == 'diverged' else style.dashes(width)}
  drawn = BokehLine(x='epoch', y='value', line_color=style.color, line_width=width, **dashes)
  return plot.add_glyph(source, drawn, **look)


def _numbered_anew(item: Any) -> Any:
  """Returns an item with its models numbered from 1, whatever models the process made before."""
  names: dict[str, str] = {}

  def numbered(match: re.Match[str]) -> str:
    return f'{match[1]}"{names.setdefault(match[2], f"p{len(names) + 1}")}"'

  # JSON escapes quotes within strings, so that this finds keys only.
  return json.loads(re.sub(r'("(?:root_)?id": )"(\w+)"', numbered, json.dumps(item)))
