"""Which runs a comparison has in a working directory, and the configuration of each."""

import dataclasses
import hashlib
import pathlib
from typing import Any

import numpy as np

from train.data import Dataset, DataSource
from train.problem.arms import Arm, Yoked
from train.problem.comparison import Comparison
from train.storage.configuration import (
  check_config,
  check_shared_config,
  read_config,
  run_config,
  write_config,
)
from train.storage.locks import planning_in
from train.storage.tables import check_unchanged, read_phases, run_directories, run_directory
from train.system import processes
from train.system.errors import UserError

_Arrangement = list[tuple[int, int, int | None]]  # index of the arm, seed, seed of the partner


@dataclasses.dataclass(frozen=True)
class PlannedRun:
  """One arm with one seed.

  Attributes:
    arm: The arm.
    seed: The seed.
    directory: Where the run is recorded.
    partner_seed: For a yoked run, the seed of the run whose phases it replays.
    partner: For a yoked run, the directory of that run.
  """

  arm: Arm
  seed: int
  directory: pathlib.Path
  partner_seed: int | None = None
  partner: pathlib.Path | None = None

  @property
  def name(self) -> str:
    """What progress calls it."""
    return f'{self.arm.name} seed {self.seed}'

  @property
  def partner_name(self) -> str:
    """What progress calls the run whose phases it replays."""
    assert isinstance(self.arm, Yoked)
    return f'{self.arm.partner.name} seed {self.partner_seed}'


@dataclasses.dataclass
class Plan:
  """The runs of a comparison in a working directory, in the order in which they are trained.

  Attributes:
    comparison: The comparison.
    workdir: Where its runs are recorded.
    data_dir: Where TFDS keeps its data sets; None is TFDS's own default.
    partners_elsewhere: Whether the partner of a yoked run may be one that another command has
      planned and not finished.
    dataset: The data; None for a named data set that is not loaded yet.
    data_sha256: The digest of the user's own data; None for a named data set.
    runs: The configuration of each run.
  """

  comparison: Comparison
  workdir: pathlib.Path
  data_dir: str | None
  partners_elsewhere: bool
  dataset: Dataset | None = None
  data_sha256: str | None = None
  runs: dict[PlannedRun, dict[str, Any]] = dataclasses.field(default_factory=dict)

  @property
  def data_name(self) -> str:
    """The name of the data set."""
    source = self.comparison.dataset
    if isinstance(source, DataSource):
      return source.name
    assert self.dataset is not None
    return self.dataset.name

  def load(self) -> Dataset:
    """Returns the data.

    Raises:
      UserError: If they cannot be loaded.
    """
    if self.dataset is None:
      self.dataset = self.comparison.load(self.data_dir)
    return self.dataset

  def claim(self) -> None:
    """Writes the configuration of each run, so that other processes do not plan other ones.

    Call it when all else is known to be right. It plans again under a lock, because another command
    may have begun at the same time.

    Raises:
      UserError: If the working directory holds runs of another configuration.
    """

    def write() -> _Arrangement:
      with planning_in(self.workdir):
        arranged = self._arrange()
        self._configure(arranged)
        self._check()
        for run, config in self.runs.items():
          run.directory.mkdir(parents=True, exist_ok=True)
          # The checkpoint of a run that has begun knows its configuration.
          if not _has_begun(run.directory) and not (run.directory / 'config.json').exists():
            write_config(run.directory, config)
      return arranged

    self._configure(processes.from_first(write))

  def _arrange(self) -> _Arrangement:
    """Returns the runs in the order in which they are trained.

    The arms of a seed come one after the other, so that a command cut short leaves whole
    comparisons; a yoked run comes as soon as its partner is planned. A run that was planned before
    keeps its partner, also when seeds are added.
    """
    comparison, workdir = self.comparison, self.workdir
    arranged: _Arrangement = []
    waiting: _Arrangement = []
    planned = set()
    for seed in comparison.seeds:
      for index, arm in enumerate(comparison.arms):
        if isinstance(arm, Yoked):
          partner_seed = read_config(run_directory(workdir, arm.name, seed)).get('partner_seed')
          if partner_seed is None:
            partner_seed = _next_seed(comparison.seeds, seed, arm)
          waiting.append((index, seed, partner_seed))
        else:
          arranged.append((index, seed, None))
          planned.add(run_directory(workdir, arm.name, seed))
      ready = [one for one in waiting if self._run(*one).partner in planned]
      arranged += ready
      waiting = [one for one in waiting if one not in ready]
    for run in (self._run(*one) for one in waiting):
      known = self.partners_elsewhere and bool(read_config(run.partner))
      if not known and read_phases(run.partner, comparison.epochs) is None:
        raise UserError(
          f'{run.name} replays the phases of {run.partner_name}, which {workdir} does not hold: run '
          f'{run.arm.partner.name} with that seed first, or add it to --arms.'
        )
    return arranged + waiting

  def _run(self, arm_index: int, seed: int, partner_seed: int | None) -> PlannedRun:
    arm = self.comparison.arms[arm_index]
    directory = run_directory(self.workdir, arm.name, seed)
    if not isinstance(arm, Yoked):
      return PlannedRun(arm, seed, directory)
    assert partner_seed is not None
    partner = run_directory(self.workdir, arm.partner.name, partner_seed)
    return PlannedRun(arm, seed, directory, partner_seed, partner)

  def _configure(self, arranged: _Arrangement) -> None:
    self.runs = {
      run: run_config(
        self.comparison,
        run.arm,
        run.seed,
        dataset=self.data_name,
        partner_seed=run.partner_seed,
        data_sha256=self.data_sha256,
      )
      for run in (self._run(*one) for one in arranged)
    }

  def _check(self) -> None:
    directories = run_directories(self.workdir)
    for directory in directories:
      check_unchanged(directory)
    check_shared_config(directories, next(iter(self.runs.values())))
    for run, config in self.runs.items():
      check_config(run.directory, config)


def plan_runs(
  comparison: Comparison,
  workdir: pathlib.Path,
  data_dir: str | None = None,
  *,
  partners_elsewhere: bool = False,
) -> Plan:
  """Plans the runs of a comparison, and writes nothing. For the arguments, see :class:`Plan`.

  Raises:
    UserError: If a yoked run has no partner, the working directory holds runs of another
      configuration, or the user's own data cannot be loaded.
  """
  plan = Plan(comparison, workdir, data_dir, partners_elsewhere)
  arranged = processes.from_first(plan._arrange)  # before data are loaded
  # A named data set is loaded when all else is known to be right.
  if not isinstance(comparison.dataset, DataSource):
    plan.data_sha256 = _digest(plan.load())
  plan._configure(arranged)
  processes.check_same('configuration', list(plan.runs.values()))
  processes.from_first(plan._check)
  return plan


def _next_seed(seeds: tuple[int, ...], seed: int, arm: Arm) -> int:
  if len(seeds) == 1:
    raise UserError(
      f'{arm.name} replays the run of another seed: give two seeds or more, as --seeds {seed} '
      f'{seed + 1}, or name other arms with --arms.'
    )
  return seeds[(seeds.index(seed) + 1) % len(seeds)]


def _has_begun(directory: pathlib.Path) -> bool:
  return any((directory / name).exists() for name in ('checkpoints', 'metrics.csv'))


def _digest(dataset: Dataset) -> str:
  """Returns a digest of the user's own data."""
  digest = hashlib.sha256(repr(dataset.class_names).encode())
  for split in (dataset.train, dataset.test):
    for array in (split.inputs, split.labels):
      digest.update(f'{array.dtype} {array.shape}'.encode())
      digest.update(np.ascontiguousarray(array).view(np.uint8).data)
  return digest.hexdigest()
