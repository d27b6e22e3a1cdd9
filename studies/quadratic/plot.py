"""Draws the predicted and the simulated effect by stiffness.

python -m studies.quadratic.plot          # from the committed table
"""

import csv
import pathlib
from typing import Annotated

import tyro
from matplotlib.figure import Figure

from studies.quadratic.theory import QUADRATIC

_LOOKS = {
  'predicted': ('predicted', {'color': 'black'}),
  'luck': ('simulated, phase of the luck', {'fmt': 'o', 'markersize': 4}),
  'running-mean': ('simulated, running mean', {'fmt': 's', 'markersize': 4}),
}


def plot_modes(folder: pathlib.Path) -> None:
  """Draws a panel per rule, from the table of a folder, modes.csv."""
  with (folder / 'modes.csv').open() as file:
    rows = list(csv.DictReader(file))
  rules = list(dict.fromkeys(row['rule'] for row in rows))
  # As wide as this, letters are legible on a phone.
  figure = Figure(figsize=(5.5, 6.5), layout='constrained')
  panels = figure.subplots(len(rules), sharex=True, sharey=True)
  for panel, rule in zip(panels, rules, strict=True):
    panel.axhline(0, color='0.8', linewidth=1)
    panel.axvline(QUADRATIC.critical_stiffness, color='0.8', linewidth=1)
    for kind, (label, look) in _LOOKS.items():
      of_kind = [row for row in rows if (row['rule'], row['kind']) == (rule, kind)]
      columns = ('stiffness', 'contrast_percent', 'half_width')
      panel.errorbar(
        *([float(row[name]) for row in of_kind] for name in columns), label=label, **look
      )
    panel.set_xscale('log')
    panel.set_title(rule)
    panel.set_ylabel('effect on the loss (%)')
  panels[-1].set_xlabel('learning rate x stiffness')
  panels[0].legend(frameon=False)
  figure.savefig(folder / 'modes.png', dpi=160)


def main(
  folder: Annotated[pathlib.Path, tyro.conf.arg(help='the folder of the report')] = pathlib.Path(
    'results/quadratic'
  ),
) -> None:
  """Draws the plot of a report again."""
  plot_modes(folder)


if __name__ == '__main__':
  tyro.cli(main)
