"""The notebook runs from its first cell to its last, is stored with outputs, and has its pair."""

import csv
import json
import os
import re

import jupytext
import nbclient
import nbformat
import numpy as np
import pytest

from tests.examples.support import FOLDER, columns
from tests.lcam_optax import reference

NOTEBOOK = FOLDER / 'lcam.ipynb'
ARMS = {
  'fixed': 'fixed-0.475',
  'high in low': 'low0.95-high0',
  'high in low, yoked': 'yoked0.95-0',
  'high in high': 'low0-high0.95',
  'high in high, yoked': 'yoked0-0.95',
}
SMALL = 'SEEDS, EPOCHS = 3, 1'
ONE_RUN = """
import json
print(json.dumps(list(zip(runs['losses'][0].tolist(), runs['momenta'][0].tolist()))))
"""


@pytest.fixture(scope='module')
def executed():
  # Compiled with less care, which is faster for runs as short as these.
  environment = os.environ | {'XLA_FLAGS': '--xla_backend_optimization_level=0'}
  notebook = nbformat.read(NOTEBOOK, as_version=4)
  settings = next(
    place
    for place, cell in enumerate(notebook.cells)
    if 'parameters' in cell.metadata.get('tags', [])
  )
  notebook.cells.insert(settings + 1, nbformat.v4.new_code_cell(SMALL))
  notebook.cells.append(nbformat.v4.new_code_cell(ONE_RUN))
  client = nbclient.NotebookClient(
    notebook, timeout=300, resources={'metadata': {'path': str(FOLDER)}}
  )
  return client.execute(env=environment)


def stored():
  return nbformat.read(NOTEBOOK, as_version=4)


def printed(cell):
  return ''.join(output.text for output in cell.outputs if output.get('name') == 'stdout')


@pytest.mark.training
@pytest.mark.slow
def test_it_draws_and_compares(executed):
  code = [cell for cell in executed.cells if cell.cell_type == 'code']
  kinds = [output.get('data', {}) for cell in code for output in cell.outputs]
  assert sum('image/png' in data for data in kinds) == 3  # a run, the digits, the user's data
  for cell in (code[-4], code[-3]):
    assert printed(cell).count(' error ') == 5  # fixed, two directions, their yoked runs
    assert printed(cell).count('shown') == 4
    assert 'nan' not in printed(cell)
  assert 'fixed-0.475: ' in printed(code[-2])  # by the trainer


@pytest.mark.training
@pytest.mark.slow
def test_its_losses_choose_its_momenta(executed):
  losses, momenta = columns(json.loads(printed(executed.cells[-1])))
  expected = reference.momenta(losses, rule='algorithm1', high=0.0, low=0.95, steps_per_epoch=500)
  assert len(expected) == 500
  assert len(set(expected)) == 2
  np.testing.assert_allclose(momenta, expected, rtol=1e-6)


def test_its_outputs_are_stored_and_small():
  code = [cell for cell in stored().cells if cell.cell_type == 'code']
  assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
  outputs = [output for cell in code for output in cell.outputs]
  assert {output.output_type for output in outputs} == {'stream', 'display_data'}
  pictures = [output.data['image/png'] for output in outputs if 'data' in output]
  assert len(pictures) == 3
  assert max(map(len, pictures)) < 50_000


def test_its_stored_errors_agree_with_the_results():
  text = ''.join(printed(cell) for cell in stored().cells if cell.cell_type == 'code')
  found = re.findall(r'^(.*?) +error ([\d.]+) ± ([\d.]+) %$', text, re.MULTILINE)[:5]
  with (FOLDER.parent / 'results' / 'noisy-digits' / 'report.csv').open() as file:
    rows = {row['arm']: row for row in csv.DictReader(file)}
  for name, error, half_width in found:
    row = rows[ARMS[name]]
    allowed = 1.5 * (float(half_width) + float(row['test_error_half_width']))
    assert abs(float(error) - float(row['test_error_percent'])) < allowed, name


def test_it_is_paired_with_markdown():
  notebook, markdown = (
    [(cell.cell_type, cell.source) for cell in jupytext.read(path).cells]
    for path in (NOTEBOOK, NOTEBOOK.with_suffix('.md'))
  )
  assert notebook == markdown
