"""What is on disk of a run is what the run wrote, or the user is told and nothing is lost."""

import hashlib
import json
import pathlib
import shutil

import jax.numpy as jnp
import numpy as np
import pytest

from tests.train.reports.support import printed_report
from tests.train.support import ALONE, LCAM, YOKED, run_command, tables, write_problem
from train.storage.checkpoints import Checkpoints
from train.storage.tables import SUMS, has_ended, read_phases
from train.system.devices import ONE_DEVICE
from train.system.errors import UserError

pytestmark = pytest.mark.training
EPOCHS = 3


@pytest.fixture(scope='module')
def undisturbed(tmp_path_factory):
  """Returns the file of a small problem, and the directory of its finished runs."""
  folder = tmp_path_factory.mktemp('problem')
  path = write_problem(folder, EPOCHS)
  run_command('run', path, *ALONE, '--workdir', folder / 'runs')
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
    pytest.skip('is a run that has not ended')
  if name == 'config.json' and damage is change_a_digit:
    path.write_text(path.read_text().replace('"epochs": 3', '"epochs": 2'))
  elif name == SUMS and damage is change_a_digit:
    path.write_text(path.read_text().replace('0', '1', 1))
  else:
    damage(path)
  with pytest.raises(UserError, match='run the experiment again') as raised:
    printed_report(workdir)
  assert str(workdir / LCAM / 'seed-1') in str(raised.value)


@pytest.mark.parametrize('name', ['metrics.csv', 'phases.csv', 'timing.csv', 'config.json', SUMS])
def test_a_run_refuses_and_keeps_what_was_edited(problem, workdir, refused, name):
  path = workdir / LCAM / 'seed-0' / name
  repeat_a_row(path)
  before = {file: file.read_bytes() for file in path.parent.rglob('*') if file.is_file()}
  for seeds in ((0, 1), (0,), (2,)):
    message = refused(
      'run', problem, *ALONE, '--workdir', workdir, '--arms', LCAM, '--seeds', *seeds
    )
    assert f'{path}: not what the run wrote' in message
  assert before == {file: file.read_bytes() for file in path.parent.rglob('*') if file.is_file()}


@pytest.mark.parametrize(
  ('name', 'with_checkpoints'),
  [
    *((name, True) for name in ('metrics.csv', 'phases.csv', 'timing.csv', 'config.json', SUMS)),
    ('metrics.csv', False),
    *(
      pytest.param(name, False, marks=pytest.mark.slow)
      for name in ('phases.csv', 'timing.csv', 'config.json', SUMS)
    ),
  ],
)
def test_what_the_user_deletes_is_written_anew(
  problem, workdir, expected, refused, name, with_checkpoints
):
  run = workdir / LCAM / 'seed-0'
  repeat_a_row(run / name)
  arguments = ('run', problem, *ALONE, '--workdir', workdir, '--arms', LCAM, '--seeds', 0)
  message = refused(*arguments)
  deleted = message.partition('delete ')[2].partition(', then')[0].split(' and ')
  assert set(deleted) == {str(run / name), str(run / SUMS)}
  for path in deleted:
    pathlib.Path(path).unlink()
  if not with_checkpoints:
    shutil.rmtree(run / 'checkpoints')
  run_command(*arguments)
  assert tables(workdir) == expected
  assert has_ended(run)


def test_the_digests_are_those_of_sha256sum(workdir):
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
  message = refused('run', problem, *ALONE, '--workdir', workdir, '--arms', YOKED)
  assert 'phases.csv: not what the run wrote' in message


def test_without_its_configuration_a_run_goes_on_as_what_it_was(
  problem, workdir, expected, refused
):
  run = workdir / LCAM / 'seed-0'
  shutil.rmtree(workdir / YOKED)
  shutil.rmtree(workdir / LCAM / 'seed-1')
  (run / 'config.json').unlink()
  (run / SUMS).unlink()
  arguments = ('run', problem, *ALONE, '--workdir', workdir, '--arms', LCAM, '--seeds', 0)
  for _ in range(2):
    message = refused(*arguments, '--learning-rate', 0.5)
    assert 'schedule.init_value was 0.1, is 0.5' in message
  run_command(*arguments)
  found = tables(workdir)
  assert found
  assert found.items() <= expected.items()
  assert json.loads((run / 'config.json').read_text())['seed'] == 0


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
