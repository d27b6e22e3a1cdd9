"""Runs in a process that was started for them, on this machine or another one."""

import dataclasses
import os
import pathlib
import platform
import sys
import traceback
from typing import NamedTuple

from train.launch.plan import Plan, plan_runs
from train.launch.rows import Row
from train.launch.run import Outcome, train_run, working_in
from train.problem.changes import Changes, changed_comparisons
from train.storage.checkpoints import quiet_background_errors
from train.storage.tables import run_directory
from train.system.caches import keep_compiled_programs
from train.system.environment import CHECKOUT
from train.system.errors import UserError
from train.system.signals import InterruptedRunError, Interrupts
from train.training.loop import SavePolicy, Trainer
from train.training.memory import out_of_memory_explained


@dataclasses.dataclass(frozen=True)
class Settings:
  """What the tasks of a command have in common.

  Functions of the user's are not passed on, but read again from their file.

  Attributes:
    problem: The name of the experiment, or the absolute path of a file.
    changes: What the command changes of it.
    data_dir: Where TFDS keeps its data sets; None is TFDS's own default.
    stream: Whether to stream the data to the device; None decides by size.
    device_limit: At most this many devices; None means all.
    policy: When runs are saved.
    compilation_cache: Whether compiled programs are kept for the next start.
    threads: The number of threads that XLA computes with on a CPU.
    hide_gpus: Whether the process must leave the GPUs alone that it may see.
    command: The arguments of the command, to say how to go on.
  """

  problem: str
  changes: Changes
  data_dir: str | None
  stream: bool | None
  device_limit: int | None
  policy: SavePolicy
  compilation_cache: bool
  threads: int
  hide_gpus: bool
  command: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Task:
  """A run, so that another process can train it.

  Attributes:
    settings: What it shares with other tasks.
    part: The name of the run's comparison.
    workdir: Where the runs of the comparison are recorded, an absolute path.
    arm: The name of its arm.
    seed: Its seed.
  """

  settings: Settings
  part: str
  workdir: pathlib.Path
  arm: str
  seed: int


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
    self._trainers: dict[tuple[Settings, str], Trainer] = {}

  def train(self, task: Task) -> Result:
    """Trains a run from its newest checkpoint; call it where JAX has not been used before.

    It raises nothing. A signal, or the interrupt of Ray, stops the run when it is saved.
    """
    settings = task.settings
    sys.argv = [sys.argv[0], *settings.command]
    os.environ['PJRT_NPROC'] = str(settings.threads)
    if settings.hide_gpus:
      os.environ['CUDA_VISIBLE_DEVICES'] = ''
    said = _Said()
    try:
      outcome, reason = self._train(task, said), ''
    except (InterruptedRunError, KeyboardInterrupt):
      outcome, reason = Outcome.STOPPED, Outcome.STOPPED.value
    except UserError as error:
      outcome, reason = Outcome.REFUSED, str(error)
    except Exception:
      outcome, reason = Outcome.FAILED, traceback.format_exc()
    return Result(outcome, '\n'.join(said.lines), reason)

  def _train(self, task: Task, said: '_Said') -> Outcome:
    settings, workdir = task.settings, task.workdir
    with Interrupts() as interrupts:
      comparisons = changed_comparisons(settings.problem, settings.changes)
      if settings.compilation_cache:
        keep_compiled_programs()
      comparison = next(one for one in comparisons if one.name == task.part)
      quiet_background_errors()
      _check_shared(task)
      with working_in(workdir), out_of_memory_explained():
        plan = plan_runs(comparison, workdir, settings.data_dir, partners_elsewhere=True)
        run = next(run for run in plan.runs if (run.arm.name, run.seed) == (task.arm, task.seed))
        trainer = self._trainer(settings, plan)
        interrupts.leave_if_requested('before the first step')
        row = Row(run.name, comparison.epochs)
        return train_run(trainer, run, plan.runs[run], settings.policy, interrupts, row, said)

  def _trainer(self, settings: Settings, plan: Plan) -> Trainer:
    key = settings, plan.comparison.name
    if key not in self._trainers:
      self._trainers.clear()  # the data of one comparison are enough to hold
      self._trainers[key] = Trainer(
        plan.comparison, plan.load(), settings.stream, settings.device_limit
      )
    return self._trainers[key]


class _Said:
  """Keeps the lines about a run, which are shown when it has ended; its tables tell how far it is."""

  def __init__(self):
    self.lines: list[str] = []

  def say(self, words: str) -> None:
    self.lines += words.splitlines()

  def refresh(self) -> None:
    pass


def _check_shared(task: Task) -> None:
  if not run_directory(task.workdir, task.arm, task.seed).is_dir():
    raise UserError(
      f'{task.workdir} on {platform.node()} is not the one that the command planned its runs in: '
      'choose a --workdir on a file system that all machines share.'
    )


def python_path() -> str:
  """Returns what ``PYTHONPATH`` must be, so that a process anywhere runs this code."""
  path = [str(CHECKOUT), *os.environ.get('PYTHONPATH', '').split(os.pathsep)]
  return os.pathsep.join(filter(None, path))
