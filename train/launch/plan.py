"""Plans which runs a comparison has in a working directory, each with its configuration."""

import dataclasses
import functools
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


@dataclasses.dataclass(frozen=True, eq=False)
class PlannedRun:
  """One arm with one seed, and for a yoked arm the partner: the run whose phases it replays."""

  arm: Arm
  seed: int
  directory: pathlib.Path
  partner_seed: int | None = None
  partner: pathlib.Path | None = None
  config: dict[str, Any] = dataclasses.field(default_factory=dict)

  @property
  def name(self) -> str:
    """Its name in the output."""
    return f'{self.arm.name} seed {self.seed}'

  @property
  def partner_name(self) -> str:
    """The partner's name in the output."""
    assert isinstance(self.arm, Yoked)
    return f'{self.arm.partner.name} seed {self.partner_seed}'


@dataclasses.dataclass
class Plan:
  """The runs of a comparison in a working directory, in the order in which they are trained.

  Attributes:
    partners_elsewhere: Whether a yoked run's partner may be one that another command has planned
      and not finished.
  """

  comparison: Comparison
  workdir: pathlib.Path
  data_dir: str | None
  partners_elsewhere: bool
  runs: list[PlannedRun] = dataclasses.field(default_factory=list)

  @functools.cached_property
  def dataset(self) -> Dataset:
    """The data, which are loaded when they are first needed."""
    return self.comparison.load(self.data_dir)

  @functools.cached_property
  def _data_sha256(self) -> str | None:
    is_named = isinstance(self.comparison.dataset, DataSource)
    return None if is_named else _digest(self.dataset)

  @property
  def data_name(self) -> str:
    """The name of the data set; a named one is not loaded for it."""
    source = self.comparison.dataset
    return source.name if isinstance(source, DataSource) else self.dataset.name

  def claim(self) -> None:
    """Writes the configuration of each run, so that other processes do not plan other ones.

    Call it after all other checks. It plans again under a lock, because another command may have
    started at the same time.

    Raises:
      UserError: If the working directory holds runs of another configuration.
    """

    def write() -> _Arrangement:
      with planning_in(self.workdir):
        arranged = self._arrange()
        self._configure(arranged)
        self._check()
        for run in self.runs:
          run.directory.mkdir(parents=True, exist_ok=True)
          # The checkpoint of a run that has begun knows its configuration.
          files = ('checkpoints', 'metrics.csv', 'config.json')
          if not any((run.directory / name).exists() for name in files):
            write_config(run.directory, run.config)
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
        directory = run_directory(workdir, arm.name, seed)
        if isinstance(arm, Yoked):
          partner_seed = read_config(directory).get('partner_seed')
          if partner_seed is None:
            partner_seed = _next_seed(comparison.seeds, seed, arm)
          waiting.append((index, seed, partner_seed))
        else:
          arranged.append((index, seed, None))
          planned.add(directory)
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
    """Returns a run, still without its configuration."""
    arm = self.comparison.arms[arm_index]
    directory = run_directory(self.workdir, arm.name, seed)
    if not isinstance(arm, Yoked):
      return PlannedRun(arm, seed, directory)
    assert partner_seed is not None
    partner = run_directory(self.workdir, arm.partner.name, partner_seed)
    return PlannedRun(arm, seed, directory, partner_seed, partner)

  def _configure(self, arranged: _Arrangement) -> None:
    self.runs = []
    for run in (self._run(*one) for one in arranged):
      config = run_config(
        self.comparison,
        run.arm,
        run.seed,
        dataset=self.data_name,
        partner_seed=run.partner_seed,
        data_sha256=self._data_sha256,
      )
      self.runs.append(dataclasses.replace(run, config=config))

  def _check(self) -> None:
    directories = run_directories(self.workdir)
    for directory in directories:
      check_unchanged(directory)
    check_shared_config(directories, self.runs[0].config)
    for run in self.runs:
      check_config(run.directory, run.config)


def plan_runs(
  comparison: Comparison,
  workdir: pathlib.Path,
  data_dir: str | None = None,
  *,
  partners_elsewhere: bool = False,
) -> Plan:
  """Plans the runs of a comparison, and writes nothing.

  Raises:
    UserError: If a yoked run has no partner, the working directory holds runs of another
      configuration, or the user's own data cannot be loaded.
  """
  plan = Plan(comparison, workdir, data_dir, partners_elsewhere)
  plan._configure(processes.from_first(plan._arrange))
  processes.check_same('configuration', [run.config for run in plan.runs])
  processes.from_first(plan._check)
  return plan


def _next_seed(seeds: tuple[int, ...], seed: int, arm: Arm) -> int:
  if len(seeds) == 1:
    raise UserError(
      f'{arm.name} replays the run of another seed: give two seeds or more, as --seeds {seed} '
      f'{seed + 1}, or name other arms with --arms.'
    )
  return seeds[(seeds.index(seed) + 1) % len(seeds)]


def _digest(dataset: Dataset) -> str:
  digest = hashlib.sha256(repr(dataset.class_names).encode())
  for split in (dataset.train, dataset.test):
    for array in (split.inputs, split.labels):
      digest.update(f'{array.dtype} {array.shape}'.encode())
      digest.update(np.ascontiguousarray(array).view(np.uint8).data)
  return digest.hexdigest()
