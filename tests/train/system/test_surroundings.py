"""What the user's code takes away from its process comes back."""

import os
import sys

import pytest

from train.system.errors import UserError
from train.system.surroundings import check_working_directory, kept_surroundings


def test_the_search_path_keeps_its_folders_and_gets_those_of_the_code(monkeypatch):
  monkeypatch.setattr(sys, 'path', ['one', 'two'])
  with kept_surroundings(['beside', 'two']):
    assert sys.path == ['one', 'two', 'beside']
    sys.path = ['new', 'two']
  assert sys.path == ['new', 'two', 'one']


def test_a_working_directory_that_is_gone_is_refused(tmp_path, monkeypatch):
  (gone := tmp_path / 'gone').mkdir()
  monkeypatch.chdir(gone)
  with pytest.raises(UserError, match='working directory is gone'), kept_surroundings([]):
    gone.rmdir()
  with pytest.raises(UserError, match='working directory is gone'):
    check_working_directory()


def test_no_file_gets_the_number_of_a_closed_stream(tmp_path):
  kept = os.dup(0)
  try:
    with kept_surroundings([]):
      os.close(0)
    with open(tmp_path / 'table', 'w') as file:
      assert file.fileno() > 2
  finally:
    os.dup2(kept, 0)
    os.close(kept)
