"""The notebook runs from its first cell to its last, is stored without outputs, and has its pair."""

import json
import os

import jupytext
import nbclient
import nbformat
import numpy as np
import pytest

from tests.examples.support import FOLDER, columns
from tests.lcam_optax import reference

NOTEBOOK = FOLDER / 'lcam.ipynb'
SMALL = 'SEEDS, EPOCHS = 3, 2'
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


def printed(cell):
  return ''.join(output.text for output in cell.outputs if output.output_type == 'stream')


@pytest.mark.training
def test_it_draws_and_compares(executed):
  code = [cell for cell in executed.cells if cell.cell_type == 'code']
  kinds = [output.get('data', {}) for cell in code for output in cell.outputs]
  assert sum('image/png' in data for data in kinds) == 3  # a run, the digits, the user's data
  for cell in (code[-3], code[-2]):
    assert printed(cell).count('LCAM - yoked: ') == 4  # two directions, two measures
    assert printed(cell).count('LCAM - fixed ') == 4
    assert 'nan' not in printed(cell)


@pytest.mark.training
def test_its_losses_choose_its_momenta(executed):
  losses, momenta = columns(json.loads(printed(executed.cells[-1])))
  expected = reference.momenta(losses, rule='algorithm1', high=0.95, low=0.45, steps_per_epoch=168)
  assert len(expected) == 2 * 168
  assert len(set(expected)) == 2
  np.testing.assert_allclose(momenta, expected, rtol=1e-6)


def test_no_outputs_are_stored():
  for cell in nbformat.read(NOTEBOOK, as_version=4).cells:
    assert not cell.get('outputs')
    assert cell.get('execution_count') is None


def test_it_is_paired_with_markdown():
  notebook, markdown = (
    [(cell.cell_type, cell.source) for cell in jupytext.read(path).cells]
    for path in (NOTEBOOK, NOTEBOOK.with_suffix('.md'))
  )
  assert notebook == markdown
