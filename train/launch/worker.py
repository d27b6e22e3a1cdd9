"""Trains a run in a process that was started for it, on this machine or another one."""

import os
import pathlib
import platform
import sys
import traceback
from typing import NamedTuple

from train.launch.plan import plan_runs
from train.launch.rows import Row
from train.launch.run import Outcome, train_run, working_in
from train.problem.changes import Changes, changed_comparisons
from train.problem.own_code import own_errors_explained
from train.storage.tables import run_directory
from train.system.caches import keep_compiled_programs
from train.system.environment import settle_jax
from train.system.errors import UserError
from train.system.signals import InterruptedRunError, Interrupts
from train.training.loop import Settings, Trainer
from train.training.memory import out_of_memory_explained


class Shared(NamedTuple):
  """What the tasks of a command share. Code of the user's is not sent, but read from its file."""

  problem: str  # the name of the experiment, or the absolute path of a file
  changes: Changes
  settings: Settings
  compilation_cache: bool
  threads: int  # that XLA computes with on a CPU
  hide_gpus: bool  # from a process that must leave them alone
  command: tuple[str, ...]  # its arguments, for the sentence that says how to go on


class Task(NamedTuple):
  """A run, described so that another process can train it."""

  shared: Shared
  part: str  # the name of its comparison
  workdir: pathlib.Path  # of its comparison; absolute
  arm: str
  seed: int


class Result(NamedTuple):
  """What became of a task."""

  outcome: Outcome
  said: str = ''  # lines for the user
  reason: str = ''  # why it did not end well: a sentence, or the traceback of an unexpected error


# The data and programs of the newest comparison, which the next task may share.
_trainers: dict[tuple[Shared, str], Trainer] = {}
_programs: dict[tuple[Shared, str], str | None] = {}  # digests, which take half a second each


def train_task(task: Task) -> Result:
  """Trains a run from its newest checkpoint; raises nothing.

  The first call in a process must come before JAX is used. A signal, or the interrupt of Ray, saves
  and stops the run.
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
  shared, workdir = task.shared, task.workdir
  with Interrupts() as interrupts:
    settle_jax()
    comparisons = changed_comparisons(shared.problem, shared.changes)
    if shared.compilation_cache:
      keep_compiled_programs()
    comparison = next(one for one in comparisons if one.name == task.part)
    if not run_directory(workdir, task.arm, task.seed).is_dir():
      raise UserError(
        f'{workdir} on {platform.node()} is not the one that the command planned its runs in: choose '
        'a --workdir on a file system that all machines share.'
      )
    with working_in(workdir), own_errors_explained(), out_of_memory_explained():
      key = shared, task.part
      plan = plan_runs(
        comparison,
        workdir,
        shared.settings.data_dir,
        partners_elsewhere=True,
        known_program=_programs.get(key),
      )
      _programs[key] = plan.program_sha256
      run = next(run for run in plan.runs if (run.arm.name, run.seed) == (task.arm, task.seed))
      if key not in _trainers:
        _trainers.clear()  # before others are loaded
        _trainers[key] = Trainer(comparison, plan.dataset, shared.settings)
      interrupts.leave_if_requested('before the first step')
      row = Row(run.name, comparison.epochs)
      return train_run(_trainers[key], run, interrupts, row, said.append)
