"""The trainer: re-runs the experiments of the LCAM paper, and compares optimizers on your problem.

Start it with ``python -m train``. A problem of one's own is a file that defines ``comparison``.
"""

from train.interrupts import let_imports_be_interrupted

let_imports_be_interrupted()  # before those below, which take seconds

from train.comparison import Comparison, cross_entropy, wrong_answer  # noqa: E402
from train.data import Dataset, Split  # noqa: E402

__all__ = ['Comparison', 'Dataset', 'Split', 'cross_entropy', 'wrong_answer']
