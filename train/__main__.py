"""Re-run the experiments of the LCAM paper, or your own problem, and see whether LCAM helps."""

import dataclasses
import os
import pathlib
import signal
import sys
import traceback
from typing import Annotated, Any

import tyro
from rich.console import Console

from train.command.arguments import read_command
from train.command.options import RunOptions, comparison_directory, configure, working_directory
from train.command.output import Output, write_what_can_be_written
from train.launch.together import join, join_found_processes
from train.problem.comparison import Comparison
from train.problem.experiments import QUICKSTART
from train.system import processes
from train.system.compilation_cache import keep_compiled_programs
from train.system.errors import StorageError, UserError
from train.system.signals import (
  imports_are_done,
  let_the_exit_be_interrupted,
  raise_again_what_is_swallowed,
)
from train.training.shortage import shortage_explained


@dataclasses.dataclass(frozen=True)
class Quickstart:
  """Train on small embedded digits and compare LCAM with fixed momentum (the default)."""

  workdir: pathlib.Path = pathlib.Path('runs/quickstart')
  """Where the runs are recorded."""


@dataclasses.dataclass(frozen=True)
class List:
  """List the experiments, their arms and what they cost."""

  names: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar='[NAME ...]')] = ()
  """Only these experiments."""
  probe: Annotated[tuple[str, ...], tyro.conf.arg(metavar='NAME [NAME ...]')] = ()
  """Only these, and time a step of each network, to tell the hours they would take here."""
  compilation_cache: bool = True
  """Keep compiled programs in the user's cache folder, for the next start."""


@dataclasses.dataclass(frozen=True)
class Report:
  """Print the table of a working directory, and write it with its plots beside the runs."""

  workdir: Annotated[tyro.conf.Positional[pathlib.Path], tyro.conf.arg(metavar='DIR')]
  """What `run` wrote."""


@dataclasses.dataclass(frozen=True)
class Prepare:
  """Download and prepare a data set with TFDS."""

  dataset: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar='DATASET')]
  """The data set."""
  data_dir: str | None = None
  """Where TFDS keeps its data sets; TFDS's own default if not given."""


_COMMANDS = {
  'quickstart': Quickstart,
  'list': List,
  'run': RunOptions,
  'report': Report,
  'prepare': Prepare,
}


def main() -> None:
  """Does what the command line says.

  What the user can mend is one sentence on stderr, with exit status 2, or 1 if all runs of a
  comparison diverged; a signal that stopped a run gives 128 + its number.
  """
  write_what_can_be_written()
  imports_are_done()
  try:
    command = read_command(sys.argv[1:], _COMMANDS, Quickstart(), __doc__ or '')
    execute(command, Output())
  except StorageError as error:
    print(error, file=sys.stderr, flush=True)
    processes.leave(str(error), 2)
    # A usual exit would wait for the writers in the background, which may hang or add tracebacks.
    sys.stdout.flush()
    os._exit(2)
  except BrokenPipeError:  # of the help, which is printed without the console
    Output().on_broken_pipe()
  except UserError as error:
    print(error, file=sys.stderr)
    status = getattr(error, 'exit_status', 2)
    processes.leave(str(error), status)
    sys.exit(status)
  except KeyboardInterrupt as error:
    print('Stopped at once; what was saved before is kept.', file=sys.stderr)
    status = getattr(error, 'exit_status', 130)
    processes.leave('it was stopped at once', status)
    sys.exit(status)
  except Exception:
    if processes.together():
      traceback.print_exc()
      processes.leave('of an unexpected error, which it has printed', 1)
    raise


def execute(command: Quickstart | List | RunOptions | Report | Prepare, console: Console) -> None:
  """Executes a command. Orbax and Matplotlib are imported only by those that need them."""
  match command:
    case Quickstart(workdir):
      from train.launch.jobs import jobs_of_small_runs

      options = RunOptions(
        QUICKSTART.experiment,
        workdir=workdir,
        checkpoint_epochs=QUICKSTART.epochs,  # which are shorter than a checkpoint takes
        jobs=jobs_of_small_runs(),
      )
      run_and_report(options, console)
    case RunOptions():
      run_and_report(command, console)
    case List(names, probe, compilation_cache):
      from train.command.costs import list_experiments

      if compilation_cache:
        keep_compiled_programs()
      list_experiments(console, names, probe)
    case Report(workdir):
      from train.reports import report

      report(workdir, console)
    case Prepare(dataset, data_dir):
      from train.data import find_source

      folder = find_source(dataset).prepare(data_dir)
      console.print(f'{dataset}: ready in {folder}', soft_wrap=True, markup=False)


def run_and_report(options: RunOptions, console: Console) -> None:
  """Runs an experiment, or a problem of the user's, then reports."""
  comparisons = configure(options)
  if options.compilation_cache:
    keep_compiled_programs()
  if options.distributed:
    join_found_processes()
  elif options.coordinator is not None:
    join(options.coordinator, options.num_processes, options.process_id, _shared_options(options))
  if not processes.is_first():
    console = Console(quiet=True)
  workdir = working_directory(options, comparisons)
  failure = None
  if options.jobs > 1 or options.cluster is not None:
    failure = _run_together(options, comparisons, workdir, console)
  else:
    _run_one_by_one(options, comparisons, workdir, console)

  if not processes.is_first():
    return

  from train.reports import check_results, report

  try:
    report(workdir, console)
    for comparison in comparisons:
      check_results(comparison, comparison_directory(options, workdir, comparison))
  except UserError:
    if failure is None:
      raise
  if failure is not None:
    raise failure


def _shared_options(options: RunOptions) -> dict[str, Any]:
  """Returns what must be the same on all processes; files and folders may have other paths."""
  names = (
    *('parts', 'arms', 'seeds', 'dataset', 'depth', 'width', 'epochs', 'train_examples'),
    *('batch_size', 'learning_rate', 'weight_decay', 'dtype', 'stream', 'devices'),
  )
  shared = {f'--{name.replace("_", "-")}': getattr(options, name) for name in names}
  return {'problem': pathlib.Path(options.name).name, **shared}


def _run_together(
  options: RunOptions, comparisons: tuple[Comparison, ...], workdir: pathlib.Path, console: Console
) -> UserError | None:
  """Trains runs at the same time; returns what to raise after the report if some failed."""
  from train.launch.driver import run_together

  if options.cluster is not None:
    from train.launch.cluster import Cluster

    cpus = options.cpus_per_run or 1
    workers = Cluster(options.cluster, cpus, options.gpus_per_run, options.tpus_per_run)
  else:
    from train.launch.jobs import Jobs, share_of_cores

    cpus = options.cpus_per_run or share_of_cores(options.jobs)
    runs = sum(len(comparison.arms) * len(comparison.seeds) for comparison in comparisons)
    workers = Jobs(min(options.jobs, runs))
  return run_together(options, comparisons, workdir, console, workers, cpus)


def _run_one_by_one(
  options: RunOptions, comparisons: tuple[Comparison, ...], workdir: pathlib.Path, console: Console
) -> None:
  """Trains one run after the other in this process, which need load and compile only once."""
  from train.launch.run import run_comparison
  from train.storage.checkpoints import quiet_background_errors
  from train.storage.locks import in_use
  from train.training.loop import SavePolicy

  quiet_background_errors()
  policy = SavePolicy(options.checkpoint_epochs, options.checkpoint_minutes)
  trained, left = 0, []
  for comparison in comparisons:
    with processes.lost_processes_explained(), shortage_explained():
      ended, elsewhere = run_comparison(
        comparison,
        comparison_directory(options, workdir, comparison),
        console,
        policy,
        data_dir=options.data_dir,
        stream=options.stream or None,
        device_limit=options.devices,
      )
    trained += ended
    left += elsewhere
  if left and not trained:
    raise in_use(workdir)


def program() -> None:
  """Is what ``python -m train`` does, which ends with the process."""
  sys.unraisablehook = raise_again_what_is_swallowed
  try:
    main()
  except KeyboardInterrupt:  # another one, while the first was told
    sys.exit(128 + signal.SIGINT)
  finally:
    let_the_exit_be_interrupted()


if __name__ == '__main__':
  program()
