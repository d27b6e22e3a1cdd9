"""Checks what the wheel holds, and what importing it imports."""

import pathlib
import subprocess
import sys
import zipfile

import pytest

import lcam_optax

ROOT = pathlib.Path(__file__).parent.parent


@pytest.mark.training
def test_the_wheel_has_the_version_of_the_library_and_holds_it_alone(tmp_path):
  subprocess.run(
    [sys.executable, '-m', 'pip', 'wheel', '--no-deps', '--wheel-dir', tmp_path, ROOT],
    check=True,
    capture_output=True,
  )
  (wheel,) = tmp_path.glob('*.whl')
  names = zipfile.ZipFile(wheel).namelist()
  packages = {name.split('/')[0] for name in names if '.dist-info/' not in name}
  assert packages == {'lcam_optax'}
  assert 'lcam_optax/py.typed' in names
  assert f'lcam_optax-{lcam_optax.__version__}-' in wheel.name
  sources = {path.name for path in (ROOT / 'lcam_optax').glob('*.py')}
  assert sources == {name.split('/')[1] for name in names if name.endswith('.py')}


@pytest.mark.training
def test_importing_the_library_imports_nothing_but_jax_and_optax():
  def loaded(statement):
    code = f'{statement}; import sys; print(*sorted({{m.split(".")[0] for m in sys.modules}}))'
    done = subprocess.run(
      [sys.executable, '-c', code], check=True, capture_output=True, text=True, cwd=ROOT
    )
    return set(done.stdout.split())

  assert loaded('import lcam_optax') - loaded('import jax, optax') == {'lcam_optax'}
