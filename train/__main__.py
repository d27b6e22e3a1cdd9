"""Re-run the experiments of the LCAM paper, and see whether LCAM helps."""

import dataclasses
import json
import os
import pathlib
import sys
from typing import Annotated, Literal

import tyro
from rich.console import Console

from train.errors import FullDiskError, UserError
from train.experiments import EXPERIMENTS, QUICKSTART, Part, find_arms, find_parts


@dataclasses.dataclass(frozen=True)
class Quickstart:
  """Train on small embedded digits and compare LCAM with fixed momentum (the default)."""

  workdir: pathlib.Path = pathlib.Path('runs/quickstart')
  """Where the runs are recorded."""


@dataclasses.dataclass(frozen=True)
class List:
  """List the experiments, their arms and what they cost."""

  probe: tuple[str, ...] = ()
  """Time ten steps of these experiments, to tell the hours they would take on this device."""


@dataclasses.dataclass(frozen=True)
class Run:
  """Run an experiment, or go on with it. What is not given is as in the paper."""

  name: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar='NAME')]
  """The experiment; `list` shows the names."""
  parts: tuple[str, ...] = ()
  """Which parts of an experiment that has several; all if not given."""
  arms: tuple[str, ...] = ()
  """Which arms; those that `list` shows, without the extra ones, if not given."""
  seeds: tuple[int, ...] = ()
  """Which seeds; each arm is trained once per seed."""
  workdir: pathlib.Path | None = None
  """Where the runs are recorded; runs/NAME if not given."""
  dataset: str | None = None
  """Another data set."""
  depth: int | None = None
  """Depth of the wide residual network, 6n + 4."""
  width: int | None = None
  """Widening factor of the wide residual network."""
  epochs: int | None = None
  """Passes over the training examples; schedules scale with them."""
  train_examples: int | None = None
  """Train on the first so many examples only."""
  batch_size: int | None = None
  """Examples per step."""
  learning_rate: float | None = None
  """First learning rate of the schedule of SGD."""
  dtype: Literal['float32', 'bfloat16'] | None = None
  """What the network computes in."""
  pretrained: pathlib.Path | None = None
  """The .npz file of ViT-B/16 weights from ImageNet-21k that `vit` fine-tunes."""
  checkpoint_epochs: int = 1
  """Save a run after every so many epochs."""
  checkpoint_minutes: float = 10.0
  """Save a run within an epoch after so many minutes."""
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
  """Does what the command line says.

  What the user can mend is one sentence on stderr, with exit status 2; a signal that stopped a run
  gives 128 + its number.
  """
  command = tyro.cli(
    Command,
    prog='python -m train',
    description=__doc__,
    default=Quickstart(),
    config=(tyro.conf.OmitArgPrefixes,),
  )
  try:
    execute(command, Console())
  except FullDiskError as error:
    print(error, file=sys.stderr, flush=True)
    # At a usual exit the writers in the background would each add a traceback to this sentence.
    os._exit(2)
  except UserError as error:
    print(error, file=sys.stderr)
    sys.exit(getattr(error, 'exit_status', 2))
  except KeyboardInterrupt:
    print('Stopped at once; what was saved before is kept.', file=sys.stderr)
    sys.exit(130)


def execute(command: Quickstart | List | Run | Report | Prepare, console: Console) -> None:
  """Executes a command. JAX and Matplotlib are imported only by those that need them."""
  match command:
    case Quickstart(workdir):
      # Its epochs are shorter than a checkpoint takes.
      epochs = QUICKSTART.epochs
      train_and_report(
        Run(QUICKSTART.experiment, workdir=workdir, checkpoint_epochs=epochs), console
      )
    case Run():
      train_and_report(command, console)
    case List(probe):
      from train.costs import list_experiments

      list_experiments(console, probe)
    case Report(workdir):
      from train.report import report

      report(workdir, console)
    case Prepare(dataset, data_dir):
      from train.data import find_source

      console.print(f'{dataset}: ready in {find_source(dataset).prepare(data_dir)}', soft_wrap=True)


def train_and_report(command: Run, console: Console) -> None:
  """Runs an experiment with the overrides of the command line, then reports."""
  parts = configure(command)
  workdir = command.workdir or pathlib.Path('runs') / command.name

  from train.loop import SavePolicy
  from train.records import describe
  from train.report import report
  from train.run import run_part

  for part in parts:
    console.print(f'{part.experiment}, {part.name}: {part.summary}', highlight=False)
    if part.unknown:
      console.print(f'Not known from the paper: {part.unknown}.', highlight=False)
    console.print(json.dumps(describe(part)), highlight=False, soft_wrap=True)
    run_part(
      part,
      workdir / part.name if len(EXPERIMENTS[command.name]) > 1 else workdir,
      console,
      SavePolicy(command.checkpoint_epochs, command.checkpoint_minutes),
      data_dir=command.data_dir,
      stream=command.stream or None,
      pretrained=command.pretrained,
    )
  report(workdir, console)


def configure(command: Run) -> tuple[Part, ...]:
  """Returns the parts of the experiment with the overrides of the command line.

  Raises:
    UserError: If a name or a number is not possible.
  """
  for name in ('epochs', 'batch_size', 'train_examples', 'checkpoint_epochs'):
    value = getattr(command, name)
    if value is not None and value < 1:
      raise UserError(f'--{name.replace("_", "-")} must be at least 1, not {value}.')
  for name in ('learning_rate', 'checkpoint_minutes'):
    value = getattr(command, name)
    if value is not None and not value > 0:
      raise UserError(f'--{name.replace("_", "-")} must be above 0, not {value}.')
  for seed in command.seeds:
    if not 0 <= seed < 2**31:
      raise UserError(f'A seed must be at least 0 and below 2**31, not {seed}.')
  return tuple(_override(part, command) for part in find_parts(command.name, command.parts))


def _override(part: Part, command: Run) -> Part:
  def given(*names):
    values = {name: getattr(command, name) for name in names}
    return {name: value for name, value in values.items() if value is not None}

  network = given('depth', 'width')
  if network and part.network.kind != 'wide_resnet':
    raise UserError(f'{part.experiment} trains {part.network.kind}, without --depth and --width.')
  if part.network.kind == 'vit_b16' and command.pretrained is None:
    raise UserError(
      f'{part.experiment} fine-tunes ViT-B/16: pass the ImageNet-21k weights (imagenet21k/'
      'ViT-B_16.npz of google-research/vision_transformer) with --pretrained, or choose --parts '
      'without it.'
    )
  if part.network.kind == 'vit_b16' and not command.pretrained.is_file():
    raise UserError(f'{command.pretrained} is no file: pass the ImageNet-21k weights.')
  is_audio = part.network.kind == 'm11'
  if command.dataset is not None and _is_audio(command.dataset) != is_audio:
    raise UserError(
      f'{part.experiment} trains {part.network.kind} on {"audio" if is_audio else "images"}, which '
      f'{command.dataset} is not.'
    )
  arms = find_arms(part, command.arms) if command.arms else part.arms
  own_rates = [arm.name for arm in arms if arm.learning_rate is not None]
  schedule = part.schedule
  if command.learning_rate is not None:
    if own_rates:
      raise UserError(
        f'--learning-rate is the one of SGD, but {", ".join(own_rates)} have their own: leave them '
        'out with --arms.'
      )
    schedule = dataclasses.replace(schedule, init_value=command.learning_rate)
  return dataclasses.replace(
    part,
    arms=arms,
    seeds=command.seeds or part.seeds,
    network=dataclasses.replace(part.network, **network),
    schedule=schedule,
    **given('dataset', 'epochs', 'batch_size', 'train_examples', 'dtype'),
  )


def _is_audio(dataset: str) -> bool:
  from train.data import find_source

  return find_source(dataset).kind == 'audio'


if __name__ == '__main__':
  main()
