"""Plans which runs a comparison has in a working directory, each with its configuration."""

import dataclasses
import functools
import hashlib
import itertools
import pathlib
from typing import Any

import jax
import numpy as np

from train.data import Dataset, DataSource
from train.problem.arms import Arm
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
from train.training.checks import check_fit, check_steps
from train.training.fingerprint import arm_digest, needs_digest, program_digest
from train.training.memory import KeptBuffers, batch_elements


@dataclasses.dataclass(frozen=True, eq=False)
class PlannedRun:
  """One arm with one seed, and for a yoked arm the partner: the run whose phases it replays."""

  arm: Arm
  seed: int
  directory: pathlib.Path
  config: dict[str, Any]
  partner_seed: int | None
  partner: pathlib.Path | None  # its directory

  @property
  def name(self) -> str:
    """Its name in the output."""
    return f'{self.arm.name} seed {self.seed}'

  @property
  def partner_name(self) -> str:
    """The partner's name in the output."""
    return f'{self.arm.partner.name} seed {self.partner_seed}'


@dataclasses.dataclass
class Plan:
  """The runs of a comparison in a working directory, in the order in which they are trained."""

  comparison: Comparison
  workdir: pathlib.Path
  data_dir: str | None
  partners_elsewhere: bool  # whether partners may be planned by another command, and not finished
  runs: list[PlannedRun] = dataclasses.field(default_factory=list)

  @functools.cached_property
  def dataset(self) -> Dataset:
    """The data, which are loaded when they are first needed."""
    return self.comparison.load(self.data_dir)

  @functools.cached_property
  def _data_sha256(self) -> str | None:
    """The digest of the user's own data; None for a named data set."""
    if isinstance(self.comparison.dataset, DataSource):
      return None
    digest = hashlib.sha256(repr(self.dataset.class_names).encode())
    for split in (self.dataset.train, self.dataset.test):
      leaves = jax.tree_util.tree_leaves_with_path(split.inputs)
      for path, array in (*leaves, ((), split.labels)):
        digest.update(f'{jax.tree_util.keystr(path)}{array.dtype} {array.shape}'.encode())
        digest.update(np.ascontiguousarray(array).view(np.uint8).data)
    return digest.hexdigest()

  @functools.cached_property
  def program_sha256(self) -> str | None:
    """The digest of what the user's own code computes; None if all code is the trainer's."""
    comparison, dataset = self.comparison, self.dataset
    if not (comparison.own_parts or comparison.own_arms):
      return None
    KeptBuffers(batch_elements(comparison, dataset))  # before JAX is used
    check_fit(comparison, dataset)
    check_steps(comparison, dataset)
    return program_digest(comparison, dataset) if comparison.own_parts else None

  @property
  def data_name(self) -> str:
    """The name of the data set; a named one is not loaded for it."""
    source = self.comparison.dataset
    return source.name if isinstance(source, DataSource) else self.dataset.name

  def claim(self) -> None:
    """Writes the configuration of each run, so that other processes do not plan other ones.

    Call it after all other checks. It plans and checks again under a lock, because another command
    may have started at the same time.
    """

    def write() -> list[int | None]:
      with planning_in(self.workdir):
        partner_seeds = self._partner_seeds()
        self._configure(partner_seeds)
        self._check()
        for run in self.runs:
          run.directory.mkdir(parents=True, exist_ok=True)
          # The checkpoint of a run that has begun knows its configuration.
          files = ('checkpoints', 'metrics.csv', 'config.json')
          if not any((run.directory / name).exists() for name in files):
            write_config(run.directory, run.config)
      return partner_seeds

    self._configure(processes.from_first(write))

  def _pairs(self) -> list[tuple[int, Arm]]:
    return list(itertools.product(self.comparison.seeds, self.comparison.arms))

  def _partner_seeds(self) -> list[int | None]:
    """Returns the partner's seed of each pair; None for an arm that replays nothing.

    A run that was planned before keeps its partner, also when seeds are added.
    """
    comparison, workdir = self.comparison, self.workdir
    planned = {(seed, arm.name) for seed, arm in self._pairs()}
    found: list[int | None] = []
    for seed, arm in self._pairs():
      partner_seed = None
      if arm.partner is not None:
        partner_seed = read_config(run_directory(workdir, arm.name, seed)).get('partner_seed')
        if partner_seed is None:
          partner_seed = _next_seed(comparison.seeds, seed, arm)
        if (partner_seed, arm.partner.name) not in planned:
          directory = run_directory(workdir, arm.partner.name, partner_seed)
          known = self.partners_elsewhere and bool(read_config(directory))
          if not known and read_phases(directory, comparison.epochs) is None:
            raise UserError(
              f'{arm.name} seed {seed} replays the phases of {arm.partner.name} seed {partner_seed}, '
              f'which {workdir} does not hold: run {arm.partner.name} with that seed first, or add it '
              'to --arms.'
            )
      found.append(partner_seed)
    return found

  def _configure(self, partner_seeds: list[int | None]) -> None:
    """Makes the runs, in the order in which they are trained.

    The arms of a seed come one after the other, so that a command cut short leaves whole
    comparisons; a yoked run comes as soon as its partner is planned.
    """
    comparison, workdir = self.comparison, self.workdir
    digests = {'data_sha256': self._data_sha256, 'program_sha256': self.program_sha256}
    digest_of = functools.cache(lambda arm: arm_digest(comparison, arm, self.dataset))
    runs = []
    for (seed, arm), partner_seed in zip(self._pairs(), partner_seeds, strict=True):
      config = run_config(
        comparison, arm, seed, dataset=self.data_name, partner_seed=partner_seed, **digests
      )
      if needs_digest(arm.plain):
        config['arm']['program'] = {'sha256': digest_of(arm.plain), 'jax': jax.__version__}
      directory, partner = run_directory(workdir, arm.name, seed), None
      if arm.partner is not None:
        partner = run_directory(workdir, arm.partner.name, partner_seed)
      runs.append(PlannedRun(arm, seed, directory, config, partner_seed, partner))
    turns = {run.directory: index // len(comparison.arms) for index, run in enumerate(runs)}

    def turn(run: PlannedRun) -> tuple[int, bool]:
      own, is_yoked = turns[run.directory], run.partner is not None
      return max(own, turns.get(run.partner, len(runs))) if is_yoked else own, is_yoked

    self.runs = sorted(runs, key=turn)

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
  """Plans the runs of a comparison, and writes nothing; checks them against those in the folder."""
  plan = Plan(comparison, workdir, data_dir, partners_elsewhere)
  plan._configure(processes.from_first(plan._partner_seeds))
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
