"""Attacks by command lines, drawn from the options themselves."""

import dataclasses
import pathlib
import random
import signal
import typing

import hypothesis
from hypothesis import strategies as st

from tests.attack.checks import check_end
from tests.attack.commands import Command
from tests.attack.world import World
from train.experiments import EXPERIMENTS
from train.options import RunOptions

_SECONDS = 15  # after which a command that is right is asked to stop
# None that is possible and makes a training large: this is about what is refused.
_NUMBERS = [
  '-1',
  '0',
  '1',
  '2',
  '3',
  '1.5',
  '1e3',
  'two',
  '',
  '0,1',
  '999999999999',
  '1' + 30 * '0',
]
_RATES = ['-1', '0', '0.1', '1e-50', '1e400', 'inf', '-inf', 'nan', '1e38', 'x', '', '0.1,0.2']
_NAMES = [
  *(
    '',
    ' ',
    '.',
    '..',
    '/',
    '[/b]',
    '[red]x',
    '%s',
    '{}',
    'None',
    "'",
    '"',
    '\\',
    'a b',
    'ü',
    '😀',
  ),
  *('\udcff', 'x' * 300, '-1', '--', '~', '$HOME', 'no/such/folder', '/dev/null', '/proc/self/mem'),
]
_SPECIAL = {
  'name': ['PROBLEM', 'PROBLEM', 'quickstart', *EXPERIMENTS, *_NAMES],
  'arms': ['fixed-0.9', 'adam', 'coin', 'yoked', 'low0.5-high0.9', 'fixed-1', 'fixed--1', *_NAMES],
  'dataset': ['digits', 'cifar10', *_NAMES],
  'parts': ['cifar10', *_NAMES],
  'dtype': ['float32', 'bfloat16', 'float64', *_NAMES],
  'width': [*_NUMBERS[:4], '100000'],
  'depth': ['-1', '0', '4', '10', '12', '999999999999'],
  'jobs': ['-1', '0', '1', 'x', ''],
  'devices': ['-1', '0', '1', '2', '999999999999', 'x'],
  'coordinator': ['127.0.0.1:0', '127.0.0.1:9', 'nohost.invalid:1234', 'x:99999', ':', *_NAMES],
  'num_processes': ['-1', '0', '1', '2', 'x'],
  'process_id': ['-1', '0', '1', '2', 'x'],
  'cluster': ['ray://127.0.0.1:9', 'ray://nohost.invalid:1', 'ray://', 'x', *_NAMES],
}


def _values(name: str, hint: object) -> list[str]:
  if name in _SPECIAL:
    return _SPECIAL[name]
  words = str(hint)
  if 'float' in words:
    return _RATES
  return _NUMBERS if 'int' in words else _NAMES


@st.composite
def _command_lines(draw) -> list[str]:
  """Draws arguments of ``run``, mostly such as there are, sometimes mistyped, twice or lacking."""
  hints = typing.get_type_hints(RunOptions)
  fields = [field.name for field in dataclasses.fields(RunOptions) if field.name != 'name']
  arguments = [draw(st.sampled_from(_SPECIAL['name']))]
  for name in draw(st.lists(st.sampled_from(fields), max_size=4)):
    flag = '--' + name.replace('_', '-')
    if draw(st.integers(0, 19)) == 0:
      flag = draw(st.sampled_from([flag[:-1], flag + 'x', flag.upper(), '-' + flag, flag[1:]]))
    arguments.append(flag)
    if hints[name] is not bool:
      several = 'tuple' in str(hints[name])
      count = draw(st.integers(0, 3)) if several else int(draw(st.integers(0, 19)) > 0)
      arguments += draw(st.lists(st.sampled_from(_values(name, hints[name])), max_size=count))
  return ['run', *arguments]


def draw_command_lines(seed: int, number: int) -> list[list[str]]:
  """Returns so many command lines; the same for the same seed."""
  drawn: list[list[str]] = []

  @hypothesis.seed(seed)
  @hypothesis.settings(
    max_examples=max(1, number),
    database=None,
    deadline=None,
    phases=[hypothesis.Phase.generate],
    suppress_health_check=list(hypothesis.HealthCheck),
  )
  @hypothesis.given(_command_lines())
  def collect(arguments):
    drawn.append(arguments)

  collect()
  return drawn


def command_line(world: World, rng: random.Random) -> None:
  """A command line that somebody might mistype."""
  with world.workdir() as workdir:
    (line,) = draw_command_lines(rng.randrange(2**32), 1)[-1:]
    arguments = [str(world.problem) if word == 'PROBLEM' else word for word in line]
    if '--workdir' not in arguments:
      arguments += ['--workdir', str(workdir)]
    attempt(arguments, workdir.parent)


def attempt(arguments: list[str], folder: pathlib.Path) -> None:
  """Tries a command that may be right or wrong; one that is right is stopped after a while."""
  command = Command(*arguments, folder=folder, environment={'HOME': str(folder)})
  command.wait(_SECONDS)
  command.send(signal.SIGTERM)
  check_end(command.done(), 1, 128 + signal.SIGTERM, -signal.SIGTERM)
