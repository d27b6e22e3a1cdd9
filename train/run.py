"""Runs an experiment: every arm with every seed, one after the other."""

import pathlib

from rich.console import Console

from train.experiments import Experiment
from train.loop import train_run
from train.progress import RunProgress
from train.records import RunRecorder, check_config, is_complete, run_config, run_directory
from train.setup import make_setup


def run_experiment(
  experiment: Experiment,
  workdir: pathlib.Path,
  console: Console,
  *,
  data_dir: str | None = None,
  stream: bool | None = None,
) -> None:
  """Trains all runs of an experiment that are not complete in a working directory.

  The arms of a seed come one after the other, so that a run cut short leaves whole comparisons.

  Args:
    experiment: What to run.
    workdir: Where the runs are recorded.
    console: Where progress is shown.
    data_dir: Where TFDS keeps its data sets; None is TFDS's own default.
    stream: Whether to stream the data to the device; None decides by size.

  Raises:
    UserError: If the working directory holds runs of another configuration.
    train.data.DataError: If the data set cannot be had.
  """
  runs = [
    (arm, seed, run_directory(workdir, arm.name, seed), run_config(experiment, arm, seed))
    for seed in experiment.seeds
    for arm in experiment.arms
  ]
  for _, _, directory, config in runs:
    check_config(directory, config)
  setup = make_setup(experiment, data_dir, stream)
  with RunProgress(console, len(runs), experiment.epochs) as progress:
    for arm, seed, directory, config in runs:
      name = f'{arm.name} seed {seed}'
      if is_complete(directory, experiment.epochs):
        progress.skip_run(name)
        continue
      progress.start_run(name)
      train_run(
        setup,
        arm,
        seed,
        RunRecorder(directory, config),
        lambda record, seconds: progress.epoch(record, seconds, setup.steps_per_epoch),
      )
