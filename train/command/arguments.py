"""Reads the command line with tyro, and tells in a sentence what cannot be read."""

import contextlib
import difflib
import io
import itertools
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Union

import tyro

from train.command.options import option_types
from train.problem.changes import flag as _flag
from train.system.errors import UserError

PROGRAM = 'python -m train'


def read_command(
  arguments: Sequence[str], commands: Mapping[str, type], default: Any, description: str
) -> Any:
  """Returns the command that the arguments say.

  Args:
    arguments: Those of the program.
    commands: From the name of each command to the dataclass of its options.
    default: The command without any arguments.
    description: What `--help` says of the program.

  Raises:
    UserError: If it cannot be read; the sentence names the option.
    SystemExit: After the help was printed.
  """
  if arguments and (options := commands.get(arguments[0])):
    _check_options(arguments, options)
  kinds = tuple(Annotated[kind, tyro.conf.subcommand(name)] for name, kind in commands.items())
  complaint = io.StringIO()
  try:
    with contextlib.redirect_stderr(complaint):
      return tyro.cli(
        Union[kinds],  # noqa: UP007
        args=list(arguments),
        prog=PROGRAM,
        description=description,
        default=default,
        config=(tyro.conf.OmitArgPrefixes,),
      )
  except SystemExit as error:
    if not error.code:
      raise
    raise UserError(_sentence(complaint.getvalue(), arguments, commands)) from error


def _check_options(arguments: Sequence[str], command: type) -> None:
  """Refuses options that there are not, are given twice or have no value, and empty arguments."""
  hints = option_types(command)
  switches = {'--help'}
  for name in (name for name, hint in hints.items() if hint is bool):
    switches |= {_flag(name), _flag(f'no_{name}')}
  known = {_flag(name) for name in hints} | switches
  given: list[str] = []
  for argument, following in itertools.pairwise([*arguments, '--']):
    name, equals, value = argument.partition('=')
    if not argument:
      where = f'A value of {given[-1]}' if given else f'An argument of {arguments[0]}'
      raise UserError(f'{where} is empty: say which, or leave it out.')
    if not argument.startswith('--'):
      continue
    flag = _flag(name.removeprefix('--'))
    if flag not in known:
      near = difflib.get_close_matches(flag, sorted(known), n=1, cutoff=0.7)
      advice = f'did you mean {near[0]}?' if near else f'{_help_of(arguments[0])} shows all.'
      raise UserError(f'There is no option {flag}: {advice}')
    if flag in given:
      raise UserError(f'{flag} is given twice: give it once.')
    given.append(flag)
    if flag not in switches and not value and (equals or following.startswith('--')):
      raise UserError(f'{flag} has no value: give it one, or leave it out.')


def _sentence(box: str, arguments: Sequence[str], commands: Mapping[str, type]) -> str:
  """Returns what tyro says in a box, below its title, in a sentence."""
  if arguments[0] not in commands:
    return f'There is no command {arguments[0]}: choose one of {", ".join(commands)}.'
  lines = [line.strip(' │|') for line in box.splitlines()[1:]]
  text = ' '.join(line for line in lines if not re.fullmatch(r'[-─╰╯ ]*', line))
  text = re.split(r' (?:Argument helptext|For full helptext|Got errors)', text)[0].strip(' .')
  shows = f'{_help_of(arguments[0])} shows what there is'
  if found := re.search(r'Error parsing (--[a-z-]+): .*?\[?\'(.*)\'\]?$', text):
    values = found[2].replace("', '", ' ')
    spaces = ', with spaces between several values' if ',' in values else ''
    return f'{found[1]} cannot be {values}: {shows}{spaces}.'
  if found := re.search(r"invalid choice '(.*)' for argument '(--[a-z-]+)'", text):
    return f'{found[2]} cannot be {found[1]}: {shows}.'
  if found := re.search(r'Missing from .*?: (\S+)', text):
    return f'{found[1]} is missing: {shows}.'
  return f'{text}: {shows}.'


def _help_of(command: str) -> str:
  return f'`{PROGRAM} {command} --help`'
