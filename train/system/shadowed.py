"""Says in one sentence that a file of the working directory has replaced a library."""

import importlib.machinery
import os
import pathlib
import sys
import traceback
import types

_OURS = ('lcam_optax', 'models', 'train')  # also if another checkout is in the search path


def explain_shadowed(
  kind: type[BaseException], error: BaseException, trace: types.TracebackType | None
) -> None:
  """Ends the process with a sentence if such a file caused an error; is a ``sys.excepthook``."""
  path = _shadow(error, trace)
  if path is None:
    sys.__excepthook__(kind, error, trace)
    return
  reason = f'{kind.__name__}: {error}'.partition('\n')[0]
  print(
    f'{path} has the name of a library, which therefore fails ({reason}): rename it, or '
    'start in another folder with the checkout in PYTHONPATH.',
    file=sys.stderr,
  )
  sys.exit(2)


def _shadow(error: BaseException, trace: types.TracebackType | None) -> pathlib.Path | None:
  """Returns the file or folder, if there is one."""
  files = [frame.f_code.co_filename for frame, _ in traceback.walk_tb(trace)]
  module = (getattr(error, 'name', None) or '').partition('.')[0]  # that lacks a name or module
  things = sys.modules.get(module), getattr(error, 'obj', None)
  files += [file for thing in things if isinstance(file := getattr(thing, '__file__', None), str)]
  here = pathlib.Path.cwd()
  for file in map(pathlib.Path, files):
    if file.is_relative_to(here):
      path = here / file.relative_to(here).parts[0]
      if path.stem not in _OURS and path.stem.isidentifier() and _is_library(path.stem):
        return path
  return None


def _is_library(name: str) -> bool:
  elsewhere = [folder for folder in sys.path if folder not in ('', os.getcwd())]
  found = importlib.machinery.PathFinder.find_spec(name, elsewhere)
  return name in sys.stdlib_module_names or found is not None
