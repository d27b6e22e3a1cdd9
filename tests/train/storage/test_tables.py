"""When the tables of a run are written anew, and when the run has ended."""

import math

import pytest

from train.problem.experiments import DIGITS
from train.storage.configuration import run_config
from train.storage.tables import SUMS, EpochRecord, Recorder, has_ended
from train.system.environment import read_environment
from train.system.errors import UserError

CONFIG = {**run_config(DIGITS, DIGITS.arms[0], 0, dataset='digits'), 'epochs': 3}
TABLES = ('phases.csv', 'timing.csv', 'metrics.csv')


def write(recorder, epoch, train_loss=2.5):
  recorder.write(EpochRecord(epoch, train_loss, 2.5, 5.0, 0.1, 0.5, 0.9, 1.0), (0, 1), 0.5, 2)


@pytest.fixture
def rows(tmp_path):
  """Returns the rows of two epochs of a run, whose tables hold them."""
  recorder = Recorder(tmp_path, CONFIG, {}, {})
  for epoch in (1, 2):
    write(recorder, epoch)
  recorder.close()
  return recorder.rows


@pytest.mark.parametrize(
  'after_the_checkpoint', [b'', b'3,10\n4,00\n', b'3,10\n4,0', b'2,11\n', b'spoilt\n', None]
)
def test_tables_of_a_run_that_goes_on_are_those_of_its_checkpoint(
  tmp_path, rows, after_the_checkpoint
):
  whole = {name: (tmp_path / name).read_bytes() for name in TABLES}
  for name in TABLES:
    if after_the_checkpoint is None:
      (tmp_path / name).unlink()
    else:
      (tmp_path / name).write_bytes(whole[name] + after_the_checkpoint)
  Recorder(tmp_path, CONFIG, rows, {}).close()
  assert {name: (tmp_path / name).read_bytes() for name in TABLES} == whole
  assert not has_ended(tmp_path)


@pytest.mark.parametrize('train_loss', [2.5, math.nan])
@pytest.mark.parametrize('number', range(3))
def test_a_run_that_is_killed_while_it_ends_goes_on(
  tmp_path, rows, number, train_loss, monkeypatch
):
  whole = {name: (tmp_path / name).read_bytes() for name in TABLES}
  recorder = Recorder(tmp_path, CONFIG, rows, {})
  recorder.rows = {table: list(of_table) for table, of_table in rows.items()}
  # After the last row of each table; after the digests it has ended.
  with monkeypatch.context() as patch:
    patch.setattr('train.storage.tables.TABLES', ('phases', 'timing', 'metrics')[: number + 1])
    patch.setattr(Recorder, '_write_sums', lambda self: None)
    write(recorder, 3, train_loss)
  recorder.close()
  assert not has_ended(tmp_path)
  recorder = Recorder(tmp_path, CONFIG, rows, {})
  assert {name: (tmp_path / name).read_bytes() for name in TABLES} == whole
  write(recorder, 3, train_loss)
  recorder.close()
  assert has_ended(tmp_path)


def test_a_run_that_goes_on_from_its_last_epoch_ends(tmp_path, rows):
  recorder = Recorder(tmp_path, CONFIG, rows, {})
  write(recorder, 3)
  recorder.close()
  sums = (tmp_path / SUMS).read_bytes()
  for name in (*TABLES, SUMS):
    (tmp_path / name).unlink()
  Recorder(tmp_path, CONFIG, recorder.rows, {}).close()
  assert (tmp_path / SUMS).read_bytes() == sums
  assert has_ended(tmp_path)


def test_digests_are_of_what_the_run_wrote(tmp_path, rows):
  recorder = Recorder(tmp_path, CONFIG, rows, {})
  path = tmp_path / 'metrics.csv'
  path.write_bytes(path.read_bytes().replace(b'2.5', b'1.5'))
  write(recorder, 3)
  recorder.close()
  with pytest.raises(UserError, match=r'metrics\.csv: not what the run wrote'):
    has_ended(tmp_path)


def test_an_earlier_environment_of_a_resumed_run_is_kept(tmp_path, rows):
  for devices, earlier in ((1, []), (1, []), (2, [1]), (2, [1])):
    Recorder(tmp_path, CONFIG, rows if earlier else {}, {'devices_used': devices}).close()
    made = read_environment(tmp_path)
    assert made['devices_used'] == devices
    assert [was['devices_used'] for was in made.get('earlier', [])] == earlier
  Recorder(tmp_path, CONFIG, {}, {'devices_used': 2}).close()
  assert 'earlier' not in read_environment(tmp_path)
