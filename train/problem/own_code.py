"""The user's own code: loads it, digests it, and explains its errors in a sentence."""

import ast
import contextlib
import functools
import hashlib
import importlib.util
import inspect
import pathlib
import sys
import textwrap
import traceback
import types
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from train.system.errors import UserError

_MODULE = 'own_problem'
_TRAIN = pathlib.Path(__file__).resolve().parents[1]


def read_module(path: pathlib.Path) -> types.ModuleType:
  """Executes the user's Python file as a module.

  Raises:
    UserError: If it cannot be read, or fails; the message names file and line.
  """
  spec = importlib.util.spec_from_file_location(_MODULE, path)
  if spec is None or spec.loader is None or not path.is_file():
    raise UserError(f'{path} is not a Python file: name one that defines `comparison`.')
  module = importlib.util.module_from_spec(spec)
  sys.modules[_MODULE] = module  # dataclasses and pickle look their module up
  sys.path.insert(0, str(path.resolve().parent))  # as `python my_problem.py` would
  with explain_errors(str(path)):
    spec.loader.exec_module(module)
  return module


@contextlib.contextmanager
def explain_errors(what: str) -> Iterator[None]:
  """Turns an error in the user's code into a ``UserError`` that names file and line.

  Warnings are shown only if the code succeeds.

  Args:
    what: Names the code in the message if the error did not occur in a file of the user's.
  """
  try:
    with warnings.catch_warnings(record=True) as warned:
      yield
    for one in warned:
      warnings.showwarning(one.message, one.category, one.filename, one.lineno, one.file, one.line)
  except SyntaxError as error:
    where = f'{error.filename}, line {error.lineno}' if error.filename else what
    raise UserError(f'{where}: {error.msg}.') from error
  except UserError as error:
    if place := _place(error):
      raise UserError(f'{place}: {error}') from error
    raise
  except (Exception, SystemExit) as error:
    reason = f'{type(error).__name__}: {error}'.strip().partition('\n')[0].rstrip('.')
    raise UserError(f'{_place(error) or what}: {reason}.') from error


def definition(function: Callable) -> str:
  """Returns file and line where a function is defined, or its type if they are unknown."""
  code = getattr(inspect.unwrap(function), '__code__', None)
  if code is None:
    return f'a {type(function).__name__}'
  return f'{code.co_filename}, line {code.co_firstlineno}'


def _place(error: BaseException) -> str | None:
  """Returns file and line of the user's own code in which an error occurred."""
  frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_own(frame.filename)]
  return f'{frames[-1].filename}, line {frames[-1].lineno}' if frames else None


def fingerprint(thing: Callable) -> str:
  """Returns a digest of a function's code, and of the user's own code that it uses.

  Comments, docstrings and layout do not count. The user's own code is the functions, classes,
  modules and numbers that the function names and that are defined in files that are not installed.
  """
  parts: set[str] = set()
  _collect(thing, parts, set())
  return hashlib.sha256(repr(sorted(parts)).encode()).hexdigest()


def _collect(thing: Any, parts: set[str], seen: set[int]) -> None:
  if isinstance(thing, functools.partial):
    parts.add(repr((thing.args, thing.keywords)))
    thing = thing.func
  if not (inspect.isfunction(thing) or inspect.isclass(thing) or inspect.ismodule(thing)):
    thing = type(thing)
  if id(thing) in seen:
    return
  seen.add(id(thing))
  try:
    source = textwrap.dedent(inspect.getsource(thing))
  except (OSError, TypeError):
    parts.add(repr(thing))
    return
  try:
    tree = ast.parse(source)
  except SyntaxError:  # a lambda within an expression
    parts.add(source)
    return
  for node in ast.walk(tree):
    if isinstance(node, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node) is not None:
      node.body = node.body[1:] or [ast.Pass()]
  parts.add(ast.dump(tree))
  if inspect.ismodule(thing):
    return
  names = vars(sys.modules.get(thing.__module__, object))
  for name in {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}:
    value = names.get(name)
    if inspect.isfunction(value) or inspect.isclass(value) or inspect.ismodule(value):
      if _is_own(getattr(inspect.getmodule(value), '__file__', None) or ''):
        _collect(value, parts, seen)
    elif isinstance(value, int | float | str | tuple):
      parts.add(f'{name} = {value!r}')


def _is_own(filename: str) -> bool:
  path = pathlib.Path(filename).resolve()
  return (
    path.suffix == '.py'
    and 'site-packages' not in path.parts
    and not path.is_relative_to(_TRAIN)
    and not path.is_relative_to(sys.base_prefix)
  )
