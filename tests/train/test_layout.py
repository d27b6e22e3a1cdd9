"""The packages of the trainer import only what stands below them."""

import ast
import pathlib

import train

ORDER = (
  *('command', 'launch', 'reports', 'training'),
  *('storage', 'problem', 'data', 'system'),
)
FOLDER = pathlib.Path(train.__file__).parent


def test_packages_import_only_downwards():
  upward = []
  for path in FOLDER.glob('*/*.py'):
    package = path.parent.name
    for node in ast.walk(ast.parse(path.read_text())):
      if isinstance(node, ast.ImportFrom) and (node.module or '').startswith('train'):
        parts = [*node.module.split('.'), node.names[0].name]
        if parts[1] not in ORDER or ORDER.index(parts[1]) < ORDER.index(package):
          upward.append(f'{package}/{path.name} imports {".".join(parts)}')
  assert not upward
  assert {path.parent.name for path in FOLDER.glob('*/__init__.py')} == set(ORDER)
