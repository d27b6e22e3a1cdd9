"""Checks that the commands of the Markdown pages are valid, and that their Python runs."""

import dataclasses
import functools
import importlib.util
import pathlib
import re
import shlex
import sys
import tomllib
from unittest import mock

import jax
import jax.numpy as jnp
import optax
import pytest
from sybil import Sybil
from sybil.parsers.myst import PythonCodeBlockParser

from examples import own_problem
from train.__main__ import main
from train.command.options import RunOptions
from train.problem.changes import changed_comparisons

ROOT = pathlib.Path(__file__).parents[1]
EXAMPLE = 'examples/own_problem.py'
PLACEHOLDERS = {
  'my_problem.py': EXAMPLE,
  'FILE.py': EXAMPLE,
  'NAME_OR_FILE': EXAMPLE,
  'HOST:PORT': 'localhost:1234',
  'DATASET': 'digits',
}


def pages():
  """Returns the paths of the Markdown files of the repository."""
  folders = ('docs', 'examples', 'results', 'studies')
  found = [*ROOT.glob('*.md'), *(path for name in folders for path in (ROOT / name).rglob('*.md'))]
  return [path.relative_to(ROOT).as_posix() for path in sorted(found)]


@functools.cache
def commands():
  """Returns each `python ...` command, and the first page that has it."""
  found = {}
  for page in pages():
    text = re.sub(r'\\\n\s*', ' ', (ROOT / page).read_text())
    fenced = re.findall(r'^```\w+\n(.*?)^```', text, re.DOTALL | re.MULTILINE)
    indented = re.findall(r'^ {4}(?=\S*python )(.*)$', text, re.MULTILINE)
    prose = re.sub(r'^```.*?^```', '', text, flags=re.DOTALL | re.MULTILINE)
    inline = re.findall(r'`([^`\n]*python [^`]*)`', prose)
    for line in '\n'.join([*fenced, *indented, *inline]).splitlines():
      match = re.search(r'python (-m .*|\S+\.py.*)', line)
      if match and '...' not in match[1]:
        found.setdefault(match[1], page)
  return found


def words(command):
  """Returns the words of a command, with existing names in place of placeholders."""
  typed = shlex.split(re.split(r'&&|[;|>)]|\s\$', command)[0], comments=True)
  return [PLACEHOLDERS.get(word, word) for word in typed]


def of_the_trainer():
  return [command for command in commands() if re.match(r'-m train\b', command)]


@pytest.mark.parametrize('command', of_the_trainer())
def test_the_trainer_understands_the_command(command, monkeypatch):
  monkeypatch.chdir(ROOT)
  monkeypatch.setattr(sys, 'argv', ['train', *words(command)[2:]])
  if words(command)[2:] in (['run'], ['report'], ['prepare']):
    pytest.skip('names the command only')
  with mock.patch('train.__main__.execute') as execute:
    main()
  if isinstance(options := execute.call_args.args[0], RunOptions):
    options.check()
    assert changed_comparisons(options.name, options.changes)


def test_modules_files_and_extras_exist():
  for command, page in commands().items():
    first, second, *_ = [*words(command), '']
    if first == '-m':
      if second != 'sphinx':  # only in the extra `docs`, which the tests do not need
        assert importlib.util.find_spec(second), f'{page}: {command}'
    else:
      assert (ROOT / first).is_file(), f'{page}: {command}'
  extras = tomllib.loads((ROOT / 'pyproject.toml').read_text())['project']['optional-dependencies']
  for page in pages():
    for named in re.findall(r'"\.\[([\w,]+)\]"', (ROOT / page).read_text()):
      assert extras.keys() >= set(named.split(',')), page


@functools.cache
def python_blocks(page):
  return list(Sybil([PythonCodeBlockParser()]).parse(ROOT / page).examples())


def reader():
  """Returns what a reader has: parameters, inputs, a batch and a loss."""
  return {
    'params': jnp.ones(3),
    'inputs': jnp.ones((8, 3)),
    'batch_size': 2,
    'batch': jnp.arange(3.0),
    'loss_fn': lambda params, batch: jnp.mean((params - batch) ** 2),
  }


@pytest.mark.parametrize(
  'example',
  [
    pytest.param(example, id=f'{page}-{example.line}')
    for page in pages()
    for example in python_blocks(page)
  ],
)
def test_the_python_of_a_page_runs(example, monkeypatch):
  # As a reader runs it, but for the number of epochs.
  short = dataclasses.replace(own_problem.comparison, epochs=1)
  monkeypatch.setattr(own_problem, 'comparison', short)
  example.namespace.clear()  # a reader copies each block alone
  example.namespace |= reader()
  if 'from models import' in example.parsed:
    # Traced only: the networks have up to 86 million parameters, and take a minute and 1 GB.
    jax.eval_shape(example.evaluate)
  else:
    example.evaluate()


@pytest.mark.parametrize('use', [1, 2, 3])
def test_each_optimizer_of_a_page_learns(use):
  (block,) = python_blocks('docs/your-framework.md')
  head, *optimizers, shared = re.split(r'\n(?=# (?:\d\.|All))', block.parsed)
  assert len(optimizers) == 3
  names = reader()
  exec('\n'.join([head, *optimizers[:use], shared]), names)  # the last optimizer is used
  assert optax.tree.get(names['opt_state'], 'high_loss_phase') == 1  # the first loss is a tie
  assert names['loss_fn'](names['params'], names['batch']) < names['loss']


@pytest.mark.parametrize('page', [page for page in pages() if '/' in page])
def test_pictures_have_a_caption_and_code_is_narrow(page):
  text = (ROOT / page).read_text()
  for picture, below in re.findall(r'^(!\[.*)\n(.*)', text, re.MULTILINE):
    assert below.startswith('*'), (
      f'{picture}: the site takes emphasized text below it as its caption'
    )
  if page.startswith(('docs/', 'examples/')):
    code = re.findall(r'^```\{?\w+.*\n(?:---\n.*?---\n)?(.*?)^```', text, re.DOTALL | re.MULTILINE)
    code = [block for block in code if not block.startswith(('.. ', ':caption:'))]
    code += re.findall(
      r'^ {4}(.*)$', re.sub(r'^```.*?^```', '', text, flags=re.DOTALL | re.MULTILINE), re.MULTILINE
    )
    assert max((len(line) for block in code for line in block.splitlines()), default=0) <= 78


def test_commands_and_python_are_found():
  assert len(of_the_trainer()) > 15
  assert set(commands().values()) >= {'README.md', 'docs/clusters.md', 'docs/many-devices.md'}
  assert {page for page in pages() if python_blocks(page)} >= {
    'README.md',
    'docs/re-running-the-paper.md',
    'docs/your-framework.md',
  }
