"""The trainer: re-runs the experiments of the LCAM paper, and compares optimizers on your problem.

Start it with ``python -m train``. A problem of one's own is a file that defines ``comparison``.
"""

from train.comparison import Comparison, cross_entropy, wrong_answer
from train.data import Dataset, Split

__all__ = ['Comparison', 'Dataset', 'Split', 'cross_entropy', 'wrong_answer']
