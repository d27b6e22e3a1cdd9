"""The trainer: re-runs the experiments of the LCAM paper, and compares optimizers on your problem.

Start it with ``python -m train``. Describe your own problem in a Python file that defines
``comparison``, a :class:`Comparison`.
"""

import importlib
import os
import sys
from typing import TYPE_CHECKING, Any

if sys.argv[:1] == ['-m']:  # Python is looking for the program: this is `python -m train`
  if not sys.flags.safe_path and sys.path[0] != os.path.dirname(__path__[0]):
    # The working directory is no checkout, and its scipy.py should not replace a library.
    sys.path.append(sys.path.pop(0))
  from train.system.shadowed import explain_shadowed
  from train.system.signals import let_ctrl_c_kill

  sys.excepthook = explain_shadowed
  let_ctrl_c_kill(True)  # during the imports below, which take seconds
  try:
    import jax  # noqa: F401
  except ValueError as error:  # about JAX_ENABLE_X64, for example
    print(f'JAX refuses a variable of the environment: {error}.', file=sys.stderr)
    sys.exit(2)

from train import arms, schedules
from train.data import Dataset, Split
from train.problem.comparison import Comparison, cross_entropy
from train.problem.metrics import Metric, wrong_answer
from train.system.errors import UserError

if TYPE_CHECKING:
  from train.command.compare import compare
  from train.command.tune import tune

__all__ = [
  'Comparison',
  'Dataset',
  'Metric',
  'Split',
  'UserError',
  'arms',
  'compare',
  'cross_entropy',
  'schedules',
  'tune',
  'wrong_answer',
]


def __getattr__(name: str) -> Any:
  """Imports ``compare`` and ``tune`` when they are asked for, because it takes seconds."""
  if name not in ('compare', 'tune'):
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
  return getattr(importlib.import_module(f'train.command.{name}'), name)
