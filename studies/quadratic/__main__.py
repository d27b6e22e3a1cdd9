"""Compares the theory with a simulation, on a noisy quadratic; writes results/quadratic.

python -m studies.quadratic
"""

import csv
import dataclasses
import pathlib
from typing import Annotated

import tyro
from rich.console import Console

from studies.quadratic.contrasts import SIMULATED, contrasts, loss_of_all, losses_of_modes
from studies.quadratic.plot import plot_modes
from studies.quadratic.simulation import RUNS_OF_BLOCK
from studies.quadratic.theory import QUADRATIC
from train.system.environment import commit_words, environment
from train.system.statistics import Estimate, format_estimate

BLOCKS = 20
_PLOT = (
  'The effect on the loss of each mode, by its stiffness, with 95 % intervals. Right of the vertical line '
  'modes swing.'
)
DOSES = tuple((delta, batch) for delta in (0.25, 0.1, 0.025) for batch in (8, 32, 128))


def main(
  output: Annotated[pathlib.Path, tyro.conf.arg(help='the folder for the report')] = pathlib.Path(
    'results/quadratic'
  ),
  blocks: Annotated[int, tyro.conf.arg(help=f'simulated runs / {RUNS_OF_BLOCK}')] = BLOCKS,
) -> None:
  """Compares the theory of LCAM's effect with a simulation."""
  output.mkdir(parents=True, exist_ok=True)
  console = Console()
  modes, doses = {}, {}
  with console.status('simulating modes'):
    for rule in ('algorithm1', 'equation9'):
      problem = dataclasses.replace(QUADRATIC, rule=rule)
      modes[rule] = contrasts(problem, losses_of_modes, blocks)
  for delta, batch_size in DOSES:
    with console.status(f'simulating delta {delta}, batch {batch_size}'):
      problem = dataclasses.replace(QUADRATIC, delta=delta, batch_size=batch_size)
      doses[delta, batch_size] = contrasts(problem, loss_of_all, blocks)
  _write_modes(output / 'modes.csv', modes)
  plot_modes(output)
  report = _report(modes, doses, blocks)
  (output / 'report.md').write_text(report)
  console.print(report, markup=False, highlight=False)


def _write_modes(path, modes):
  with path.open('w', newline='') as file:
    writer = csv.writer(file, lineterminator='\n')
    writer.writerow(('rule', 'stiffness', 'kind', 'contrast_percent', 'half_width'))
    for rule, found in modes.items():
      for kind, estimates in found.items():
        for stiffness, value in zip(QUADRATIC.stiffness, estimates, strict=True):
          percent = _percent(value)
          row = (rule, f'{stiffness:.4g}', kind, f'{percent.mean:.4f}', f'{percent.half_width:.4f}')
          writer.writerow(row)


def _percent(value: Estimate) -> Estimate:
  return Estimate(100 * value.mean, 100 * value.half_width)


def _report(modes, doses, blocks: int) -> str:
  made = environment()
  lines = [
    '# The theory on a noisy quadratic',
    '',
    f'`python -m studies.quadratic`, commit {commit_words(made)}, {made["machine"]} '
    f'CPU. Momenta {QUADRATIC.mean_momentum} ± delta, {QUADRATIC.steps} steps, '
    f'{blocks * RUNS_OF_BLOCK:,} simulated runs of each kind and direction; what is predicted and '
    'why stands in docs/theory.md. Numbers are half the difference between the directions (high '
    'momentum in the high phase minus high momentum in the low phase) of (LCAM - yoked) / yoked, in '
    'percent, of the loss summed over the path, with 95 % intervals. *Luck*: the phase is the sign '
    'of the loss minus what is expected with these parameters, as the theory assumes. *Running '
    'mean*: it is above the running mean of such deviations (`mean_decay=0.99`), as LCAM decides.',
  ]
  inside = [
    abs(luck.mean - predicted.mean) <= luck.half_width
    for found in (*modes.values(), *doses.values())
    for predicted, luck in zip(found['predicted'], found['luck'], strict=True)
  ]
  lines += [
    '',
    f'**{sum(inside)} of {len(inside)} predictions lie in the interval of *luck*** (95 % would). The '
    'sign turns near the stiffness above which modes swing. What *running mean* adds is the memory '
    'of that mean, which the prediction leaves out.',
    '',
    '![modes](modes.png)',
    f'*{_PLOT}*',
  ]
  for rule, found in modes.items():
    lines += [
      '',
      f'## {rule}, delta {QUADRATIC.delta}, batch {QUADRATIC.batch_size}, mode by mode',
      '',
      '| learning rate x stiffness | | predicted | luck | running mean |',
      '|---|---|---|---|---|',
    ]
    for i, stiffness in enumerate(QUADRATIC.stiffness):
      kind = 'swings' if stiffness > QUADRATIC.critical_stiffness else ''
      lines.append(f'| {stiffness:.4f} | {kind} | {_row(found, i)} |')
  lines += [
    '',
    '## algorithm1, all modes together, by dose',
    '',
    '| delta | batch | delta / sqrt(batch) | predicted | luck | running mean |',
    '|---|---|---|---|---|---|',
  ]
  for (delta, batch_size), found in doses.items():
    dose = delta / batch_size**0.5
    lines.append(f'| {delta} | {batch_size} | {dose:.4f} | {_row(found, 0, 3)} |')
  return '\n'.join(lines) + '\n'


def _row(found, i: int, decimals: int = 2) -> str:
  cells = [f'{_percent(found["predicted"][i]).mean:+.{decimals}f}']
  cells += [format_estimate(_percent(found[kind][i]), '+', f'.{decimals}f') for kind in SIMULATED]
  return ' | '.join(cells)


if __name__ == '__main__':
  tyro.cli(main)
