"""Output that cannot be written ends in a sentence that does not blame the working directory."""

import os
import subprocess
import sys

import pytest

from tests.train.support import ROOT

pytestmark = [
  pytest.mark.training,
  pytest.mark.skipif(not os.path.exists('/dev/full'), reason='there is no full device'),
]


@pytest.mark.parametrize('arguments', [['--help'], ['run', '--help']])
def test_a_full_device_is_named(arguments):
  with open('/dev/full', 'w') as full:
    done = subprocess.run(
      [sys.executable, '-m', 'train', *arguments],
      cwd=ROOT,
      stdout=full,
      stderr=subprocess.PIPE,
      text=True,
    )
  assert done.returncode == 2
  (sentence,) = done.stderr.splitlines()
  assert sentence.startswith('The output cannot be written ([Errno 28] No space left on device)')


def test_a_sentence_that_cannot_be_written_changes_no_exit_status():
  command = f'"{sys.executable}" -m train run nothing 2>&-'
  done = subprocess.run(command, shell=True, cwd=ROOT, stdout=subprocess.PIPE)
  assert (done.returncode, done.stdout) == (2, b'')
