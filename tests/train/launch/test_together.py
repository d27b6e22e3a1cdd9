"""Commands that train many runs at once: what they write, and how they go on."""

import itertools
import json
import shutil
import signal

import pytest

from tests.train.support import (
  LCAM,
  YOKED,
  run_command,
  start,
  tables,
  wait_until,
  write_problem,
)
from train.storage.tables import SUMS, has_ended, run_directory

pytestmark = pytest.mark.training
EPOCHS = 3
FOUR = ('--together', 4)
# Saved within epochs, too.
OFTEN = ('--checkpoint-minutes', 1e-9)


@pytest.fixture(scope='module')
def problem(tmp_path_factory):
  """Returns the file of a small problem, and the tables of six seeds trained four at once."""
  folder = tmp_path_factory.mktemp('problem')
  path = write_problem(folder, EPOCHS)
  run_command('run', path, *FOUR, '--seeds', '0-5', '--workdir', folder / 'runs')
  return path, tables(folder / 'runs')


def groups(workdir):
  """Returns the checkpoints of each group, by its folder."""
  return {
    folder.parent: [path for path in folder.glob('*') if path.name.isdigit()]
    for folder in workdir.glob('together/*/checkpoints')
  }


def stopped(path, workdir, number=signal.SIGKILL, checkpoints=2, seeds='0-5'):
  """Stops a command by a signal when a group has some checkpoints."""
  process = start(path, *FOUR, *OFTEN, '--epochs', EPOCHS, '--seeds', seeds, '--workdir', workdir)
  wait_until(lambda: any(len(one) >= checkpoints for one in groups(workdir).values()), process)
  process.send_signal(number)
  output = process.communicate()
  return process.returncode, output


@pytest.fixture(scope='module')
def stopped_once(problem, tmp_path_factory):
  workdir = tmp_path_factory.mktemp('stopped')
  return workdir, *stopped(problem[0], workdir, signal.SIGTERM)


def test_other_groups_and_more_seeds_change_no_run(problem, tmp_path):
  path, expected = problem
  arguments = ('run', path, *FOUR, '--workdir', tmp_path)
  run_command(*arguments, '--arms', LCAM, '--seeds', 3, '1-2')
  run_command(*arguments, '--seeds', '0-5')
  found = tables(tmp_path)
  assert found == expected
  run_command(*arguments, '--seeds', '0-6')
  assert expected.items() <= tables(tmp_path).items()
  for seed in range(7):
    directory = run_directory(tmp_path, YOKED, seed)
    made = json.loads((directory / 'environment.json').read_text())
    assert made['lanes'] == 4
    assert has_ended(directory)
    assert not list(directory.glob('events*'))


@pytest.mark.parametrize('damage', [pytest.param(False, marks=pytest.mark.slow), True])
def test_a_killed_command_goes_on_with_the_same_bytes(problem, tmp_path, damage):
  path, expected = problem
  stopped(path, tmp_path)
  before = groups(tmp_path)
  assert before
  for checkpoints in before.values() if damage else ():
    newest = max(checkpoints, key=lambda folder: int(folder.name))
    for file in newest.rglob('*'):
      if file.is_file():
        file.write_bytes(b'')
  output = run_command('run', path, *FOUR, '--seeds', '0-5', '--workdir', tmp_path)
  assert ('is damaged and not used' in output) == damage
  assert tables(tmp_path) == expected


def test_a_signal_saves_the_group_and_a_part_of_it_goes_on(problem, stopped_once, tmp_path):
  path, expected = problem
  workdir, status, (output, error) = stopped_once
  shutil.copytree(workdir, tmp_path, dirs_exist_ok=True)
  assert status == 128 + signal.SIGTERM, output
  assert 'Stopped and saved' in error
  run_command('run', path, *FOUR, '--arms', LCAM, '--seeds', 1, '--workdir', tmp_path)
  assert tables(tmp_path)[f'{LCAM}/seed-1/metrics.csv'] == expected[f'{LCAM}/seed-1/metrics.csv']
  run_command('run', path, *FOUR, '--seeds', '0-5', '--workdir', tmp_path)
  assert tables(tmp_path) == expected


def test_a_run_whose_tables_are_damaged_is_trained_again(problem, tmp_path, refused):
  path, expected = problem
  copy = shutil.copytree(path.parent / 'runs', tmp_path / 'runs')
  arguments = ('run', path, *FOUR, '--seeds', '0-5', '--workdir', copy)
  run = run_directory(copy, LCAM, 2)
  (run / 'metrics.csv').write_text('spoilt\n')
  assert f'{run / "metrics.csv"}: not what the run wrote at its end' in refused(*arguments)
  (run / 'metrics.csv').unlink()
  (run / SUMS).unlink()
  run_command(*arguments)
  assert tables(copy) == expected


def test_processes_get_groups(problem, tmp_path):
  path, expected = problem
  output = run_command(
    *('run', path, *FOUR, '--jobs', 2, '--seeds', '0-5', '--tensorboard', '--workdir', tmp_path)
  )
  assert tables(tmp_path) == expected
  assert f'{YOKED} seed 5  epoch {EPOCHS}/{EPOCHS}  loss' in output
  assert len(list(tmp_path.glob('*/seed-*/events*'))) == 12
  assert len(list(tmp_path.glob('together/*'))) == 4


def test_a_run_goes_on_as_it_has_begun(problem, stopped_once, tmp_path):
  path, expected = problem
  shutil.copytree(stopped_once[0], tmp_path, dirs_exist_ok=True)
  begun = [json.loads(file.read_text())['runs'] for file in tmp_path.glob('together/*/runs.json')]
  run_command('run', path, '--together', 'off', '--seeds', '0-5', '--workdir', tmp_path)
  found = tables(tmp_path)
  for name in itertools.chain.from_iterable(begun):
    assert found[f'{name}/metrics.csv'] == expected[f'{name}/metrics.csv']


def test_a_network_that_cannot_be_trained_at_once_is_trained_alone(tmp_path):
  path = write_problem(tmp_path, EPOCHS)
  network = """
import jax

class Own(nnx.Module):
  def __init__(self, rngs):
    self.linear = nnx.Linear(3, 2, rngs=rngs)

  def __call__(self, x):
    shift = jax.pure_callback(np.zeros_like, jax.ShapeDtypeStruct(x.shape, x.dtype), x)
    return self.linear(x + jax.lax.stop_gradient(shift))


def network(num_classes, rngs):
  return Own(rngs)


comparison ="""
  path.write_text(path.read_text().replace('comparison =', network))
  output = run_command('run', path, '--workdir', tmp_path / 'runs')
  assert 'Runs are trained one by one, because they cannot be trained at once: ' in output
  assert output.count(f'epoch {EPOCHS}/{EPOCHS}') == 4
  assert not (tmp_path / 'runs' / 'together').exists()


@pytest.mark.parametrize(
  ('arguments', 'message'),
  [
    (('--seeds', '5-2'), '--seeds cannot be 5-2: give whole numbers or ranges'),
    (('--seeds', '0-9999999'), '--seeds cannot be 0-9999999'),
    (('--seeds', '1.5'), '--seeds cannot be 1.5'),
    (('--seeds', '0-3', '2'), 'The seed 2 is named twice'),
    (('--together', '0'), '--together must be auto, off or 1 to 9999, not 0.'),
    (('--together', 'all'), '--together must be auto, off or 1 to 9999, not all.'),
    (('--together', '4', '--stream'), '--together 4 is not possible where the data are streamed'),
  ],
)
def test_impossible_numbers_are_refused(problem, tmp_path, refused, arguments, message):
  path, _ = problem
  assert message in refused('run', path, *arguments, '--workdir', tmp_path / 'runs')
  assert not list((tmp_path / 'runs').glob('*/*/metrics.csv'))


def test_more_lanes_than_the_memory_holds_are_refused(problem, tmp_path, refused, monkeypatch):
  path, expected = problem
  copy = shutil.copytree(path.parent / 'runs', tmp_path / 'runs')
  monkeypatch.setattr('train.training.lanes.memory_limit', lambda: 1000.0)
  said = refused('run', path, '--together', 64, '--seeds', '0-9', '--workdir', copy)
  assert '64 runs of network at once take' in said
  assert 'lower --together' in said
  assert tables(copy) == expected
