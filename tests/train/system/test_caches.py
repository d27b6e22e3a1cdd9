"""Compiled programs are kept in the user's cache folder, and a damaged one is compiled anew."""

import os
import pathlib
import random
import subprocess
import sys

import pytest

from tests.attack.damage import WAYS
from train.system.caches import CheckedPrograms

_KEEP = """
import jax, jax.numpy as jnp
from train.system.caches import keep_compiled_programs
keep_compiled_programs()
jax.jit(lambda x: jnp.sin(x) @ x)(jnp.ones((8, 8)))
"""


def compile_something(home: pathlib.Path, **variables: str) -> str:
  """Returns what was said about it."""
  environment = {name: value for name, value in os.environ.items() if 'CACHE' not in name}
  # Where the folder is differs between systems.
  home_variables = dict.fromkeys(('HOME', 'XDG_CACHE_HOME', 'LOCALAPPDATA'), str(home))
  done = subprocess.run(
    [sys.executable, '-c', _KEEP],
    env=environment | home_variables | variables,
    check=True,
    capture_output=True,
    text=True,
  )
  return done.stdout + done.stderr


def programs_in(folder: pathlib.Path) -> set[pathlib.Path]:
  return {path for path in folder.rglob('*') if path.is_file()}


@pytest.mark.training
def test_compiled_programs_are_kept_taken_again_and_replaced_where_damaged(tmp_path):
  compile_something(tmp_path)
  kept = programs_in(tmp_path)
  assert kept
  compile_something(tmp_path)
  assert programs_in(tmp_path) == kept
  for path in kept:
    path.write_bytes(b'')
  assert compile_something(tmp_path) == ''
  assert programs_in(tmp_path) == kept
  assert all(path.stat().st_size for path in kept)


def test_a_program_of_another_name_is_not_taken(tmp_path):
  programs = CheckedPrograms(str(tmp_path))
  programs.put('one', b'a program')
  assert programs.get('one') == b'a program'
  (tmp_path / 'one').rename(tmp_path / 'other')
  assert programs.get('one') is None
  assert programs.get('other') is None


@pytest.mark.parametrize('way', WAYS)
def test_a_damaged_program_is_not_taken(tmp_path, way):
  programs = CheckedPrograms(str(tmp_path))
  programs.put('one', b'line\nof a program\n')
  way(tmp_path / 'one', random.Random(0))
  assert programs.get('one') is None
  programs.put('one', b'another')
  assert programs.get('one') in (b'another', None)  # None where there is a folder now


@pytest.mark.training
def test_nothing_is_kept_where_nothing_can_be_written(tmp_path):
  (tmp_path / 'file').write_text('')
  assert compile_something(tmp_path / 'file') == ''


@pytest.mark.training
def test_a_folder_of_the_users_comes_first(tmp_path):
  own = tmp_path / 'own'
  compile_something(
    tmp_path / 'home',
    JAX_COMPILATION_CACHE_DIR=str(own),
    JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS='0',
  )
  assert programs_in(own)
  assert not programs_in(tmp_path / 'home')
