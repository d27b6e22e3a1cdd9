"""Output that cannot be written ends in a sentence that does not blame the working directory."""

import contextlib
import os
import subprocess
import sys

import pytest

from tests.train.support import ROOT
from train.command.output import KeptStream

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


@pytest.mark.parametrize(
  'deed',
  [
    lambda stdout: stdout.close(),
    lambda stdout: stdout.detach(),
    lambda stdout: stdout.reconfigure(encoding='ascii', errors='strict'),
    lambda stdout: os.close(stdout.fileno()),
  ],
)
def test_what_is_done_to_a_stream_does_not_end_the_output(tmp_path, deed):
  path = tmp_path / 'output'
  file = path.open('w', encoding='utf-8')
  stream = KeptStream(file)
  deed(stream)
  print('é \udcff', file=stream, flush=True)
  assert path.read_text(encoding='utf-8') == 'é ?\n'
  with contextlib.suppress(OSError, ValueError):
    file.close()


def test_a_sentence_that_cannot_be_written_changes_no_exit_status():
  command = f'"{sys.executable}" -m train run nothing 2>&-'
  done = subprocess.run(command, shell=True, cwd=ROOT, stdout=subprocess.PIPE)
  assert (done.returncode, done.stdout) == (2, b'')
