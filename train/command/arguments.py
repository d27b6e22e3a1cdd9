"""Reads the command line with tyro, and explains what is wrong with it in one sentence."""

import contextlib
import io
import itertools
import re
import typing
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Union

import tyro

from train.command.options import option_types
from train.problem.changes import flag_of
from train.system.errors import UserError, did_you_mean

_PROGRAM = 'python -m train'


def read_command(
  arguments: Sequence[str], commands: Mapping[str, type], default: Any, description: str
) -> Any:
  """Returns the command that the arguments ask for, as an instance of its dataclass.

  Raises:
    UserError: If an argument is wrong; the sentence names it.
    SystemExit: After the help was printed.
  """
  options = commands.get(arguments[0]) if arguments else None
  given = _check_options(arguments, options, commands) if options else {}
  kinds = tuple(Annotated[kind, tyro.conf.subcommand(name)] for name, kind in commands.items())
  complaint = io.StringIO()
  try:
    with contextlib.redirect_stderr(complaint):
      return tyro.cli(
        Union[kinds],  # noqa: UP007
        args=list(arguments),
        prog=_PROGRAM,
        description=description,
        default=default,
        config=(tyro.conf.OmitArgPrefixes,),
      )
  except SystemExit as error:
    if not error.code:
      raise
    if arguments[0] not in commands:
      sentence = f'There is no command {arguments[0]}: choose from {", ".join(commands)}.'
    else:
      assert options
      what, choices = _what_is_wrong(complaint.getvalue(), given, _flags(options))
      instead = f'choose from {", ".join(choices)}' if choices else _help_of(arguments[0])
      sentence = f'{what}: {instead}.'
    raise UserError(sentence) from error


def _check_options(
  arguments: Sequence[str], command: type, commands: Mapping[str, type]
) -> dict[str, list[str]]:
  """Returns the values of each option; refuses unknown, repeated and empty ones."""
  hints = option_types(command)
  switches = [name for name, hint in hints.items() if hint is bool]
  without_value = {'--help', *map(flag_of, switches), *(flag_of(f'no_{name}') for name in switches)}
  known = {*map(flag_of, hints), *without_value}
  given: dict[str, list[str]] = {}
  flag = arguments[0]
  for argument in arguments[1:]:
    if not argument:
      raise UserError(f'An argument after {flag} is empty: give a value, or leave it out.')
    if not argument.startswith('--'):
      given.get(flag, []).append(argument)
      continue
    name, equals, value = argument.partition('=')
    flag = flag_of(name.removeprefix('--'))
    if flag not in known:
      of = next((f' (`{name}` has it)' for name in commands if flag in _flags(commands[name])), '')
      near = of or did_you_mean(flag, sorted(known))
      raise UserError(f'There is no option {flag}{near}: {_help_of(arguments[0])}.')
    if flag in given:
      raise UserError(f'{flag} is given twice: give it once.')
    given[flag] = [value] if equals else []
  for flag, values in given.items():
    if flag not in without_value and not all(values or ['']):
      raise UserError(f'{flag} has no value: give it one, or leave it out.')
  return given


def _flags(command: type) -> dict[str, Any]:
  """Returns the types of the options of a command by their flags."""
  return {flag_of(name): hint for name, hint in option_types(command).items()}


def _choices(hint: Any) -> list[str]:
  """Returns the words that a type allows, if it allows some only."""
  parts = typing.get_args(hint)
  words = [part for part in parts if isinstance(part, str)]
  return words or [word for part in parts for word in _choices(part)]


def _what_is_wrong(
  box: str, given: Mapping[str, Sequence[str]], flags: Mapping[str, Any]
) -> tuple[str, list[str]]:
  """Returns in a few words what the first paragraph of tyro's box says, and what is possible."""
  plain = re.sub(r'\x1b\[[\d;]*m', '', box)  # without colours
  lines = [line.strip(' │') for line in plain.splitlines()[1:]]
  paragraphs = itertools.groupby(lines, key=lambda line: bool(line.strip('-─╰╯')))
  first = next((' '.join(lines).strip('.') for is_text, lines in paragraphs if is_text), '')
  if flag := next((flag for flag in re.findall(r'--[a-z-]+', first) if given.get(flag)), None):
    values = ' '.join(given[flag])
    advice = ' (separate several values with spaces)' if ',' in values else ''
    return f'{flag} cannot be {values}{advice}', _choices(flags[flag])
  if missing := re.match(r'Missing from .*?: (\S+)', first):
    return f'{missing[1]} is missing', []
  return first, []


def _help_of(command: str) -> str:
  return f'`{_PROGRAM} {command} --help` shows the options'
