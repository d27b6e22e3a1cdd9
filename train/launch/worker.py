"""Runs in a process that was started for them, on this machine or another one."""

import dataclasses
import io
import math
import os
import pathlib
import platform
import sys
import traceback
from typing import NamedTuple

from rich.console import Console

from train.command.options import RunOptions, comparison_directory, configure
from train.command.progress import RunProgress
from train.launch.plan import Plan
from train.launch.run import Outcome, train_run, working_in
from train.storage.checkpoints import quiet_background_errors
from train.storage.tables import run_directory
from train.system.caches import keep_compiled_programs
from train.system.environment import CHECKOUT
from train.system.errors import UserError
from train.system.signals import InterruptedRunError, Interrupts
from train.training.loop import SavePolicy, Trainer
from train.training.memory import out_of_memory_explained

_WIDTH = 200  # of what is said; it is broken where it is shown


@dataclasses.dataclass(frozen=True)
class Task:
  """A run, so that another process can train it.

  Functions of the user's are not passed on, but read again from their file.

  Attributes:
    options: What the command was asked for, as in :func:`train.command.options.for_elsewhere`.
    part: The name of the run's comparison.
    arm: The name of its arm.
    seed: Its seed.
    threads: How many threads XLA computes with on a CPU.
    hide_gpus: Whether the process must leave alone the GPUs that it may see.
    command: The arguments of the command, to say how to go on.
  """

  options: RunOptions
  part: str
  arm: str
  seed: int
  threads: int
  hide_gpus: bool
  command: tuple[str, ...]


class Result(NamedTuple):
  """What became of a task.

  Attributes:
    outcome: How it ended.
    said: The lines that a user should see.
    reason: Why it did not end well: a sentence, or a traceback for an unexpected error.
  """

  outcome: Outcome
  said: str = ''
  reason: str = ''


def train_task(task: Task) -> Result:
  """Trains a run in a process of its own; see :meth:`Worker.train`."""
  return Worker().train(task)


class Worker:
  """Trains runs, one after the other; those of a comparison share their data and programs."""

  def __init__(self):
    """Has nothing to share yet."""
    self._trainers: dict[tuple[RunOptions, str], Trainer] = {}

  def train(self, task: Task) -> Result:
    """Trains a run from its newest checkpoint; to be called where JAX has not been used before.

    Nothing is raised, and a signal or the interrupt of Ray stops it when it is saved.
    """
    sys.argv = [sys.argv[0], *task.command]
    os.environ['PJRT_NPROC'] = str(task.threads)
    if task.hide_gpus:
      os.environ['CUDA_VISIBLE_DEVICES'] = ''
    said = io.StringIO()
    try:
      outcome, reason = self._train(task, Console(file=said, width=_WIDTH)), ''
    except (InterruptedRunError, KeyboardInterrupt):
      outcome, reason = Outcome.STOPPED, Outcome.STOPPED.value
    except UserError as error:
      outcome, reason = Outcome.REFUSED, str(error)
    except Exception:
      outcome, reason = Outcome.FAILED, traceback.format_exc()
    return Result(outcome, said.getvalue(), reason)

  def _train(self, task: Task, console: Console) -> Outcome:
    with Interrupts() as interrupts:
      options = task.options
      comparisons = configure(options)
      if options.compilation_cache:
        keep_compiled_programs()
      comparison = next(one for one in comparisons if one.name == task.part)
      quiet_background_errors()
      assert options.workdir is not None
      workdir = comparison_directory(options, options.workdir, comparison)
      _check_shared(workdir, task)
      with working_in(workdir), out_of_memory_explained():
        plan = Plan(comparison, workdir, options.data_dir, partners_elsewhere=True)
        run = next(run for run in plan.runs if (run.arm.name, run.seed) == (task.arm, task.seed))
        trainer = self._trainer(options, plan)
        interrupts.leave_if_requested('before the first step')
        policy = SavePolicy(options.checkpoint_epochs, options.checkpoint_minutes)
        label = comparison.metric_label
        # Its lines are shown when it has ended; until then its tables tell how far it is.
        with RunProgress(console, 1, comparison.epochs, label, math.inf) as progress:
          return train_run(trainer, run, plan.runs[run], policy, interrupts, progress)

  def _trainer(self, options: RunOptions, plan: Plan) -> Trainer:
    key = options, plan.comparison.name
    if key not in self._trainers:
      self._trainers.clear()  # the data of one comparison are enough to hold
      self._trainers[key] = Trainer(
        plan.comparison, plan.load(), options.stream or None, options.devices
      )
    return self._trainers[key]


def _check_shared(workdir: pathlib.Path, task: Task) -> None:
  if not run_directory(workdir, task.arm, task.seed).is_dir():
    raise UserError(
      f'{workdir} on {platform.node()} is not the one that the command planned its runs in: choose '
      'a --workdir on a file system that all machines share.'
    )


def python_path() -> str:
  """Returns what ``PYTHONPATH`` must be, so that a process anywhere runs this code."""
  path = [str(CHECKOUT), *os.environ.get('PYTHONPATH', '').split(os.pathsep)]
  return os.pathsep.join(filter(None, path))
