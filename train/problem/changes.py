"""The options that change a comparison, and the comparisons with these changes."""

import contextlib
import dataclasses
import itertools
import os
import pathlib
import re
from typing import Annotated, Any, Literal

import tyro

from train.data import SOURCES, DataSource, find_source
from train.problem.arms import ARM_FORMS, arm_of_name
from train.problem.comparison import Comparison
from train.problem.experiments import EXPERIMENTS, find_comparisons
from train.problem.networks import Network, VitB16, WideResNet
from train.problem.own_code import read_module
from train.system.errors import UserError

_MOST_SEEDS = 100_000  # of a range
_GREATEST_DEPTH = 1_000  # Python builds the layers one by one


def option(metavar: str | None = None, text: str | None = None) -> Any:
  """Returns the annotation of an option; its help is ``text``, or what stands below the field."""
  return tyro.conf.arg(metavar=metavar, help=text, help_behavior_hint='')


Number = Annotated[int, option('N')]
NumberOrNone = Annotated[int | None, option('N')]
_RateOrNone = Annotated[float | None, option('RATE')]
_ARMS = (
  f'Arms (default: those that `list` shows). Choose from {ARM_FORMS}; and coin, yoked and swapped, '
  "the controls of the experiment's pair."
)


def flag_of(name: str) -> str:
  """Returns the command-line option that sets a field."""
  return f'--{name.replace("_", "-")}'


@dataclasses.dataclass(frozen=True)
class Changes:
  """What to train: parts, arms, seeds, and settings that replace the experiment's."""

  parts: Annotated[tuple[str, ...], option('PART')] = ()
  """Parts of an experiment that has several; `list` shows them (default: all)."""
  arms: Annotated[tuple[str, ...], option('ARM', _ARMS)] = ()
  seeds: Annotated[tuple[str, ...], option('SEED|FIRST-LAST')] = ()
  """Seeds, as 0 1 2 or 0-99; each arm is trained once per seed (default: the experiment's)."""
  dataset: Annotated[str | None, option('DATASET', f'The data set: {", ".join(SOURCES)}.')] = None
  depth: NumberOrNone = None
  """Depth of the wide residual network, 6n + 4."""
  width: NumberOrNone = None
  """Widening factor of the wide residual network."""
  epochs: NumberOrNone = None
  """Passes over the training examples; schedules scale with them."""
  train_examples: NumberOrNone = None
  """Train on the first N examples only (default: all)."""
  batch_size: NumberOrNone = None
  """Examples per step."""
  learning_rate: _RateOrNone = None
  """First learning rate of the schedule of SGD."""
  weight_decay: _RateOrNone = None
  """Weight decay of SGD, added to the gradient."""
  dtype: Annotated[Literal['float32', 'bfloat16'] | None, option('float32|bfloat16')] = None
  """The dtype of the network's computation (default: float32)."""
  pretrained: Annotated[pathlib.Path | None, option('FILE')] = None
  """The .npz file of ViT-B/16 weights from ImageNet-21k, for `vit`."""

  def given(self, *names: str) -> dict[str, Any]:
    """Returns those of the named settings that replace the experiment's."""
    values = {name: getattr(self, name) for name in names}
    return {name: value for name, value in values.items() if value is not None}

  def check(self) -> None:
    """Raises a ``UserError`` if a number is impossible."""
    check_at_least(1, self, 'epochs', 'batch_size', 'train_examples')
    check_at_least(0, self, 'weight_decay')
    if self.learning_rate is not None and not self.learning_rate > 0:
      raise UserError(f'--learning-rate must be above 0, not {self.learning_rate}.')
    if self.depth is not None and self.depth > _GREATEST_DEPTH:
      raise UserError(f'--depth must be at most {_GREATEST_DEPTH}, not {self.depth}.')


def check_at_least(least: int, options: Any, *names: str) -> None:
  """Raises a ``UserError`` if one of the named options is given and below ``least``."""
  for name in names:
    value = getattr(options, name)
    if value is not None and not value >= least:
      raise UserError(f'{flag_of(name)} must be at least {least}, not {value}.')


def is_own_problem(name: str) -> bool:
  """Returns whether a name is that of a Python file and not of an experiment."""
  return name not in EXPERIMENTS and name.endswith('.py')


def changed_comparisons(name: str, changes: Changes) -> tuple[Comparison, ...]:
  """Returns the comparisons of an experiment, or the one of a Python file, with changes."""
  changes.check()
  if is_own_problem(name):
    if changes.parts:
      raise UserError(f'{name} has no parts: omit --parts.')
    comparisons = (_own_comparison(pathlib.Path(name)),)
  else:
    comparisons = find_comparisons(name, changes.parts)
  if changes.pretrained and not any(isinstance(one.network, VitB16) for one in comparisons):
    raise UserError(f'{name} trains no network with pretrained weights: omit --pretrained.')
  return tuple(_change(comparison, changes) for comparison in comparisons)


def _own_comparison(path: pathlib.Path) -> Comparison:
  if not _is_file(path):
    raise UserError(f'{path} is not a file: name a Python file that defines `comparison`.')
  found = getattr(read_module(path), 'comparison', None)
  if not isinstance(found, Comparison):
    what = 'no `comparison`' if found is None else f'`comparison` as a {type(found).__name__}'
    raise UserError(
      f'{path} defines {what}: it must define `comparison = train.Comparison(name=..., dataset=..., '
      'network=..., epochs=..., batch_size=...)`.'
    )
  return found


def _change(comparison: Comparison, changes: Changes) -> Comparison:
  changed = changes.given('epochs', 'batch_size', 'train_examples', 'dtype', 'weight_decay')
  title = comparison.experiment or comparison.name
  if changes.dataset is not None:
    changed['dataset'] = _other_dataset(comparison, changes.dataset, title)
  changed['network'] = _other_network(comparison, changes, title)
  # Names of arms are those of the unchanged comparison.
  changed['arms'] = tuple(map(comparison.arm, changes.arms)) or comparison.arms
  if comparison.baseline not in [arm.name for arm in changed['arms']]:
    with contextlib.suppress(UserError):
      arm_of_name(comparison.baseline)
      changed['baseline'] = comparison.baseline
    changed.setdefault('baseline', '')
  if changes.seeds:
    changed['seeds'] = tuple(itertools.chain.from_iterable(map(_seeds, changes.seeds)))
  if changes.learning_rate is not None:
    own = [arm.name for arm in changed['arms'] if arm.learning_rate is not None]
    if own:
      raise UserError(
        f'--learning-rate is for SGD, but {", ".join(own)} have their own learning rate: omit '
        '--learning-rate, or choose other arms with --arms.'
      )
    changed['schedule'] = dataclasses.replace(comparison.schedule, init_value=changes.learning_rate)
  return dataclasses.replace(comparison, **changed)


def _seeds(text: str) -> range:
  """Returns the seeds of ``7`` or of ``0-99``."""
  found = re.fullmatch(r'(\d+)(?:-(\d+))?', text, re.ASCII)
  first, last = (int(found[1]), int(found[2] or found[1])) if found else (0, -1)
  if not 0 <= last - first < _MOST_SEEDS:
    raise UserError(
      f'--seeds cannot be {text}: give whole numbers or ranges from the first to the last, at most '
      f'{_MOST_SEEDS:,} of them, as 0 1 2 or 0-99 (separate several values with spaces).'
    )
  return range(first, last + 1)


def _other_dataset(comparison: Comparison, name: str, title: str) -> DataSource:
  source = find_source(name)
  if not isinstance(comparison.dataset, DataSource):
    raise UserError(f'{title} has its own data: omit --dataset.')
  if source.kind != comparison.dataset.kind:
    raise UserError(
      f'{title} trains {comparison.network.describe()} on {comparison.dataset.kind}, but {name} '
      f'holds {source.kind}: choose another data set.'
    )
  return source


def _other_network(comparison: Comparison, changes: Changes, title: str) -> Network:
  network = comparison.network
  if sizes := changes.given('depth', 'width'):
    if not isinstance(network, WideResNet):
      raise UserError(f'{title} trains {network.describe()}, which has no --depth and --width.')
    return dataclasses.replace(network, **sizes)
  if not isinstance(network, VitB16):
    return network
  if changes.pretrained is None:
    raise UserError(
      f'{title} fine-tunes ViT-B/16: pass the ImageNet-21k weights (imagenet21k/ViT-B_16.npz of '
      'google-research/vision_transformer) with --pretrained, or choose --parts without it.'
    )
  if not _is_file(changes.pretrained):
    raise UserError(f'{changes.pretrained} is not a file: pass the ImageNet-21k weights.')
  return dataclasses.replace(network, pretrained=changes.pretrained)


def _is_file(path: pathlib.Path) -> bool:
  try:
    return path.is_file() and os.access(path, os.R_OK)
  except OSError:  # the name is too long, or the folder cannot be read
    return False
