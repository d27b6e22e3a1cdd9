"""Files of the working directory that are named like libraries replace none, or are named."""

import importlib
import os
import subprocess
import sys

import pytest

from tests.train.support import ROOT
from train.system.shadowed import explain_shadowed

NAME = 'colorsys'  # of Python's library, and used by nothing here


def test_neighbours_of_the_command_replace_no_libraries(tmp_path):
  for name in ('scipy', 'html', 'json', 'models', 'rich'):
    (tmp_path / f'{name}.py').write_text('1 / 0')
  done = subprocess.run(
    [sys.executable, '-m', 'train', 'report', 'nothing'],
    cwd=tmp_path,
    env={**os.environ, 'PYTHONPATH': str(ROOT)},
    capture_output=True,
    text=True,
  )
  assert done.returncode == 2
  assert done.stderr.startswith('nothing holds no runs')


@pytest.mark.parametrize(
  ('module', 'statement', 'words'),
  [
    ('1 / 0', f'import {NAME}', 'ZeroDivisionError: division by zero'),
    ('', f'from {NAME} import no', "ImportError: cannot import name 'no'"),
    ('', f'import {NAME}; {NAME}.no', "AttributeError: module 'colorsys' has no attribute 'no'"),
    ('', f'import {NAME}.no', "ModuleNotFoundError: No module named 'colorsys.no'"),
  ],
)
def test_a_neighbour_that_replaces_a_library_is_named(
  tmp_path, monkeypatch, capsys, module, statement, words
):
  (tmp_path / f'{NAME}.py').write_text(module)
  monkeypatch.chdir(tmp_path)
  monkeypatch.syspath_prepend(tmp_path)
  monkeypatch.delitem(sys.modules, NAME, raising=False)
  with pytest.raises((ZeroDivisionError, ImportError, AttributeError)) as raised:
    exec(statement, {})
  with pytest.raises(SystemExit) as end:
    explain_shadowed(raised.type, raised.value, raised.tb)
  assert end.value.code == 2
  sentence = capsys.readouterr().err
  assert sentence.startswith(f'{tmp_path}/{NAME}.py has the name of a library, which')
  assert words in sentence
  sys.modules.pop(NAME, None)


def test_other_errors_keep_their_traceback(tmp_path, monkeypatch, capsys):
  (tmp_path / 'mine.py').write_text('1 / 0')
  monkeypatch.chdir(tmp_path)
  monkeypatch.syspath_prepend(tmp_path)
  with pytest.raises(ZeroDivisionError) as raised:
    importlib.import_module('mine')
  explain_shadowed(raised.type, raised.value, raised.tb)
  assert 'Traceback' in capsys.readouterr().err
