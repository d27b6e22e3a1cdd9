"""Attacks by command lines, drawn from the options themselves."""

import pathlib
import random
import signal

import hypothesis
from hypothesis import strategies as st

from tests.attack.checks import check_end
from tests.attack.commands import Command
from tests.attack.world import World
from train.command.options import RunOptions, option_types
from train.problem.experiments import EXPERIMENTS

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
_RATES = [
  '0.1',
  '0.01',
  '-1',
  '0',
  '1e-50',
  '1e400',
  'inf',
  '-inf',
  'nan',
  '1e38',
  'x',
  '',
  '0.1,0.2',
]
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
  'name': [*20 * ['PROBLEM'], *EXPERIMENTS, *_NAMES],
  'arms': ['fixed-0.9', 'adam', 'coin', 'yoked', 'low0.5-high0.9', 'fixed-1', 'fixed--1', *_NAMES],
  'dataset': ['digits', 'cifar10', *_NAMES],
  # Nothing outside the folder of an attack.
  **{
    name: [word for word in _NAMES if word not in ('/', '..')] for name in ('workdir', 'data_dir')
  },
  'parts': ['cifar10', *_NAMES],
  'dtype': ['float32', 'bfloat16', 'float64', *_NAMES],
  'width': ['1', '2', '-1', '0', '100000'],
  'depth': ['10', '16', '-1', '0', '12', '999999999999'],
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
  hints = option_types(RunOptions)
  fields = [name for name in hints if name != 'name']
  arguments = [draw(st.sampled_from(_SPECIAL['name']))]
  for name in draw(st.lists(st.sampled_from(fields), min_size=1, max_size=4)):
    flag = '--' + name.replace('_', '-')
    if draw(st.integers(0, 29)) == 0:
      flag = draw(st.sampled_from([flag[:-1], flag + 'x', flag.upper(), '-' + flag, flag[1:]]))
    arguments.append(flag)
    if hints[name] is not bool:
      count = draw(st.integers(1, 3)) if 'tuple' in str(hints[name]) else 1
      count = 0 if draw(st.integers(0, 29)) == 0 else count
      values = st.sampled_from(_values(name, hints[name]))
      arguments += [draw(values) for _ in range(count)]
  return ['run', *arguments]


_DRAWN = 10  # of which the last is taken, because the first is always the simplest there is


def draw_command_line(seed: int) -> list[str]:
  """Returns a command line; the same for the same seed."""
  drawn: list[list[str]] = []

  @hypothesis.seed(seed)
  @hypothesis.settings(
    max_examples=_DRAWN,
    database=None,
    deadline=None,
    phases=[hypothesis.Phase.generate],
    suppress_health_check=list(hypothesis.HealthCheck),
  )
  @hypothesis.given(_command_lines())
  def collect(arguments):
    drawn.append(arguments)

  collect()
  return drawn[-1]


def command_line(world: World, rng: random.Random) -> None:
  """A command line that somebody might mistype."""
  with world.workdir() as workdir:
    line = draw_command_line(rng.randrange(2**32))
    arguments = [str(world.problem) if word == 'PROBLEM' else word for word in line]
    if '--workdir' not in arguments:
      arguments += ['--workdir', str(workdir)]
    attempt(arguments, workdir.parent)


def attempt(arguments: list[str], folder: pathlib.Path) -> None:
  """Tries a command that may be right or wrong; one that is right is stopped after a while."""
  nowhere = {f'{kind}_proxy': 'http://127.0.0.1:9' for kind in ('http', 'https')}
  environment = {'HOME': str(folder), 'TFDS_DATA_DIR': str(folder), **nowhere}
  command = Command(*arguments, folder=folder, environment=environment)
  command.wait(_SECONDS)
  command.send(signal.SIGTERM)
  check_end(command.done(), 1, 128 + signal.SIGTERM, -signal.SIGTERM)
