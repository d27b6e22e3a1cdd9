"""Trains a group of runs in a process that was started for it, on this machine or another one."""

import os
import pathlib
import platform
import sys
import traceback
from typing import NamedTuple

from train.launch.groups import Group
from train.launch.plan import Plan, plan_runs
from train.launch.rows import Row
from train.launch.run import Outcome, train_group, working_in
from train.problem.changes import Changes, changed_comparisons
from train.problem.own_code import own_errors_explained
from train.problem.tuning import Stage
from train.storage.tables import run_directory
from train.system.caches import keep_compiled_programs
from train.system.environment import settle_jax
from train.system.errors import UserError
from train.system.signals import InterruptedRunError, Interrupts
from train.training.memory import out_of_memory_explained
from train.training.trainer import Settings, Trainer


class Shared(NamedTuple):
  """What the tasks of a command share. Code of the user's is not sent, but read from its file."""

  problem: str  # the name of the experiment, or the absolute path of a file
  changes: Changes
  settings: Settings
  compilation_cache: bool
  threads: int  # that XLA computes with on a CPU
  hide_gpus: bool  # from a process that must leave them alone
  command: tuple[str, ...]  # its arguments, for the sentence that says how to go on
  stage: Stage | None = None  # of tuning


class Task(NamedTuple):
  """A group of runs, described so that another process can train it."""

  shared: Shared
  part: str  # the name of its comparison
  workdir: pathlib.Path  # of its comparison; absolute
  runs: tuple[tuple[str, int], ...]  # arms and seeds
  lanes: int | None  # see `Group`
  folder: pathlib.Path


class Result(NamedTuple):
  """What became of a task."""

  outcome: Outcome
  said: str = ''  # lines for the user
  reason: str = ''  # why it did not end well: a sentence, or the traceback of an unexpected error


# Plan, data and programs of the newest comparison, which the next task may share.
_newest: dict[tuple[Shared, str], tuple[Plan, Trainer]] = {}


def train_task(task: Task) -> Result:
  """Trains runs from their newest checkpoint; raises nothing.

  The first call in a process must come before JAX is used. A signal, or the interrupt of Ray, saves
  and stops the runs.
  """
  sys.argv = [sys.argv[0], *task.shared.command]
  os.environ['PJRT_NPROC'] = str(task.shared.threads)
  if task.shared.hide_gpus:
    os.environ['CUDA_VISIBLE_DEVICES'] = ''
  said: list[str] = []
  try:
    outcome, reason = _train(task, said), ''
  except (InterruptedRunError, KeyboardInterrupt):
    outcome, reason = Outcome.STOPPED, Outcome.STOPPED.value
  except UserError as error:
    outcome, reason = Outcome.REFUSED, str(error)
  except Exception:
    outcome, reason = Outcome.FAILED, traceback.format_exc()
  return Result(outcome, '\n'.join(said), reason)


def _train(task: Task, said: list[str]) -> Outcome:
  with (
    Interrupts() as interrupts,
    working_in(task.workdir),
    own_errors_explained(),
    out_of_memory_explained(),
  ):
    if (key := (task.shared, task.part)) not in _newest:
      _newest.clear()  # before others are loaded
      _newest[key] = _prepare(task)
    plan, trainer = _newest[key]
    runs = [run for run in plan.runs if (run.arm.name, run.seed) in task.runs]
    interrupts.leave_if_requested('before the first step')
    rows = {run: Row(run.name, plan.comparison.epochs) for run in plan.runs}
    group = Group(runs, task.lanes, task.folder)
    outcomes = train_group(trainer, group, interrupts, rows, said.append)
    return max(outcomes.values(), key=list(Outcome).index)


def _prepare(task: Task) -> tuple[Plan, Trainer]:
  """Returns the plan of the task's comparison, and its data and programs."""
  shared, workdir = task.shared, task.workdir
  settle_jax()
  comparisons = changed_comparisons(shared.problem, shared.changes)
  if shared.compilation_cache:
    keep_compiled_programs()
  if not run_directory(workdir, *task.runs[0]).is_dir():
    raise UserError(
      f'{workdir} on {platform.node()} is not the one that the command planned its runs in: choose '
      'a --workdir on a file system that all machines share.'
    )
  comparison = next(one for one in comparisons if one.name == task.part)
  comparison = shared.stage.of(comparison) if shared.stage else comparison
  plan = plan_runs(comparison, workdir, shared.settings.data_dir, partners_elsewhere=True)
  return plan, Trainer(comparison, plan.dataset, shared.settings)
