"""The user's own code: loads it, digests its source, and explains its errors in a sentence."""

import ast
import contextlib
import functools
import hashlib
import importlib.util
import inspect
import pathlib
import re
import sys
import textwrap
import traceback
import types
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import jax

from train.system.environment import CHECKOUT
from train.system.errors import UserError
from train.system.signals import StoppedAtOnceError
from train.system.surroundings import kept_surroundings

_MODULE = 'own_problem'
# What JAX says of an error in a function that its programs call.
_TRACEBACK = re.compile(r'Traceback \(.*\):\n((?:  .*\n)+)(.*)')
_folders: list[str] = []  # of the user's file, for what its functions import


def read_module(path: pathlib.Path) -> types.ModuleType:
  """Executes the user's Python file as a module, without the arguments of this process.

  Raises:
    UserError: If it cannot be read, or fails; the message names file and line.
  """
  spec = importlib.util.spec_from_file_location(_MODULE, path.resolve())
  if spec is None or spec.loader is None or not path.is_file():
    raise UserError(f'{path} is not a Python file: name one that defines `comparison`.')
  module = importlib.util.module_from_spec(spec)
  sys.modules[_MODULE] = module  # dataclasses and pickle look their module up
  _folders[:] = [str(path.resolve().parent)]
  arguments = sys.argv
  sys.argv = [str(path)]
  try:
    with explain_errors(str(path)):
      spec.loader.exec_module(module)
  finally:
    sys.argv = arguments
  return module


@contextlib.contextmanager
def explain_errors(what: str) -> Iterator[None]:
  """Turns an error in the user's code into a ``UserError`` that names file and line.

  The code can import what lies beside the user's file. Warnings are shown only if it succeeds. It
  leaves no setting of JAX behind, and no ``XLA_FLAGS`` that would end the process.

  Args:
    what: Names the code in the message if the error did not occur in a file of the user's.
  """
  try:
    with kept_surroundings(_folders), warnings.catch_warnings(record=True) as warned:
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
  except StoppedAtOnceError:
    raise
  except BaseException as error:
    raise UserError(_sentence(_place(error) or what, error)) from error


@contextlib.contextmanager
def own_errors_explained() -> Iterator[None]:
  """Turns an error in a file of the user's into a ``UserError``; lets all others through.

  It stands around a whole command, for calls that :func:`explain_errors` does not stand around.
  """
  try:
    yield
  except (UserError, BrokenPipeError, StoppedAtOnceError):
    raise
  except BaseException as error:
    if place := _place(error):
      raise UserError(_sentence(place, error)) from error
    raise


def _sentence(where: str, error: BaseException) -> str:
  found = _TRACEBACK.search(str(error))
  reason = found[2] if found else f'{type(error).__name__}: {error}'.strip().partition('\n')[0]
  reason = reason.rstrip('.: ')
  return f'{where}: {reason}{_clash(error)}.'


def _clash(error: BaseException) -> str:
  """Returns words about a neighbour of the user's file that has the name of one of our packages."""
  name = getattr(error, 'name', None) if isinstance(error, ImportError) else None
  if isinstance(error, AttributeError) and isinstance(error.obj, types.ModuleType):
    name = error.obj.__name__
  name = (name or '').partition('.')[0]
  for folder in _folders if name else ():
    for neighbour in (pathlib.Path(folder, f'{name}.py'), pathlib.Path(folder, name)):
      if (CHECKOUT / name).is_dir() and neighbour.exists() and folder != str(CHECKOUT):
        return f' ({neighbour} has the name of a package of the trainer: rename it)'
  return ''


def definition(function: Callable) -> str:
  """Returns file and line where a function is defined, or its type if they are unknown."""
  called = function.__init__ if isinstance(function, type) else function
  code = getattr(inspect.unwrap(called), '__code__', None)
  if code is None:
    return f'a {type(function).__name__}'
  return f'{code.co_filename}, line {code.co_firstlineno}'


def shapes(tree: Any) -> str:
  """Returns the shapes of arrays in words, each after its path if there are several."""
  keystr = functools.partial(jax.tree_util.keystr, simple=True, separator='.')
  leaves = jax.tree_util.tree_leaves_with_path(tree)
  return ', '.join(f'{keystr(path)} {leaf.shape}'.strip() for path, leaf in leaves)


def _place(error: BaseException) -> str | None:
  """Returns file and line of the user's own code in which an error occurred."""
  frames = [(frame.filename, frame.lineno) for frame in traceback.extract_tb(error.__traceback__)]
  if found := _TRACEBACK.search(str(error)):
    frames += re.findall(r'File "(.*)", line (\d+)', found[1])
  own = [f'{name}, line {line}' for name, line in frames if _is_own(name)]
  return own[-1] if own else None


def is_users(thing: Any) -> bool:
  """Returns whether a function, class or instance is not the trainer's."""
  module = getattr(thing, '__module__', type(thing).__module__) or ''  # None of code by `exec`
  return module.partition('.')[0] != 'train'


def own_modules() -> list[types.ModuleType]:
  """Returns the user's file and what was imported from its folder, as modules."""
  return [
    module
    for module in list(sys.modules.values())
    if (file := getattr(module, '__file__', None))
    and _is_own(file)
    and any(pathlib.Path(file).resolve().is_relative_to(folder) for folder in _folders)
  ]


def source_digest(things: Iterable[Any]) -> str:
  """Returns a digest of the files that define the user's functions and classes, without comments.

  Of what no file defines, as in a notebook, it is that of the function or class alone.
  """
  trees = set()
  for thing in things:
    for source in (inspect.getmodule(thing), thing):
      with contextlib.suppress(OSError, TypeError, SyntaxError):
        trees.add(ast.dump(ast.parse(textwrap.dedent(inspect.getsource(source)))))
        break
  return hashlib.sha256(repr(sorted(trees)).encode()).hexdigest()


def _is_own(filename: str) -> bool:
  path = pathlib.Path(filename).resolve()
  return (
    path.suffix == '.py'
    and 'site-packages' not in path.parts
    and not any(path.is_relative_to(CHECKOUT / ours) for ours in ('lcam_optax', 'models', 'train'))
    and not path.is_relative_to(sys.base_prefix)
  )
