"""The options of ``run``: what is trained, how runs are saved, and where they are trained."""

import dataclasses
import pathlib
import re
import typing
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import tyro

from train.problem.changes import (
  Changes,
  Number,
  NumberOrNone,
  check_at_least,
  flag_of,
  is_own_problem,
  option,
)
from train.problem.comparison import Comparison
from train.problem.experiments import EXPERIMENTS
from train.problem.tuning import Search, Searched
from train.system.errors import UserError

_Switch = Annotated[bool, option()]
_JOBS = (
  'Train N runs at a time, in N processes that share the CPU cores (default: 1, which trains one '
  'after the other in this process).'
)
_TOGETHER = (
  'Train N runs at once, as one program on one device (default: auto, which trains 16 at once where '
  'that is faster: small networks without convolutions).'
)
_CLUSTER = (
  'Train runs at the same time on a Ray cluster: a new one on this machine (local), one that is '
  'running (auto, which looks at RAY_ADDRESS too), or one elsewhere.'
)


@dataclasses.dataclass(frozen=True)
class Saving:
  """Where runs and data are kept, and how often runs are saved."""

  workdir: Annotated[pathlib.Path | None, option('DIR')] = None
  """Where the runs are recorded (default: runs/NAME, of `tune` runs/NAME-tuned)."""
  data_dir: Annotated[str | None, option('DIR')] = None
  """Where TFDS keeps its data sets (default: TFDS_DATA_DIR, or TFDS's own)."""
  checkpoint_epochs: Number = 1
  """Save a run every N epochs (default: 1)."""
  checkpoint_minutes: Annotated[float, option('N')] = 10.0
  """Also save a run within an epoch, every N minutes (default: 10)."""
  compilation_cache: _Switch = True
  """Keep compiled programs in the user's cache folder, for the next start."""
  tensorboard: _Switch = False
  """Write events for TensorBoard of runs that are trained together, too."""

  def check(self) -> None:
    """Raises a ``UserError`` if a number is not possible."""
    check_at_least(1, self, 'checkpoint_epochs')
    if not self.checkpoint_minutes > 0:
      raise UserError(f'--checkpoint-minutes must be above 0, not {self.checkpoint_minutes}.')


@dataclasses.dataclass(frozen=True)
class Place:
  """Where runs are trained: devices, processes that train together, jobs, or a cluster."""

  stream: _Switch = False
  """Stream the data to the device even if they would fit there."""
  together: Annotated[str, option('auto|off|N', _TOGETHER)] = 'auto'
  devices: NumberOrNone = None
  """Divide batches among N devices of each process (default: all)."""
  coordinator: Annotated[str | None, option('HOST:PORT')] = None
  """Train together with other processes, which meet at this address of the first."""
  num_processes: NumberOrNone = None
  """With --coordinator: the number of processes."""
  process_id: Annotated[int | None, option('I')] = None
  """With --coordinator: the number of this process; 0 is the first."""
  distributed: _Switch = False
  """Train together with the processes that JAX finds: of Slurm, a TPU slice, Kubernetes."""
  jobs: Annotated[int, option('N', _JOBS)] = 1
  cluster: Annotated[str | None, option('local|auto|ray://HOST:PORT', _CLUSTER)] = None
  cpus_per_run: NumberOrNone = None
  """CPU cores and threads of each run, with --cluster (default: 1) or --jobs (default: its share)."""
  gpus_per_run: Number = 0
  """GPUs of each run, with --cluster (default: 0)."""
  tpus_per_run: Number = 0
  """TPU chips of each run, with --cluster (default: 0)."""

  def check(self) -> None:
    """Raises a ``UserError`` if a number is not possible, or options do not go together."""
    check_at_least(1, self, 'devices', 'jobs', 'cpus_per_run')
    if not re.fullmatch(r'auto|off|0*[1-9]\d{0,3}', self.together, re.ASCII):
      raise UserError(f'--together must be auto, off or 1 to 9999, not {self.together}.')
    check_at_least(0, self, 'gpus_per_run', 'tpus_per_run')
    for name in ('gpus_per_run', 'tpus_per_run'):
      if getattr(self, name) and self.cluster is None:
        raise UserError(
          f'{flag_of(name)} is for --cluster: add `--cluster local` for this machine, without --jobs.'
        )
    if self.jobs > 1 and self.devices is not None:
      raise UserError(
        '--jobs gives each run a process and a share of the CPU, and --devices divides one run '
        'among devices: leave one of them out.'
      )
    if self.cluster is None:
      if self.cpus_per_run is not None and self.jobs == 1:
        raise UserError('--cpus-per-run is for --jobs and --cluster: add one of them.')
    elif self.jobs > 1:
      raise UserError(
        '--jobs is for this machine alone, and --cluster trains as many runs at a time as there is '
        'room for: leave one of them out.'
      )
    elif not re.fullmatch(r'local|auto|ray://.+:\d{1,5}', self.cluster):
      raise UserError(f'--cluster must be local, auto or ray://HOST:PORT, not {self.cluster}.')
    self._check_coordinator()
    together = self.distributed or self.coordinator is not None
    if together and (self.jobs > 1 or self.cluster is not None):
      raise UserError(
        'Processes that train together take one run after the other: leave --jobs and --cluster '
        'out.'
      )

  @property
  def runs_at_once(self) -> int | Literal['auto', 'off']:
    """The value of ``--together``."""
    return int(self.together) if self.together.isdecimal() else self.together

  def _check_coordinator(self) -> None:
    if self.coordinator is not None and self.distributed:
      raise UserError('--distributed finds the processes by itself: leave --coordinator out.')
    for name in ('num_processes', 'process_id'):
      given = getattr(self, name) is not None
      if given and self.coordinator is None:
        raise UserError(f'{flag_of(name)} is for --coordinator: add it, the address of process 0.')
      if not given and self.coordinator is not None:
        raise UserError(f'--coordinator also needs {flag_of(name)}: add it.')
    if self.coordinator is None:
      return
    port = re.fullmatch(r'.+:(\d{1,5})', self.coordinator)
    if port is None or not 1 <= int(port[1]) <= 65535:
      raise UserError(f'--coordinator must be HOST:PORT, not {self.coordinator}.')
    check_at_least(1, self, 'num_processes')
    if not 0 <= self.process_id < self.num_processes:
      last = self.num_processes - 1
      raise UserError(f'--process-id must be 0 to {last}, not {self.process_id}.')


@dataclasses.dataclass(frozen=True)
class RunOptions:
  """Run an experiment or your own problem, or go on with it."""

  name: Annotated[
    tyro.conf.Positional[str],
    option(
      'NAME_OR_FILE',
      f'The experiment: {", ".join(EXPERIMENTS)}; or a Python file that defines `comparison`.',
    ),
  ]
  changes: Changes = dataclasses.field(default_factory=Changes)
  saving: Saving = dataclasses.field(default_factory=Saving)
  place: Place = dataclasses.field(default_factory=Place)

  def check(self) -> None:
    """Raises a ``UserError`` if an option is not possible, or options do not go together."""
    self.saving.check()
    self.place.check()

  def folder_name(self, name: str) -> str:
    """Returns the name of the default working directory."""
    return name

  def folders(
    self, comparisons: Sequence[Comparison]
  ) -> tuple[pathlib.Path, dict[pathlib.Path, Comparison]]:
    """Returns the working directory, and the comparisons by the folders of their runs in it."""
    name = comparisons[0].name if is_own_problem(self.name) else self.name
    workdir = self.saving.workdir or pathlib.Path('runs') / self.folder_name(name)
    if len(EXPERIMENTS.get(self.name, ())) > 1:
      return workdir, {workdir / one.name: one for one in comparisons}
    return workdir, {workdir: comparisons[0]}


@dataclasses.dataclass(frozen=True)
class TuneOptions(RunOptions):
  """Tune each arm alike on validation data, then compare the tuned arms on fresh seeds.

  The learning rate of every arm is looked for at the same number of points.
  """

  points: Number = 32
  """Points of each arm (default: 32)."""
  tuning_seeds: Number = 4
  """Seeds of each point (default: 4)."""
  tune: Annotated[tuple[Searched, ...], option('momentum|weight_decay')] = ()
  """What to tune besides the learning rate."""
  epoch: Annotated[Literal['last', 'best'], option('last|best')] = 'last'
  """The epoch by which arms are judged: the last one, or the best one on validation data."""

  def folder_name(self, name: str) -> str:
    return f'{name}-tuned'

  def search(self, comparison: Comparison) -> Search:
    """Returns where the numbers of a comparison's arms are looked for."""
    return Search(comparison, self.points, self.tuning_seeds, tuple(dict.fromkeys(self.tune)))


def option_types(command: type) -> dict[str, Any]:
  """Returns the types of the options of a command by field, those of its groups among them."""
  found: dict[str, Any] = {}
  for name, kind in typing.get_type_hints(command).items():
    found |= option_types(kind) if dataclasses.is_dataclass(kind) else {name: kind}
  return found
