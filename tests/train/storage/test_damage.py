"""What is on disk of a run is what the run wrote, or the user is told and nothing is lost."""

import json
import shutil

import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest

from tests.train.reports.support import report_text
from tests.train.support import LCAM, YOKED, run_command, start, tables, write_problem
from train.storage import locks
from train.storage.checkpoints import Checkpoints
from train.storage.locks import check_sole_writer, sole_writer_of
from train.storage.tables import SUMS, has_ended, read_phases
from train.system.devices import ONE_DEVICE
from train.system.errors import StorageError, UserError

EPOCHS = 3


@pytest.fixture(scope='module')
def undisturbed(tmp_path_factory):
  """Returns the file of a small problem, and the directory of its finished runs."""
  folder = tmp_path_factory.mktemp('problem')
  path = write_problem(folder, EPOCHS)
  run_command('run', path, '--workdir', folder / 'runs')
  return path, folder / 'runs'


@pytest.fixture
def problem(undisturbed):
  return undisturbed[0]


@pytest.fixture
def expected(undisturbed):
  return tables(undisturbed[1])


@pytest.fixture
def workdir(undisturbed, tmp_path):
  """Returns a copy of the finished runs."""
  return shutil.copytree(undisturbed[1], tmp_path / 'runs')


def change_a_digit(path):
  text = path.read_text()
  path.write_text(text[:-3] + str((int(text[-3]) + 1) % 10) + text[-2:])


def repeat_a_row(path):
  path.write_text(path.read_text() + path.read_text().splitlines()[-1] + '\n')


def cut(path):
  path.write_bytes(path.read_bytes()[:-4])


def remove(path):
  path.unlink()


@pytest.mark.parametrize('name', ['metrics.csv', 'phases.csv', 'timing.csv', 'config.json', SUMS])
@pytest.mark.parametrize('damage', [change_a_digit, repeat_a_row, cut, remove])
def test_a_report_refuses_what_the_run_did_not_write(workdir, name, damage):
  path = workdir / LCAM / 'seed-1' / name
  if name == SUMS and damage is remove:
    pytest.skip('is a run of an earlier version, which has no digests')
  if name == 'config.json' and damage is change_a_digit:
    path.write_text(path.read_text().replace('"epochs": 3', '"epochs": 2'))
  elif name == SUMS and damage is change_a_digit:
    path.write_text(path.read_text().replace('0', '1', 1))
  else:
    damage(path)
  with pytest.raises(UserError, match='run the experiment again') as raised:
    report_text(workdir)
  assert str(workdir / LCAM / 'seed-1') in str(raised.value)


def test_the_run_again_mends_all_tables_and_keeps_what_was_edited(problem, workdir, expected):
  damages = {
    (LCAM, 0, 'metrics.csv'): change_a_digit,
    (LCAM, 0, 'timing.csv'): remove,
    (LCAM, 1, 'phases.csv'): change_a_digit,
    (YOKED, 0, 'metrics.csv'): cut,
    (YOKED, 0, SUMS): cut,
    (YOKED, 1, 'timing.csv'): repeat_a_row,
    (YOKED, 1, 'metrics.csv'): remove,
  }
  edited = {}
  for (arm, seed, name), damage in damages.items():
    path = workdir / arm / f'seed-{seed}' / name
    damage(path)
    edited[path] = path.read_bytes() if path.exists() else None
  output = run_command('run', problem, '--workdir', workdir)
  assert tables(workdir) == expected
  assert 'Traceback' not in output
  for (arm, seed, name), damage in damages.items():
    path = workdir / arm / f'seed-{seed}' / name
    if damage in (change_a_digit, repeat_a_row):
      assert path.with_name(f'{name}.edited-1').read_bytes() == edited[path]
      assert f'{path} is not what the checkpoint holds' in output
      assert str(path) in (path.parent / 'warnings.log').read_text()
  assert all(has_ended(workdir / arm / f'seed-{seed}', EPOCHS) for arm, seed, _ in damages)
  assert 'finished before' in run_command('run', problem, '--workdir', workdir)


def test_a_finished_run_without_checkpoints_is_trained_again_and_its_files_kept(
  problem, workdir, expected
):
  run = workdir / LCAM / 'seed-0'
  shutil.rmtree(run / 'checkpoints')
  change_a_digit(run / 'metrics.csv')
  edited = (run / 'metrics.csv').read_bytes()
  run_command('run', problem, '--workdir', workdir)
  assert tables(workdir) == expected
  assert (run / 'metrics.csv.edited-1').read_bytes() == edited


def test_timing_that_is_missing_of_a_run_without_digests_is_written_again(problem, workdir):
  run = workdir / LCAM / 'seed-0'
  for name in ('timing.csv', SUMS):
    (run / name).unlink()
  with pytest.raises(UserError, match=r'timing.csv cannot be read .*: run the experiment again'):
    report_text(workdir)
  run_command('run', problem, '--workdir', workdir)
  assert LCAM in report_text(workdir)


def test_the_digests_are_those_of_sha256sum(workdir):
  import hashlib

  run = workdir / LCAM / 'seed-0'
  lines = (run / SUMS).read_text().splitlines()
  for line in lines:
    digest, name = line.split('  ')
    assert hashlib.sha256((run / name).read_bytes()).hexdigest() == digest
  assert len(lines) == 4


def test_phases_that_were_edited_are_not_replayed(problem, workdir, refused):
  change_a_digit(workdir / LCAM / 'seed-1' / 'phases.csv')
  with pytest.raises(UserError, match=r'phases\.csv: not what the run wrote'):
    read_phases(workdir / LCAM / 'seed-1', EPOCHS)
  shutil.rmtree(workdir / YOKED)
  message = refused('run', problem, '--workdir', workdir, '--arms', YOKED)
  assert 'phases.csv: not what the run wrote' in message


def test_without_its_configuration_a_run_goes_on_as_what_it_was(
  problem, workdir, expected, refused
):
  run = workdir / LCAM / 'seed-0'
  shutil.rmtree(workdir / YOKED)
  shutil.rmtree(workdir / LCAM / 'seed-1')
  (run / 'config.json').unlink()
  arguments = ('run', problem, '--workdir', workdir, '--arms', LCAM, '--seeds', 0)
  for _ in range(2):
    message = refused(*arguments, '--learning-rate', 0.5)
    assert 'schedule.init_value was 0.1, is 0.5' in message
  run_command(*arguments)
  found = tables(workdir)
  assert found
  assert found.items() <= expected.items()
  assert json.loads((run / 'config.json').read_text())['seed'] == 0


def edit_a_setting(path):
  path.write_text(path.read_text().replace('"batch_size": 8', '"batch_size": 9'))


@pytest.mark.parametrize('damage', [edit_a_setting, cut])
def test_an_edited_configuration_of_a_finished_run_is_mended(problem, workdir, expected, damage):
  path = workdir / LCAM / 'seed-0' / 'config.json'
  whole = path.read_bytes()
  damage(path)
  with pytest.raises(UserError, match=r'config\.json: not what the run wrote'):
    report_text(workdir)
  run_command('run', problem, '--workdir', workdir)
  assert path.read_bytes() == whole
  assert path.with_name('config.json.edited-1').exists()
  assert tables(workdir) == expected


STATE = {'weights': np.arange(12, dtype=np.float32).reshape(3, 4), 'steps': np.int32(7)}
NOTES = {'epoch': 1, 'rows': {'metrics': ['1,2.5,0.125']}}


def accept(step, notes):
  """Finds nothing wrong with notes."""


@pytest.fixture
def open_checkpoints(tmp_path):
  """Returns a function that opens a directory of checkpoints, and what was warned of."""
  opened, warnings = [], []

  def open_one():
    opened.append(Checkpoints(tmp_path / 'checkpoints', warnings.append, ONE_DEVICE))
    return opened[-1], warnings

  yield open_one
  for checkpoints in opened:
    checkpoints.close()


@pytest.fixture
def saved(open_checkpoints, tmp_path):
  """Returns a directory with the checkpoints 4 and 8, whose states and notes differ."""
  checkpoints, _ = open_checkpoints()
  for step in (4, 8):
    state = {'weights': jnp.asarray(STATE['weights'] + step), 'steps': jnp.asarray(step)}
    checkpoints.save(step, state, {**NOTES, 'epoch': step})
    checkpoints.close()
    checkpoints, _ = open_checkpoints()
  return tmp_path / 'checkpoints'


def restored_step(open_checkpoints):
  checkpoints, warnings = open_checkpoints()
  template = {'weights': jnp.zeros((3, 4)), 'steps': jnp.zeros((), jnp.int32)}
  state, notes = checkpoints.restore(template, accept)
  assert notes == {**NOTES, 'epoch': int(state['steps'])}
  np.testing.assert_array_equal(state['weights'], STATE['weights'] + notes['epoch'])
  return notes['epoch'], warnings


def test_what_happens_after_a_save_is_not_part_of_it(open_checkpoints):
  checkpoints, warnings = open_checkpoints()
  for step in range(1, 6):  # which are written in the background
    state = {'weights': jnp.asarray(STATE['weights'] + step), 'steps': jnp.asarray(step)}
    rows = {'metrics': list(NOTES['rows']['metrics'])}
    checkpoints.save(step, state, {'epoch': step, 'rows': rows})
    rows['metrics'].append('2,2.25,0.1')
  checkpoints.close()
  assert restored_step(open_checkpoints) == (5, [])
  assert warnings == []


def test_no_bit_of_the_notes_changes_unnoticed(open_checkpoints, saved):
  path = saved / '8' / 'notes' / 'metadata'
  whole = path.read_bytes()
  draw = np.random.default_rng(0)
  for position in draw.choice(len(whole), 25, replace=False):
    flipped = bytearray(whole)
    flipped[position] ^= 1 << draw.integers(8)
    path.write_bytes(flipped)
    step, warnings = restored_step(open_checkpoints)
    assert step == 4
    assert str(saved / '8') in warnings[-1]
    assert not (saved / '8').exists()
    kept = max(saved.glob('damaged-8-*'), key=lambda folder: int(folder.name.rpartition('-')[2]))
    kept.rename(saved / '8')


@pytest.mark.parametrize('names', [('8', '9'), ('8', '7')])
def test_a_checkpoint_under_another_name_is_not_used(open_checkpoints, saved, names):
  before, after = names
  (saved / before).rename(saved / after)
  step, warnings = restored_step(open_checkpoints)
  assert step == 4
  assert f'{after} is damaged and not used: its checksum is wrong' in warnings[-1]


def test_notes_that_do_not_fit_are_not_used(open_checkpoints, saved):
  checkpoints, warnings = open_checkpoints()

  def refuse_the_newest(step, notes):
    if step == 8:
      raise ValueError('its notes lack rows')

  template = {'weights': jnp.zeros((3, 4)), 'steps': jnp.zeros((), jnp.int32)}
  _, notes = checkpoints.restore(template, refuse_the_newest)
  assert notes['epoch'] == 4
  assert warnings == [f'{saved / "8"} is damaged and not used: its notes lack rows']


def test_checkpoints_from_before_notes_had_a_checksum_are_used(open_checkpoints, tmp_path):
  import zlib

  # In the order of a pytree's leaves.
  leaves = [np.asarray(8, np.int32), STATE['weights'] + 8]
  checksum = zlib.crc32(leaves[0].tobytes() + leaves[1].tobytes())
  manager = ocp.CheckpointManager(tmp_path / 'checkpoints')
  notes = {**NOTES, 'epoch': 8, 'checksum': checksum}
  items = {'leaves': ocp.args.StandardSave(leaves), 'notes': ocp.args.JsonSave(notes)}
  manager.save(8, args=ocp.args.Composite(**items))
  manager.close()
  step, warnings = restored_step(open_checkpoints)
  assert (step, warnings) == (8, [])


def test_a_lock_that_was_removed_lets_no_second_process_in(problem, tmp_path):
  for seed in (0, 1):
    (tmp_path / f'runs/{LCAM}/seed-{seed}').mkdir(parents=True)
  run, other = sorted(tmp_path.glob('runs/*/*'))
  with sole_writer_of(run), sole_writer_of(other):
    for name in (run, other):
      remove_lock(name)
    second = start(problem, '--arms', LCAM, '--workdir', tmp_path / 'runs')
    _, errors = second.communicate(timeout=120)
  assert second.returncode == 2
  assert 'Another process is running in' in errors
  assert not list(tmp_path.rglob('metrics.csv'))


def test_of_a_later_version_nothing_is_used(open_checkpoints, saved):
  for name in ('4', '8'):
    path = saved / name / 'notes' / 'metadata'
    path.write_text(path.read_text().replace('"format": 2', '"format": 3'))
  checkpoints, warnings = open_checkpoints()
  template = {'weights': jnp.zeros((3, 4)), 'steps': jnp.zeros((), jnp.int32)}
  with pytest.raises(UserError, match='No checkpoint in'):
    checkpoints.restore(template, accept)
  assert 'its format is 3, which this version does not know' in warnings[0]


def remove_lock(run):
  (run / '.lock').unlink()


@pytest.mark.parametrize('remove', [remove_lock, shutil.rmtree])
def test_a_lock_that_was_removed_is_noticed(tmp_path, remove, monkeypatch):
  # As on a file system that cannot lock folders.
  monkeypatch.setattr(locks, '_lock_folder', lambda descriptor: True)
  run = tmp_path / 'seed-0'
  run.mkdir()
  with sole_writer_of(run) as lock:
    check_sole_writer(run, lock)
    remove(run)
    with pytest.raises(StorageError, match='removed or replaced'):
      check_sole_writer(run, lock)
    run.mkdir(exist_ok=True)
    with sole_writer_of(run) as second:
      check_sole_writer(run, second)
      with pytest.raises(StorageError, match='another one may write there'):
        check_sole_writer(run, lock)
