"""The first signal saves a run, the second ends it, and the exit status names the signal."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from train.system.signals import (
  InterruptedRunError,
  Interrupts,
  StoppedAtOnceError,
  request_stop,
  resend_swallowed_signal,
)


def send(number):
  os.kill(os.getpid(), number)
  time.sleep(0)  # Python runs handlers between two of its steps


@pytest.mark.parametrize('first', [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize('second', [signal.SIGINT, signal.SIGTERM])
def test_the_second_signal_ends_with_its_own_status(first, second):
  with Interrupts() as interrupts:
    send(first)
    with pytest.raises(InterruptedRunError) as stopped:
      interrupts.leave_if_requested('here')
    assert stopped.value.exit_status == 128 + first
    with pytest.raises(StoppedAtOnceError) as at_once:
      send(second)
    assert at_once.value.exit_status == 128 + second


def test_a_signal_that_a_callback_swallows_comes_again(monkeypatch):
  monkeypatch.setattr(sys, 'unraisablehook', resend_swallowed_signal)

  class Swallowing:
    def __del__(self):
      raise StoppedAtOnceError(signal.SIGTERM)

  def collect():
    Swallowing()
    time.sleep(60)

  with Interrupts() as interrupts:
    interrupts.requested = signal.SIGTERM
    with pytest.raises(StoppedAtOnceError) as stopped:
      collect()
  assert stopped.value.exit_status == 128 + signal.SIGTERM


def test_what_stops_a_run_besides_signals():
  assert not request_stop(signal.SIGPIPE)
  with Interrupts() as interrupts:
    assert request_stop(signal.SIGPIPE)
    request_stop(signal.SIGPIPE)  # again changes nothing
    assert interrupts.requested == signal.SIGPIPE


# A shell starts what runs in the background with Ctrl-C ignored.
LISTEN_AND_LIST = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.execv(sys.executable, [sys.executable, '-m', 'train', 'list', 'digits'])
"""


@pytest.mark.skipif(not sys.platform.startswith('linux'), reason='looks into /proc')
@pytest.mark.parametrize('library', ['numpy', 'jaxlib', 'scipy'])
def test_ctrl_c_while_the_program_imports_leaves_no_traceback(library):
  process = subprocess.Popen(
    [sys.executable, '-c', LISTEN_AND_LIST],
    stdout=subprocess.DEVNULL,
    stderr=subprocess.PIPE,
    text=True,
  )
  mapped = pathlib.Path(f'/proc/{process.pid}/maps')
  while library not in mapped.read_text() and process.poll() is None:
    time.sleep(0.01)
  process.send_signal(signal.SIGINT)
  _, errors = process.communicate()
  assert process.returncode in (-signal.SIGINT, 128 + signal.SIGINT)
  assert len(errors.splitlines()) <= 1
