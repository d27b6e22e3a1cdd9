"""The look of an arm in plots; it depends on the arm alone, and so is the same in every report."""

import zlib
from collections.abc import Mapping
from typing import Any, NamedTuple

from train.problem.arms import OTHERS

# Okabe and Ito's colours, which are distinct for readers with any colour vision.
BLACK = '#000000'
ORANGE = '#E69F00'
SKY = '#56B4E9'
GREEN = '#009E73'
BLUE = '#0072B2'
VERMILLION = '#D55E00'
PURPLE = '#CC79A7'
GREY = '#999999'

CONTRAST_COLOURS = {
  'yoked': PURPLE,
  'coin': ORANGE,
  'direction': BLUE,
  'tries': GREEN,
  'baseline': BLACK,
}
_SOLID, _DASHED, _DOTTED, _MIXED = '-', (0, (5, 2)), (0, (1.2, 1.2)), (0, (6, 2, 1, 2))


class Marker(NamedTuple):
  """Names of a marker: in Bokeh, and its Unicode character."""

  bokeh: str
  letter: str


# By their names in Matplotlib.
MARKERS = {
  'o': Marker('circle', '●'),
  's': Marker('square', '■'),
  '^': Marker('triangle', '▲'),
  'D': Marker('diamond', '◆'),
  'v': Marker('inverted_triangle', '▼'),
  'P': Marker('cross', '✚'),
  'X': Marker('x', '✖'),
  '*': Marker('star', '★'),
}
# High momentum in the high-loss phase, then in the low-loss phase.
_PAIRS = {
  'lcam': ((VERMILLION, _SOLID), (BLUE, _SOLID)),
  'yoked': ((PURPLE, _DASHED), (SKY, _DASHED)),
  'coin': ((ORANGE, _DOTTED), (GREEN, _DOTTED)),
  'adam-by-phase': ((VERMILLION, _MIXED), (BLUE, _MIXED)),
  'lion-by-phase': ((PURPLE, _MIXED), (SKY, _MIXED)),
}
_COMBINATIONS = [
  (colour, line)
  for line in (_MIXED, _DASHED, _DOTTED)
  for colour in (GREEN, ORANGE, SKY, PURPLE, GREY)
]


class Style(NamedTuple):
  """How an arm is drawn, with Matplotlib's names."""

  color: str
  linestyle: Any
  marker: str = ''  # on some epochs; depends on the momenta

  def dashes(self, width: float) -> list[int]:
    """Returns the lengths of dashes and gaps in pixels, of a line of a width; none if solid."""
    lengths = () if self.linestyle == _SOLID else self.linestyle[1]
    return [max(1, round(width * length)) for length in lengths]


def style_of(name: str, arm: Mapping[str, Any]) -> Style:
  """Returns how an arm with this name and configuration is drawn."""
  kind = arm['kind']
  if arm.get('tuned', {}).get('tries', 1) > 1:
    return Style(GREY if kind == 'fixed' else VERMILLION, _DASHED)
  if kind == 'fixed':
    if arm['momentum'] == 0.9:
      return Style(BLACK, _SOLID)
    return Style(GREY, _SOLID, _marker(f'{arm["momentum"]:g}'))
  if kind in _PAIRS:
    low, high = arm['low_loss_momentum'], arm['high_loss_momentum']
    # Both directions of a pair, and its controls, have the same marker.
    colour, line = _PAIRS[kind][low > high]
    return Style(colour, line, _marker(f'{min(low, high):g}-{max(low, high):g}'))
  known = [other.name for other in OTHERS]
  number = known.index(name) if name in known else len(known) + _stable_hash(name)
  return Style(*_COMBINATIONS[number % len(_COMBINATIONS)])


def _marker(numbers: str) -> str:
  return list(MARKERS)[_stable_hash(numbers) % len(MARKERS)]


def _stable_hash(text: str) -> int:
  return zlib.crc32(text.encode())  # hash() differs from process to process
