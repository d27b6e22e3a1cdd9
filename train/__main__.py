"""Re-run the experiments of the LCAM paper, and see whether LCAM helps."""

import dataclasses
import pathlib
import sys
from typing import Annotated, Literal

import tyro
from rich.console import Console
from rich.table import Table

from train.errors import UserError
from train.experiments import EXPERIMENTS, QUICKSTART, Experiment, find_arms, find_experiment


@dataclasses.dataclass(frozen=True)
class Quickstart:
  """Train on small embedded digits and compare LCAM with fixed momentum (the default)."""

  workdir: pathlib.Path = pathlib.Path('runs/quickstart')
  """Where the runs are recorded."""


@dataclasses.dataclass(frozen=True)
class List:
  """List the experiments and their arms."""


@dataclasses.dataclass(frozen=True)
class Run:
  """Run an experiment, or go on with it. What is not given is as in the paper."""

  name: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar='NAME')]
  """The experiment; `list` shows the names."""
  arms: tuple[str, ...] = ()
  """Which arms; all of the experiment if not given."""
  seeds: tuple[int, ...] = ()
  """Which seeds; each arm is trained once per seed."""
  workdir: pathlib.Path | None = None
  """Where the runs are recorded; runs/NAME if not given."""
  epochs: int | None = None
  """Passes over the training examples; schedules scale with them."""
  batch_size: int | None = None
  """Examples per step."""
  depth: int | None = None
  """Depth of the wide residual network, 6n + 4."""
  width: int | None = None
  """Widening factor of the wide residual network."""
  train_examples: int | None = None
  """Train on the first so many examples only."""
  dtype: Literal['float32', 'bfloat16'] | None = None
  """What the network computes in."""
  data_dir: str | None = None
  """Where TFDS keeps its data sets; TFDS's own default if not given."""
  stream: bool = False
  """Stream the data to the device even if it would fit there."""


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


Command = (
  Annotated[Quickstart, tyro.conf.subcommand('quickstart')]
  | Annotated[List, tyro.conf.subcommand('list')]
  | Annotated[Run, tyro.conf.subcommand('run')]
  | Annotated[Report, tyro.conf.subcommand('report')]
  | Annotated[Prepare, tyro.conf.subcommand('prepare')]
)


def main() -> None:
  """Does what the command line says; a user's error is one sentence on stderr and exit status 2."""
  command = tyro.cli(
    Command,
    prog='python -m train',
    description=__doc__,
    default=Quickstart(),
    config=(tyro.conf.OmitArgPrefixes,),
  )
  try:
    execute(command, Console())
  except UserError as error:
    print(f'error: {error}', file=sys.stderr)
    sys.exit(2)


def execute(command: Quickstart | List | Run | Report | Prepare, console: Console) -> None:
  """Executes a command. JAX and Matplotlib are imported only by those that need them."""
  match command:
    case Quickstart(workdir):
      train_and_report(Run(QUICKSTART.name, workdir=workdir), console)
    case Run():
      train_and_report(command, console)
    case List():
      show_experiments(console)
    case Report(workdir):
      from train.report import report

      report(workdir, console)
    case Prepare(dataset, data_dir):
      from train.data import prepare

      console.print(f'{dataset}: ready in {prepare(dataset, data_dir)}', soft_wrap=True)


def train_and_report(command: Run, console: Console) -> None:
  """Runs an experiment with the overrides of the command line, then reports."""
  experiment = configure(command)
  workdir = command.workdir or pathlib.Path('runs') / experiment.name
  console.print(f'{experiment.name}: {experiment.summary}', highlight=False)

  from train.report import report
  from train.run import run_experiment

  run_experiment(
    experiment,
    workdir,
    console,
    data_dir=command.data_dir,
    stream=command.stream or None,
  )
  report(workdir, console)


def configure(command: Run) -> Experiment:
  """Returns the experiment with the overrides of the command line.

  Raises:
    UserError: If a name or a number is not possible.
  """
  experiment = find_experiment(command.name)
  overrides = {
    name: getattr(command, name)
    for name in ('epochs', 'batch_size', 'train_examples', 'dtype')
    if getattr(command, name) is not None
  }
  for name in ('epochs', 'batch_size', 'train_examples'):
    if overrides.get(name, 1) < 1:
      raise UserError(f'--{name.replace("_", "-")} must be at least 1, not {overrides[name]}.')
  network = {
    name: getattr(command, name)
    for name in ('depth', 'width')
    if getattr(command, name) is not None
  }
  return dataclasses.replace(
    experiment,
    arms=find_arms(experiment, command.arms) if command.arms else experiment.arms,
    seeds=command.seeds or experiment.seeds,
    network=dataclasses.replace(experiment.network, **network),
    **overrides,
  )


def show_experiments(console: Console) -> None:
  """Prints a table of the experiments."""
  table = Table(show_lines=True)
  for column in ('experiment', 'what', 'arms', 'epochs', 'seeds'):
    table.add_column(column)
  for experiment in EXPERIMENTS.values():
    table.add_row(
      experiment.name,
      experiment.summary,
      '\n'.join(arm.name for arm in experiment.arms),
      str(experiment.epochs),
      str(len(experiment.seeds)),
    )
  console.print(table)


if __name__ == '__main__':
  main()
