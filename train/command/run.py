"""The command ``run``: trains what is asked for, then reports."""

import contextlib
import dataclasses
import os
import pathlib
import sys
from collections.abc import Mapping
from typing import NamedTuple

from rich.console import Console

from train.command.options import RunOptions
from train.command.progress import RunTable
from train.launch.cluster import Cluster
from train.launch.driver import run_together
from train.launch.jobs import Jobs, share_of_cores
from train.launch.run import Outcome, run_comparison
from train.launch.together import join, join_found_processes
from train.launch.worker import Shared
from train.problem.changes import changed_comparisons, flag_of, is_own_problem
from train.problem.comparison import Comparison
from train.problem.tuning import Stage
from train.reports import check_results, report
from train.storage.locks import in_use
from train.system import processes
from train.system.caches import keep_compiled_programs
from train.system.errors import UserError
from train.training.memory import out_of_memory_explained
from train.training.trainer import Settings

Folders = Mapping[pathlib.Path, Comparison]


class Prepared(NamedTuple):
  """What a command trains, and how.

  Attributes:
    options: The options of the command.
    settings: How runs are trained.
    workdir: The working directory.
    folders: The comparisons by the folders of their runs in it.
    console: Where to print; nothing is printed by other processes than the first.
  """

  options: RunOptions
  settings: Settings
  workdir: pathlib.Path
  folders: Folders
  console: Console


def run_and_report(options: RunOptions, console: Console) -> None:
  """Runs an experiment, or a problem of the user's, then reports, also if some runs failed."""
  prepared = prepare(options, console)
  failure = train_folders(prepared, prepared.folders)
  report_folders(prepared, prepared.folders, failure)


def prepare(options: RunOptions, console: Console) -> Prepared:
  """Checks the options, meets other processes, and reads what is to be trained."""
  place, saving = options.place, options.saving
  options.check()
  folder = pathlib.Path.cwd()
  comparisons = changed_comparisons(options.name, options.changes)
  if saving.compilation_cache:
    keep_compiled_programs()
  _join_other_processes(options)
  if not processes.is_first():
    console = Console(quiet=True)
  workdir, folders = options.folders(comparisons)
  if pathlib.Path.cwd() != folder:  # the user's file has changed the working directory
    workdir, folders = folder / workdir, {folder / path: one for path, one in folders.items()}
  settings = Settings(
    checkpoint_epochs=saving.checkpoint_epochs,
    checkpoint_minutes=saving.checkpoint_minutes,
    data_dir=saving.data_dir,
    stream=place.stream or None,
    device_limit=place.devices,
    together=place.runs_at_once,
    tensorboard=saving.tensorboard,
  )
  return Prepared(options, settings, workdir, folders, console)


def train_folders(
  prepared: Prepared, folders: Folders, stage: Stage | None = None
) -> UserError | None:
  """Trains the comparisons of some folders; returns what to raise after a report if some failed.

  A ``stage`` is the one of tuning that the comparisons are in.
  """
  options, settings, workdir, _, console = prepared
  if options.place.jobs > 1 or options.place.cluster is not None:
    return _run_together(options, settings, folders, console, stage)
  _run_one_by_one(settings, folders, workdir, console)
  return None


def report_folders(prepared: Prepared, folders: Folders, failure: UserError | None = None) -> None:
  """Reports on all runs, then raises the failure if there is one."""
  if not processes.is_first():
    return
  with contextlib.suppress(UserError) if failure else contextlib.nullcontext():
    report(prepared.workdir, prepared.console)
    for folder, comparison in folders.items():
      check_results(comparison, folder)
  if failure is not None:
    raise failure


def _join_other_processes(options: RunOptions) -> None:
  """Meets the processes that train together with this one, if the options name any."""
  place = options.place
  if place.distributed:
    join_found_processes()
  elif place.coordinator is not None:
    shared = {**vars(options.changes), 'stream': place.stream, 'devices': place.devices}
    del shared['pretrained']  # files and folders may have other paths on other machines
    started_with = {flag_of(name): value for name, value in shared.items()}
    started_with['problem'] = pathlib.Path(options.name).name
    join(place.coordinator, place.num_processes, place.process_id, started_with)


def _run_together(
  options: RunOptions,
  settings: Settings,
  folders: Folders,
  console: Console,
  stage: Stage | None,
) -> UserError | None:
  """Trains runs at the same time; returns what to raise after the report if some failed."""
  place = options.place
  if place.cluster is not None:
    threads = place.cpus_per_run or 1
    workers = Cluster(place.cluster, threads, place.gpus_per_run, place.tpus_per_run)
  else:
    threads = place.cpus_per_run or share_of_cores(place.jobs)
    runs = sum(len(comparison.arms) * len(comparison.seeds) for comparison in folders.values())
    workers = Jobs(min(place.jobs, runs))
  # Processes may have another working directory and environment.
  name, pretrained = options.name, options.changes.pretrained
  data_dir = settings.data_dir or os.environ.get('TFDS_DATA_DIR')
  if data_dir is not None and '://' not in data_dir:
    data_dir = os.path.abspath(data_dir)
  shared = Shared(
    problem=os.path.abspath(name) if is_own_problem(name) else name,
    changes=dataclasses.replace(options.changes, pretrained=pretrained and pretrained.absolute()),
    settings=dataclasses.replace(settings, data_dir=data_dir),
    compilation_cache=options.saving.compilation_cache,
    threads=threads,
    hide_gpus=place.cluster is not None and not place.gpus_per_run,
    command=tuple(sys.argv[1:]),
    stage=stage,
  )
  return run_together(folders, shared, console, workers, RunTable)


def _run_one_by_one(
  settings: Settings, folders: Folders, workdir: pathlib.Path, console: Console
) -> None:
  """Trains one run after the other in this process, which loads data and compiles only once."""
  outcomes = set()
  with processes.lost_processes_explained(), out_of_memory_explained():
    for folder, comparison in folders.items():
      outcomes |= run_comparison(comparison, folder, console, settings, RunTable)
  if Outcome.ELSEWHERE in outcomes and Outcome.ENDED not in outcomes:
    raise in_use(workdir)
