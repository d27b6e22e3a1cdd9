"""Which runs a comparison has in a working directory, and what each of them is."""

import dataclasses
import hashlib
import pathlib
from collections.abc import Callable
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
from train.storage.tables import (
  check_unchanged,
  read_phases,
  run_directories,
  run_directory,
)
from train.system import processes as hosts
from train.system.errors import UserError


@dataclasses.dataclass(frozen=True)
class PlannedRun:
  """One arm with one seed.

  Attributes:
    arm: The arm.
    seed: The seed.
    directory: Where the run is recorded.
    partner_seed: The seed whose phases it replays, if it does.
    partner: The directory of that run.
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


class Plan:
  """The runs of a comparison in a working directory, in the order in which they are trained.

  Attributes:
    comparison: The comparison.
    workdir: Where its runs are recorded.
    data_name: The name of its data set.
    runs: From each run to its configuration, see :func:`train.storage.configuration.run_config`.
  """

  def __init__(
    self,
    comparison: Comparison,
    workdir: pathlib.Path,
    data_dir: str | None = None,
    *,
    partners_elsewhere: bool = False,
  ):
    """Plans, and writes nothing.

    Args:
      comparison: The comparison.
      workdir: Where its runs are recorded.
      data_dir: Where TFDS keeps its data sets; None is TFDS's own default.
      partners_elsewhere: Whether the partner of a yoked run may be one that another command has
        planned and not finished.

    Raises:
      UserError: If a yoked run has no partner, the working directory holds runs of another
        configuration, or data of the user's own cannot be had.
    """
    self.comparison = comparison
    self.workdir = workdir
    self._data_dir = data_dir
    self._partners_elsewhere = partners_elsewhere
    self._told_by_first(self._plan_runs)  # before data are loaded
    # A data set that has a name is loaded when all else is known to be right.
    source = comparison.dataset if isinstance(comparison.dataset, DataSource) else None
    self._dataset = None if source else comparison.load(data_dir)
    self.data_name = (source or self._dataset).name
    self._data_sha256 = None if source else _digest(self._dataset)
    self.runs = self._configure(self._told_by_first(self._plan_runs))
    hosts.check_same('configuration', list(self.runs.values()))
    hosts.from_first(self._check)

  def load(self) -> Dataset:
    """Returns the data.

    Raises:
      UserError: If they cannot be had.
    """
    if self._dataset is None:
      self._dataset = self.comparison.load(self._data_dir)
    return self._dataset

  def claim(self) -> None:
    """Writes the configuration of each run, so that other processes do not plan other ones.

    It is done when all else is known to be right, and checks the working directory again: a process
    that began at the same time may have been faster.

    Raises:
      UserError: If the working directory holds runs of another configuration.
    """
    self.runs = self._configure(self._told_by_first(self._claim))

  def _claim(self) -> list[PlannedRun]:
    with planning_in(self.workdir):
      runs = self._plan_runs()
      self.runs = self._configure(runs)
      self._check()
      for run, config in self.runs.items():
        run.directory.mkdir(parents=True, exist_ok=True)
        # What was trained already was perhaps of another configuration, which its checkpoint knows.
        if not _has_begun(run.directory) and not (run.directory / 'config.json').exists():
          write_config(run.directory, config)
    return runs

  def _plan_runs(self) -> list[PlannedRun]:
    return plan_runs(self.comparison, self.workdir, partners_elsewhere=self._partners_elsewhere)

  def _told_by_first(self, plan: Callable[[], list[PlannedRun]]) -> list[PlannedRun]:
    """Returns the runs that process 0 plans, on all processes."""
    told = hosts.from_first(lambda: [(run.arm.name, run.seed, run.partner_seed) for run in plan()])
    arms = {arm.name: arm for arm in self.comparison.arms}
    return [_planned_run(self.workdir, arms[name], *seeds) for name, *seeds in told]

  def _configure(self, runs: list[PlannedRun]) -> dict[PlannedRun, dict[str, Any]]:
    comparison = self.comparison
    return {
      run: run_config(
        comparison,
        run.arm,
        run.seed,
        dataset=self.data_name,
        partner_seed=run.partner_seed,
        data_sha256=self._data_sha256,
      )
      for run in runs
    }

  def _check(self) -> None:
    directories = run_directories(self.workdir)
    for directory in directories:
      check_unchanged(directory)
    check_shared_config(directories, next(iter(self.runs.values())))
    for run, config in self.runs.items():
      check_config(run.directory, config)


def plan_runs(
  comparison: Comparison, workdir: pathlib.Path, *, partners_elsewhere: bool = False
) -> list[PlannedRun]:
  """Returns the runs of a comparison in the order in which they are trained.

  The arms of a seed come one after the other, so that a run cut short leaves whole comparisons; a
  yoked run comes as soon as its partner's, the LCAM run of the next seed, is before it. A run that
  was planned before keeps its partner, also when seeds are added.

  Args:
    comparison: The comparison.
    workdir: Where its runs are recorded.
    partners_elsewhere: See :class:`Plan`.

  Raises:
    UserError: If a yoked run has no partner.
  """
  plan: list[PlannedRun] = []
  waiting: list[PlannedRun] = []
  for seed in comparison.seeds:
    for arm in comparison.arms:
      if isinstance(arm, Yoked):
        partner_seed = read_config(run_directory(workdir, arm.name, seed)).get('partner_seed')
        if partner_seed is None:
          partner_seed = _next_seed(comparison.seeds, seed, arm)
        waiting.append(_planned_run(workdir, arm, seed, partner_seed))
      else:
        plan.append(_planned_run(workdir, arm, seed))
    planned = {run.directory for run in plan}
    plan += [run for run in waiting if run.partner in planned]
    waiting = [run for run in waiting if run.partner not in planned]
  for run in waiting:
    known = partners_elsewhere and bool(read_config(run.partner))
    if not known and read_phases(run.partner, comparison.epochs) is None:
      raise UserError(
        f'{run.name} replays the phases of {run.partner_name}, which {workdir} does not hold: run '
        f'{run.arm.partner.name} with that seed first, or add it to --arms.'
      )
  return plan + waiting


def _planned_run(
  workdir: pathlib.Path, arm: Arm, seed: int, partner_seed: int | None = None
) -> PlannedRun:
  directory = run_directory(workdir, arm.name, seed)
  if not isinstance(arm, Yoked):
    return PlannedRun(arm, seed, directory)
  assert partner_seed is not None
  partner = run_directory(workdir, arm.partner.name, partner_seed)
  return PlannedRun(arm, seed, directory, partner_seed, partner)


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
  """Returns a digest of the data, which no name stands for."""
  digest = hashlib.sha256(repr(dataset.class_names).encode())
  for split in (dataset.train, dataset.test):
    for array in (split.inputs, split.labels):
      digest.update(f'{array.dtype} {array.shape}'.encode())
      digest.update(np.ascontiguousarray(array).view(np.uint8).data)
  return digest.hexdigest()
