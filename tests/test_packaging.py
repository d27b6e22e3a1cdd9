"""Checks what is published: its files, what it imports, its installation, and its address."""

import pathlib
import shutil
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


@pytest.mark.slow
def test_wheel_and_sdist_work_where_nothing_else_is_installed(tmp_path):
  def run(*words):
    done = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr

  run(sys.executable, '-m', 'venv', 'builder')
  run('builder/bin/pip', 'install', 'build')
  run('builder/bin/python', '-m', 'build', '--outdir', 'dist', ROOT)
  packages = sorted((tmp_path / 'dist').iterdir())
  assert [package.suffix for package in packages] == ['.whl', '.gz']
  for package in packages:
    run(sys.executable, '-m', 'venv', '--clear', 'venv')
    run('venv/bin/pip', 'install', package, 'pytest')
    options = ('--noconftest', '--import-mode=importlib', '--override-ini=addopts=')
    run('venv/bin/python', '-m', 'pytest', *options, ROOT / 'tests' / 'installed')


def test_one_command_fills_in_the_address_of_the_repository(tmp_path):
  files = ['pyproject.toml', 'README.md', 'CITATION.cff', 'examples/lcam.ipynb', 'examples/lcam.md']
  files += ['docs/installation.md', '.ci/address']
  before = {name: (ROOT / name).read_text() for name in files}
  for name in files:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    shutil.copy(ROOT / name, tmp_path / name)
  for command in (['git', 'init', '-q'], ['git', 'add', '.'], ['.ci/address', 'some.one/its-name']):
    subprocess.run(command, check=True, cwd=tmp_path)
  for name in files[:-1]:
    text = (tmp_path / name).read_text()
    assert text != before[name]
    assert 'OWNER/lcam-optax' not in text
  text = (tmp_path / 'pyproject.toml').read_text()
  assert 'Repository = "https://github.com/some.one/its-name"' in text
  assert 'Documentation = "https://some.one.github.io/its-name"' in text
