"""What is shipped, and what it needs."""

import pathlib
import re
import subprocess
import sys
import tomllib
import zipfile

import lcam_optax

ROOT = pathlib.Path(__file__).parent.parent


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


def test_importing_the_library_imports_nothing_but_jax_and_optax():
  def loaded(statement):
    code = f'{statement}; import sys; print(*sorted({{m.split(".")[0] for m in sys.modules}}))'
    done = subprocess.run(
      [sys.executable, '-c', code], check=True, capture_output=True, text=True, cwd=ROOT
    )
    return set(done.stdout.split())

  assert loaded('import lcam_optax') - loaded('import jax, optax') == {'lcam_optax'}


def test_the_address_of_the_repository_is_the_same_everywhere():
  def found(file, pattern):
    return re.findall(pattern, (ROOT / file).read_text(), re.MULTILINE)

  urls = tomllib.loads((ROOT / 'pyproject.toml').read_text())['project'].get('urls', {})
  address = urls.get('Repository', '')
  assert found('examples/lcam.md', r"^REPOSITORY = '(.*)'") == [address]
  assert found('CITATION.cff', r'^repository-code: (.*)') == [address] * bool(address)
  # Without an address the badge opens Colab's dialog, which asks for one.
  notebook = address.removeprefix('https://github.com/') + '/blob/main/examples/lcam.ipynb'
  badge = r'\(https://colab\.research\.google\.com/github/(.*)\)'
  assert found('README.md', badge) == [notebook if address else '']
