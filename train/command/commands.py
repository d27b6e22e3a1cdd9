"""The commands of ``python -m train``, and what each of them does."""

import dataclasses
import pathlib
from typing import Annotated

import tyro
from rich.console import Console

from train.command.options import RunOptions, Saving, TuneOptions
from train.problem.experiments import NOISY_DIGITS
from train.system.caches import keep_compiled_programs


@dataclasses.dataclass(frozen=True)
class Quickstart:
  """Compare LCAM with fixed momentum on digits with wrong labels, in a minute (the default)."""

  workdir: pathlib.Path = pathlib.Path('runs/quickstart')
  """Where the runs are recorded."""


@dataclasses.dataclass(frozen=True)
class List:
  """List the experiments; of those that are named, the arms and what they cost."""

  names: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar='[NAME ...]')] = ()
  """Tell all about these experiments, and leave the others out."""
  probe: Annotated[tuple[str, ...], tyro.conf.arg(metavar='NAME [NAME ...]')] = ()
  """The same, and time a step of each network, to estimate their hours here."""
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


Command = Quickstart | List | RunOptions | TuneOptions | Report | Prepare
COMMANDS: dict[str, type] = {
  'quickstart': Quickstart,
  'list': List,
  'run': RunOptions,
  'tune': TuneOptions,
  'report': Report,
  'prepare': Prepare,
}


def execute(command: Command, console: Console) -> None:
  """Executes a command. Orbax and Matplotlib are imported only by those that need them."""
  match command:
    case Quickstart(workdir):
      execute(RunOptions(NOISY_DIGITS.experiment, saving=Saving(workdir)), console)
    case TuneOptions():
      from train.command.tune import tune_and_report

      tune_and_report(command, console)
    case RunOptions():
      from train.command.run import run_and_report

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
