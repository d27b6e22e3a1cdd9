"""Large batches keep the memory of their buffers while the machine has enough of it."""

import ctypes
import pathlib
import platform

import pytest

from train.training import memory


class Library:
  """Notes what is asked of the C library."""

  def __init__(self):
    self.asked = []

  def mallopt(self, parameter, value):
    self.asked.append((parameter, value))

  def malloc_trim(self, padding):
    self.asked.append('trim')


@pytest.fixture
def library(monkeypatch):
  library = Library()
  monkeypatch.setattr(ctypes, 'CDLL', lambda name: library)
  monkeypatch.setattr(platform, 'libc_ver', lambda: ('glibc', '2.36'))
  return library


@pytest.mark.parametrize(('elements', 'keeps'), [(10_000, False), (1_000_000, True)])
def test_large_batches_keep_their_buffers(library, elements, keeps):
  memory.KeptBuffers(elements)
  assert bool(library.asked) == keeps


@pytest.mark.parametrize(('available', 'given_back'), [(0.2, 1), (0.3, 0)])
def test_buffers_are_given_back_once_when_memory_is_scarce(
  library, monkeypatch, available, given_back
):
  monkeypatch.setattr(memory, '_available_share', lambda: available)
  buffers = memory.KeptBuffers(1_000_000)
  for _ in range(3):
    buffers.give_back_if_scarce()
  assert library.asked.count('trim') == given_back


@pytest.mark.skipif(not pathlib.Path('/proc/meminfo').exists(), reason='there is no /proc/meminfo')
def test_a_part_of_the_memory_is_available():
  assert 0 < memory._available_share() < 1


def test_other_c_libraries_are_left_alone(monkeypatch):
  monkeypatch.setattr(platform, 'libc_ver', lambda: ('', ''))
  monkeypatch.setattr(ctypes, 'CDLL', lambda name: pytest.fail('no mallopt there'))
  memory.KeptBuffers(1_000_000).give_back_if_scarce()
