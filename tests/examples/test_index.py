"""The index of the examples names each of them, and shows lines that stand in them."""

import re

from tests.examples.support import FOLDER


def rows():
  """Returns the file and the lines of code of each row of the table."""
  for line in (FOLDER / 'README.md').read_text().splitlines():
    if match := re.match(r'\|.*\]\(([\w.]+)\) \|(.*)\|$', line):
      yield match[1], re.findall(r'`([^`]+)`', match[2])


def test_each_example_is_short_and_has_a_row():
  examples = {path.name: path for path in FOLDER.glob('*.py')}
  assert {name for name, _ in rows()} == {*examples, 'lcam.ipynb'}
  for path in examples.values():
    lines = path.read_text().splitlines()
    assert len(lines) <= (140 if path.name == 'recipe.py' else 70), path.name
    assert max(map(len, lines)) <= 78, path.name


def test_the_lines_of_the_index_stand_in_the_examples():
  for name, lines in rows():
    assert lines
    text = (FOLDER / name).read_text()
    for line in lines:
      assert line in text, f'{name}: {line}'


def test_the_site_shows_each_example():
  site = FOLDER.parent / 'docs'
  text = ''.join(page.read_text() for page in site.glob('*.md'))
  for path in FOLDER.glob('*.py'):
    assert f'literalinclude}} ../examples/{path.name}' in text
