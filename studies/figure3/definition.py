"""What the study asks, runs and compares. Committed before its runs; not changed after them.

**The question.** Figure 3 of the paper trains WRN-28-10 on CIFAR-10 for 150 epochs. Before the third
drop of the learning rate, after epoch 91, error and training loss of fixed momentum 0.95, and of LCAM
with its high momentum in the low-loss phase, rise again; those of fixed momentum 0.9, and of LCAM in
the other direction, do not. The paper has one run of each, calls the rise abnormal, and explains it by
the direction of the momenta. Is it there in a smaller network, with several seeds, and is it the
direction?

**Runs.** Experiment ``figure3`` of the trainer, all 50,000 images, 150 epochs, in bfloat16, but WRN-16-4,
which one GPU trains in minutes; the paper's four arms and the yoked run of each LCAM; 4 seeds: 24 runs.
The trainer takes seed after seed, so that a study cut short has whole seeds; its report is interim
until all 24 runs have ended.

**Endpoint.** The rise: the mean test error of epochs 87 to 91, the last five before the third drop,
minus that of epochs 72 to 81, where the paper's curves are lowest. Both windows were chosen from the
paper's curves. Their rises are +0.07 (fixed 0.9), +0.55 (fixed 0.95), +0.50 (high momentum in the low-loss
phase) and +0.01 points (in the high-loss phase).

**Contrasts.** Those that every report of the trainer makes, of the rise: LCAM against its yoked run,
its other direction and fixed 0.9; the others against fixed 0.9. Eight contrasts, Holm over them, with
the scatter that the arms share. Not primary: the same of the last error, which the trainer's report
has; the factor of the training loss between the two windows.

**Predictions.** The paper: the rise of fixed 0.95, and of the high momentum in the low-loss phase, is
larger than that of fixed 0.9, and that of the other direction is not. The theory (docs/theory.md): at
batch 128 the loss has next to no say (``delta / sqrt(batch)`` is 0.0022), so that

1. LCAM minus yoked: 0 in both directions, not shown.
2. Between the directions: less than a third of the difference between fixed 0.95 and fixed 0.9, if that
   is shown, because their mean momenta are almost equal (about .922 and .928 where 44 % of the losses
   are high). In the paper's curves it is as large.
3. Fixed 0.95 minus fixed 0.9: above 0. It may not be shown, because WRN-16-4 has a higher training loss
   at that point than WRN-28-10, whose loss had fallen to 0.003. Then the study cannot tell the paper's
   explanation from the theory's, and its report has to say so.

With 4 seeds, and runs whose rises scatter by 0.1 points (a guess), a difference of about 0.15 points is
outside its interval, a third of the paper's.
"""

import dataclasses

import numpy as np
from jaxtyping import Float

from train.reports.curves import PAPER_EPOCHS

EXPERIMENT = 'figure3'
ARMS = ('fixed-0.9', 'fixed-0.95', 'low0.95-high0.9', 'low0.9-high0.95')
YOKED = ('yoked0.95-0.9', 'yoked0.9-0.95')
EARLY, LATE = (72, 81), (87, 91)  # the windows of the rise: first and last epoch of 150
STAGES = ((1, 31), (32, 61), (62, 91), (92, 150))  # of equal learning rate


@dataclasses.dataclass(frozen=True)
class Size:
  """How large the study is.

  Attributes:
    name: The name of the folder of its runs.
    output: The folder for its results.
    epochs: The epochs of each run.
    seeds: The seeds of each arm.
    settings: The options of the trainer that set network, data and precision.
    measured: The numbers of runs at a time whose speed is measured.
    seconds: How long each is measured, from when so many runs have trained an epoch.
  """

  name: str
  output: str
  epochs: int
  seeds: tuple[int, ...]
  settings: tuple[str, ...]
  measured: tuple[int, ...]
  seconds: float

  @property
  def runs(self) -> int:
    """The number of runs."""
    return len(self.seeds) * len(ARMS + YOKED)

  @property
  def arguments(self) -> list[str]:
    """The arguments of ``python -m train run``, without folders."""
    chosen = [EXPERIMENT, *self.settings, '--epochs', str(self.epochs)]
    chosen += ['--seeds', *map(str, self.seeds), '--arms', *ARMS, *YOKED]
    # Each run has a process, so that their number can be measured. An epoch takes a second or two on a
    # GPU, less than it takes to save.
    return [*chosen, '--together', 'off', '--checkpoint-epochs', '25']


FULL = Size(
  name='figure3-wrn-16-4',
  output='results/figure3-wrn-16-4',
  epochs=PAPER_EPOCHS,
  seeds=(0, 1, 2, 3),
  settings=('--depth', '16', '--width', '4', '--dtype', 'bfloat16'),
  measured=(1, 2, 4),
  seconds=8.0,
)
# All that the study does, in minutes on a CPU; its numbers mean nothing.
REHEARSAL = Size(
  name='figure3-rehearsal',
  output='runs/figure3-rehearsal-report',
  epochs=15,
  seeds=(0, 1),
  settings=('--depth', '10', '--width', '1', '--train-examples', '200'),
  measured=(1, 2),
  seconds=1.0,
)


def window(ends: tuple[int, int], epochs: int) -> slice:
  """Returns the rows of a window of the 150 epochs in a table of so many epochs, at least one row."""
  first, last = ((number * epochs) // PAPER_EPOCHS for number in (ends[0] - 1, ends[1]))
  return slice(first, max(last, first + 1))


def rise(errors: Float[np.ndarray, ' epochs']) -> float:
  """Returns the endpoint of a run, from the test error after each epoch."""
  early, late = (errors[window(ends, len(errors))].mean() for ends in (EARLY, LATE))
  return float(late - early)


def factor(losses: Float[np.ndarray, ' epochs']) -> float:
  """Returns the training loss in the late window divided by that in the early one."""
  early, late = (losses[window(ends, len(losses))].mean() for ends in (EARLY, LATE))
  return float(late / early)
