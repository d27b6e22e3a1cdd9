"""What a run that goes on makes of the tables that it finds."""

import pytest

from train.problem.experiments import QUICKSTART
from train.storage.configuration import run_config
from train.storage.tables import Recorder

ROWS = {'phases': ['1,01', '2,11'], 'timing': ['1,0.5,4.00', '2,0.5,4.00'], 'metrics': ['1', '2']}


@pytest.mark.parametrize(
  ('after_the_checkpoint', 'is_kept'),
  [
    (b'', False),
    (b'3,10\n4,00\n', False),
    (b'3,10\n4,0', False),  # killed while it was written
    (b'2,11\n', True),
    (b'3,10\n3,10\n', True),
    (b'spoilt\n', True),
  ],
)
def test_rows_after_a_checkpoint_that_the_run_did_not_write_are_kept_aside(
  tmp_path, after_the_checkpoint, is_kept
):
  config = run_config(QUICKSTART, QUICKSTART.arms[0], 0, dataset='digits')
  said: list[str] = []
  Recorder(tmp_path, config, ROWS, said.append).close()
  said.clear()  # that the tables were missing
  table = tmp_path / 'phases.csv'
  whole = table.read_bytes()
  table.write_bytes(whole + after_the_checkpoint)
  Recorder(tmp_path, config, ROWS, said.append).close()
  assert table.read_bytes() == whole
  kept = tmp_path / 'phases.csv.edited-1'
  assert kept.exists() == is_kept == bool(said)
  if is_kept:
    assert kept.read_bytes() == whole + after_the_checkpoint
