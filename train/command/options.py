"""What ``run`` was asked to change, and the comparisons with these changes."""

import dataclasses
import os
import pathlib
import re
from typing import Annotated, Any, Literal

import tyro

from train.command.arguments import flag_of
from train.data import SOURCES, DataSource, find_source
from train.problem.arms import ARM_FORMS
from train.problem.comparison import Comparison
from train.problem.experiments import EXPERIMENTS, find_comparisons
from train.problem.networks import VitB16, WideResNet
from train.problem.own_code import read_module
from train.system.errors import UserError

Names = tuple[str, ...]
_GREATEST_DEPTH = 1_000  # of which Python builds the layers one by one


def _help(text: str, metavar: str) -> Any:
  return tyro.conf.arg(help=text, metavar=metavar, help_behavior_hint='')


@dataclasses.dataclass(frozen=True)
class RunOptions:
  """Run an experiment or your own problem, or go on with it."""

  name: Annotated[
    tyro.conf.Positional[str],
    _help(
      f'The experiment: {", ".join(EXPERIMENTS)}; or a Python file that defines `comparison`.',
      'NAME_OR_FILE',
    ),
  ]
  parts: Annotated[
    Names,
    _help('Which parts of an experiment that has several, as `list` shows (default: all).', 'PART'),
  ] = ()
  arms: Annotated[
    Names,
    _help(
      f'Which arms (default: those that `list` shows). There are {ARM_FORMS}; and coin, yoked and '
      "swapped, the controls of the experiment's pair.",
      'ARM',
    ),
  ] = ()
  seeds: Annotated[
    tuple[int, ...],
    _help("Which seeds; each arm is trained once per seed (default: the experiment's).", 'SEED'),
  ] = ()
  workdir: Annotated[
    pathlib.Path | None, _help('Where the runs are recorded (default: runs/NAME).', 'DIR')
  ] = None
  dataset: Annotated[str | None, _help(f'Another data set: {", ".join(SOURCES)}.', 'DATASET')] = (
    None
  )
  depth: Annotated[int | None, _help('Depth of the wide residual network, 6n + 4.', 'N')] = None
  width: Annotated[int | None, _help('Widening factor of the wide residual network.', 'N')] = None
  epochs: Annotated[
    int | None, _help('Passes over the training examples; schedules scale with them.', 'N')
  ] = None
  train_examples: Annotated[
    int | None, _help('Train on the first so many examples only (default: all).', 'N')
  ] = None
  batch_size: Annotated[int | None, _help('Examples per step.', 'N')] = None
  learning_rate: Annotated[
    float | None, _help('First learning rate of the schedule of SGD.', 'RATE')
  ] = None
  weight_decay: Annotated[
    float | None, _help('Weight decay of SGD, added to the gradient.', 'RATE')
  ] = None
  dtype: Annotated[
    Literal['float32', 'bfloat16'] | None,
    _help('What the network computes in (default: float32).', 'float32|bfloat16'),
  ] = None
  pretrained: Annotated[
    pathlib.Path | None,
    _help('The .npz file of ViT-B/16 weights from ImageNet-21k that `vit` fine-tunes.', 'FILE'),
  ] = None
  checkpoint_epochs: Annotated[
    int, _help('Save a run after every so many epochs (default: 1).', 'N')
  ] = 1
  checkpoint_minutes: Annotated[
    float, _help('Save a run within an epoch after so many minutes (default: 10).', 'MINUTES')
  ] = 10.0
  data_dir: Annotated[
    str | None,
    _help("Where TFDS keeps its data sets (default: TFDS_DATA_DIR, or TFDS's own).", 'DIR'),
  ] = None
  stream: Annotated[
    bool, _help('Stream the data to the device even if it would fit there.', '')
  ] = False
  compilation_cache: Annotated[
    bool, _help("Keep compiled programs in the user's cache folder, for the next start.", '')
  ] = True
  devices: Annotated[
    int | None,
    _help('Divide batches among so many devices of each process (default: all).', 'N'),
  ] = None
  coordinator: Annotated[
    str | None,
    _help(
      'Train together with other processes, which meet at this address of the first.', 'HOST:PORT'
    ),
  ] = None
  num_processes: Annotated[int | None, _help('With --coordinator: how many they are.', 'N')] = None
  process_id: Annotated[
    int | None, _help('With --coordinator: which one this is; 0 is the first.', 'I')
  ] = None
  distributed: Annotated[
    bool,
    _help(
      'Train together with the processes that JAX finds: of Slurm, a TPU slice, Kubernetes.', ''
    ),
  ] = False
  jobs: Annotated[
    int,
    _help(
      'Train so many runs at a time, in so many processes that share the CPU cores '
      '(default: 1, which trains one after the other in this process; `python -m train` alone takes '
      'up to 4).',
      'N',
    ),
  ] = 1
  cluster: Annotated[
    str | None,
    _help(
      'Train runs at the same time on a Ray cluster: one that is started on this machine (local), '
      'one that is running (auto, which looks at RAY_ADDRESS too), or one elsewhere.',
      'local|auto|ray://HOST:PORT',
    ),
  ] = None
  cpus_per_run: Annotated[
    int | None,
    _help(
      'CPU cores of each run, with --cluster (default: 1) or --jobs (default: its share); it '
      'computes with so many threads.',
      'N',
    ),
  ] = None
  gpus_per_run: Annotated[int, _help('GPUs of each run, with --cluster (default: 0).', 'N')] = 0
  tpus_per_run: Annotated[
    int, _help('TPU chips of each run, with --cluster (default: 0).', 'N')
  ] = 0

  @property
  def own_problem(self) -> bool:
    """Whether the name is that of a file."""
    return self.name not in EXPERIMENTS and self.name.endswith('.py')


def configure(options: RunOptions) -> tuple[Comparison, ...]:
  """Returns the comparisons of an experiment, or of a file, with the changes asked for.

  Raises:
    UserError: If a name or a number is not possible, or the file defines no comparison.
  """
  for name in (
    *('epochs', 'batch_size', 'train_examples', 'checkpoint_epochs'),
    *('devices', 'jobs', 'cpus_per_run'),
  ):
    value = getattr(options, name)
    if value is not None and value < 1:
      raise UserError(f'{flag_of(name)} must be at least 1, not {value}.')
  for name in ('learning_rate', 'checkpoint_minutes'):
    value = getattr(options, name)
    if value is not None and not value > 0:
      raise UserError(f'{flag_of(name)} must be above 0, not {value}.')
  if options.depth is not None and options.depth > _GREATEST_DEPTH:
    raise UserError(f'--depth must be at most {_GREATEST_DEPTH}, not {options.depth}.')
  if options.weight_decay is not None and not options.weight_decay >= 0:
    raise UserError(f'--weight-decay must be at least 0, not {options.weight_decay}.')
  _check_places(options)
  _check_hosts(options)
  if options.own_problem:
    if options.parts:
      raise UserError(f'{options.name} has no parts: leave --parts out.')
    comparisons = (_own_comparison(pathlib.Path(options.name)),)
  else:
    comparisons = find_comparisons(options.name, options.parts)
  if options.pretrained and not any(isinstance(one.network, VitB16) for one in comparisons):
    raise UserError(
      f'{options.name} trains no network with weights to load: leave --pretrained out.'
    )
  return tuple(_change(comparison, options) for comparison in comparisons)


def working_directory(options: RunOptions, comparisons: tuple[Comparison, ...]) -> pathlib.Path:
  """Returns the working directory of the command; several comparisons have folders in it."""
  if options.workdir is not None:
    return options.workdir
  return pathlib.Path('runs') / (comparisons[0].name if options.own_problem else options.name)


def comparison_directory(
  options: RunOptions, workdir: pathlib.Path, comparison: Comparison
) -> pathlib.Path:
  """Returns where the runs of one of the command's comparisons are recorded."""
  several = len(EXPERIMENTS.get(options.name, ())) > 1
  return workdir / comparison.name if several else workdir


def for_elsewhere(options: RunOptions, workdir: pathlib.Path) -> RunOptions:
  """Returns options that mean the same in another directory and environment.

  Args:
    options: What the command was asked for.
    workdir: Where the runs are recorded.
  """
  data_dir = options.data_dir or os.environ.get('TFDS_DATA_DIR')
  if data_dir is not None and '://' not in data_dir:
    data_dir = os.path.abspath(data_dir)
  return dataclasses.replace(
    options,
    name=os.path.abspath(options.name) if options.own_problem else options.name,
    workdir=workdir.absolute(),
    pretrained=options.pretrained and options.pretrained.absolute(),
    data_dir=data_dir,
  )


def _check_places(options: RunOptions) -> None:
  """Refuses options on where runs are trained that do not go together."""
  for name in ('gpus_per_run', 'tpus_per_run'):
    value = getattr(options, name)
    if value < 0:
      raise UserError(f'{flag_of(name)} must be at least 0, not {value}.')
    if value and options.cluster is None:
      raise UserError(
        f'{flag_of(name)} is for --cluster: add `--cluster local` for this machine, without --jobs.'
      )
  if options.jobs > 1 and options.devices is not None:
    raise UserError(
      '--jobs gives each run a process and a share of the CPU, and --devices divides one run among '
      'devices: leave one of them out.'
    )
  if options.cluster is None:
    if options.cpus_per_run is not None and options.jobs == 1:
      raise UserError('--cpus-per-run is for --jobs and --cluster: add one of them.')
    return
  if options.jobs > 1:
    raise UserError(
      '--jobs is for this machine alone, and --cluster trains as many runs at a time as there is '
      'room for: leave one of them out.'
    )
  if not re.fullmatch(r'local|auto|ray://.+:\d{1,5}', options.cluster):
    raise UserError(f'--cluster must be local, auto or ray://HOST:PORT, not {options.cluster}.')


def _check_hosts(options: RunOptions) -> None:
  """Refuses options on other processes that do not go together."""
  several = {'--num-processes': options.num_processes, '--process-id': options.process_id}
  if options.coordinator is None:
    for name, value in several.items():
      if value is not None:
        raise UserError(f'{name} is for --coordinator: add it, the address of process 0.')
    if not options.distributed:
      return
  elif options.distributed:
    raise UserError('--distributed finds the processes by itself: leave --coordinator out.')
  else:
    for name, value in several.items():
      if value is None:
        raise UserError(f'--coordinator needs {name}, too.')
    port = re.fullmatch(r'.+:(\d{1,5})', options.coordinator)
    if port is None or not 1 <= int(port[1]) <= 65535:
      raise UserError(f'--coordinator must be HOST:PORT, not {options.coordinator}.')
    if not options.num_processes >= 1:
      raise UserError(f'--num-processes must be at least 1, not {options.num_processes}.')
    if not 0 <= options.process_id < options.num_processes:
      raise UserError(
        f'--process-id must be 0 to {options.num_processes - 1}, not {options.process_id}.'
      )
  if options.jobs > 1 or options.cluster is not None:
    raise UserError(
      'Processes that train together take one run after the other: leave --jobs and --cluster out.'
    )


def _own_comparison(path: pathlib.Path) -> Comparison:
  if not _is_file(path):
    raise UserError(f'{path} is no file: name a Python file that defines `comparison`.')
  found = getattr(read_module(path), 'comparison', None)
  if not isinstance(found, Comparison):
    what = 'no `comparison`' if found is None else f'`comparison` as a {type(found).__name__}'
    raise UserError(
      f'{path} defines {what}: it must say `comparison = train.Comparison(name=..., dataset=..., '
      'network=..., epochs=..., batch_size=...)`.'
    )
  return found


def _change(comparison: Comparison, options: RunOptions) -> Comparison:
  changes = {
    name: value
    for name in ('epochs', 'batch_size', 'train_examples', 'dtype', 'weight_decay')
    if (value := getattr(options, name)) is not None
  }
  title = comparison.experiment or comparison.name
  if options.dataset is not None:
    changes['dataset'] = _other_dataset(comparison, options.dataset, title)
  changes['network'] = _other_network(comparison, options, title)
  if options.arms:
    changes['arms'] = options.arms
  if options.seeds:
    changes['seeds'] = options.seeds
  if options.learning_rate is not None:
    arms = options.arms or [arm.name for arm in comparison.arms]
    own = [name for name in arms if comparison.arm(name).own_learning_rate]
    if own:
      raise UserError(
        f'--learning-rate is the one of SGD, but {", ".join(own)} have their own: leave them out '
        'with --arms.'
      )
    changes['schedule'] = dataclasses.replace(comparison.schedule, init_value=options.learning_rate)
  # Names of arms mean what they meant before the change.
  arms = tuple(comparison.arm(arm) for arm in changes.get('arms', ())) or comparison.arms
  return dataclasses.replace(comparison, **{**changes, 'arms': arms})


def _other_dataset(comparison: Comparison, name: str, title: str) -> DataSource:
  source = find_source(name)
  if not isinstance(comparison.dataset, DataSource):
    raise UserError(f'{title} brings its own data: leave --dataset out.')
  if source.kind != comparison.dataset.kind:
    raise UserError(
      f'{title} trains {comparison.network.describe()} on {comparison.dataset.kind}, which {name} '
      'is not.'
    )
  return source


def _other_network(comparison: Comparison, options: RunOptions, title: str):
  network = comparison.network
  sizes = {
    name: value for name in ('depth', 'width') if (value := getattr(options, name)) is not None
  }
  if sizes:
    if not isinstance(network, WideResNet):
      raise UserError(f'{title} trains {network.describe()}, which has no --depth and --width.')
    return dataclasses.replace(network, **sizes)
  if not isinstance(network, VitB16):
    return network
  if options.pretrained is None:
    raise UserError(
      f'{title} fine-tunes ViT-B/16: pass the ImageNet-21k weights (imagenet21k/ViT-B_16.npz of '
      'google-research/vision_transformer) with --pretrained, or choose --parts without it.'
    )
  if not _is_file(options.pretrained):
    raise UserError(f'{options.pretrained} is no file: pass the ImageNet-21k weights.')
  return dataclasses.replace(network, pretrained=options.pretrained)


def _is_file(path: pathlib.Path) -> bool:
  try:
    return path.is_file() and os.access(path, os.R_OK)
  except OSError:  # a name that is too long, or a folder that may not be read
    return False
