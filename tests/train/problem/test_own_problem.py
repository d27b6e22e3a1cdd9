"""A problem of the user's own: any data, any network, any loss; and what is said of bad files."""

import csv
import json
import re
import shutil

import numpy as np
import optax
import pytest

from tests.train.reports.support import one_line
from tests.train.support import ALONE, ROOT, run_command
from train.storage.tables import read_table

EXAMPLE = ROOT / 'examples' / 'own_problem.py'

CLASSES = """
import numpy as np
from flax import nnx
from train import Comparison, Dataset, Split

WIDTH = 4
rng = np.random.default_rng(0)
inputs = rng.normal(size=(60, 3))
labels = (inputs.sum(1) > 0).astype(int)


def data():
  return Dataset('sums', Split(inputs, labels), Split(inputs[:20], labels[:20]), ('low', 'high'))


def network(num_classes, rngs):
  # A comment.
  return nnx.Sequential(
    nnx.Linear(3, WIDTH, rngs=rngs), nnx.relu, nnx.Dropout(0.1, rngs=rngs),
    nnx.Linear(WIDTH, num_classes, rngs=rngs),
  )


comparison = Comparison(
  name='sums', dataset=data, network=network, epochs=3, batch_size=16,
  arms=('fixed-0.9', 'low0.5-high0.9'),
)
"""

REGRESSION = """
import jax.numpy as jnp
import numpy as np
from flax import nnx
from train import Comparison, Dataset, Split

x = np.linspace(-1, 1, 64)[:, None]


def squared_error(outputs, targets):
  return jnp.mean((outputs - targets) ** 2, axis=-1)


def absolute_error(outputs, targets):
  return jnp.abs(outputs - targets).mean(axis=-1)


comparison = Comparison(
  name='line',
  dataset=Dataset('line', Split(x, 3 * x + 1), Split(x, 3 * x + 1)),
  network=lambda num_classes, rngs: nnx.Linear(1, 1, rngs=rngs),
  loss=squared_error,
  metric=absolute_error,
  epochs=12,
  batch_size=16,
  weight_decay=0.0,
  arms=('fixed-0.5', 'low0.3-high0.6'),
)
"""


def write(tmp_path, text, name='mine.py'):
  path = tmp_path / name
  path.write_text(text)
  return path


def run_file(path, *arguments, workdir):
  return run_command('run', path, '--seeds', 0, 1, '--workdir', workdir, *arguments)


@pytest.fixture(scope='module')
def begun(tmp_path_factory):
  """Returns the working directory of a run of `CLASSES` that has ended."""
  folder = tmp_path_factory.mktemp('begun')
  arguments = ('--arms', 'fixed-0.9', '--seeds', 0, '--workdir', folder / 'runs')
  run_command('run', write(folder, CLASSES), *arguments)
  return folder / 'runs'


@pytest.mark.training
def test_the_example_answers_the_question(tmp_path):
  assert len(EXAMPLE.read_text().splitlines()) < 40
  arms = ('fixed-0.9', 'low0.857-high0.93', 'yoked0.857-0.93')
  options = ('--arms', *arms, '--epochs', 3, '--tensorboard')
  output = run_file(EXAMPLE, *options, workdir=tmp_path)
  assert 'yoked0.857-0.93' in output
  errors = read_table(tmp_path / 'fixed-0.9' / 'seed-0' / 'metrics.csv', ['test_error_percent'])[
    'test_error_percent'
  ]
  assert errors[-1] < 15
  assert (tmp_path / 'curves.png').exists()
  assert list((tmp_path / 'fixed-0.9' / 'seed-0').glob('events.*'))


@pytest.mark.training
def test_an_optimizer_and_a_schedule_of_ones_own_are_compared(tmp_path):
  example = ROOT / 'examples' / 'own_optimizer.py'
  options = ('--arms', 'fixed-0.9', 'my adamw', '--epochs', 2, '--seeds', 0)
  run_command('run', example, *options, '--workdir', tmp_path)
  steps = 2 * 43  # of 1347 images, 32 at a time
  for arm, highest in (('fixed-0.9', 0.05), ('my adamw', 0.01)):
    path = tmp_path / arm / 'seed-0' / 'metrics.csv'
    rates = read_table(path, ['learning_rate'])['learning_rate']
    rate = optax.warmup_cosine_decay_schedule(0, highest, steps // 10, steps)
    np.testing.assert_allclose(rates, [rate(42), rate(85)], rtol=1e-5)


@pytest.mark.training
def test_the_example_of_tuning_names_the_chosen_direction(tmp_path):
  example = ROOT / 'examples' / 'tune.py'
  both = 'low0.95-high0.45+low0.45-high0.95'
  options = ('--arms', both, '--points', 2, '--tuning-seeds', 1, '--seeds', 0)
  run_command('tune', example, *options, '--epochs', 1, '--workdir', tmp_path)
  with (tmp_path / 'tuning.csv').open() as file:
    picked = {row['arm']: row['tuning'] for row in csv.DictReader(file) if row['picked'] == '1'}
  assert picked[both] in both.split('+')


@pytest.mark.training
def test_the_example_with_wrong_labels_ends_in_a_verdict(tmp_path):
  example = ROOT / 'examples' / 'noisy_labels.py'
  arms = ('fixed-0.475', 'low0.95-high0')
  seeds = ('--seeds', '0-15', '--workdir', tmp_path)
  output = run_command('run', example, '--arms', *arms, '--epochs', 4, *seeds)
  assert re.search(r'low-loss phase .*\): error .* instead .*: lower, shown', one_line(output))


@pytest.mark.slow  # as test_resume.py and test_together.py
def test_it_goes_on_from_its_last_checkpoint_to_the_same_bytes(tmp_path):
  arguments = ('--arms', 'low0.5-high0.9', '--seeds', 0, '--checkpoint-epochs', 1, *ALONE)
  command = ('run', write(tmp_path, CLASSES), *arguments, '--workdir', tmp_path / 'runs')
  run_command(*command)
  run = tmp_path / 'runs' / 'low0.5-high0.9' / 'seed-0'
  whole = (run / 'metrics.csv').read_bytes()
  (run / 'SHA256SUMS').unlink()  # only a run that has ended has it
  newest = max(map(int, (path.name for path in (run / 'checkpoints').glob('[0-9]*'))))
  shutil.rmtree(run / 'checkpoints' / str(newest))
  assert 'goes on after epoch' in run_command(*command)
  assert (run / 'metrics.csv').read_bytes() == whole


@pytest.mark.training
def test_regression_is_judged_by_its_own_metric(tmp_path):
  arguments = ('--arms', 'fixed-0.5')
  output = run_file(write(tmp_path, REGRESSION), *arguments, workdir=tmp_path / 'runs')
  run = tmp_path / 'runs' / 'fixed-0.5' / 'seed-0'
  columns = read_table(run / 'metrics.csv', ['test_absolute_error', 'test_loss'])
  assert columns['test_absolute_error'][-1] < 0.5
  assert 'absolute error' in output
  assert 'error %' not in output
  with (run / 'metrics.csv').open() as file:
    assert 'test_error_percent' not in next(csv.reader(file))


@pytest.mark.training
@pytest.mark.parametrize(
  ('old', 'new', 'field'),
  [
    ('epochs=3', 'epochs=4', 'epochs was 3, is 4'),
    ('WIDTH = 4', 'WIDTH = 5', 'program.sha256 was'),
    ('nnx.relu', 'nnx.gelu', 'program.sha256 was'),
    ('default_rng(0)', 'default_rng(1)', 'data_sha256 was'),
    ("name='sums'", "name='other'", 'part was sums, is other'),
  ],
)
def test_a_changed_comparison_is_another_configuration(tmp_path, begun, refused, old, new, field):
  changed = write(tmp_path, CLASSES.replace(old, new))
  arguments = ('--arms', 'fixed-0.9', '--seeds', 0, '--workdir', begun)
  assert field in refused('run', changed, *arguments)


@pytest.mark.training
@pytest.mark.parametrize(
  ('old', 'new', 'field'),
  [
    ('WIDTH = 4', 'WIDTH = 5', 'program.sha256 was'),
    ('WIDTH = 4', 'WIDTH = 5', ': what your code computes has changed'),
    ('default_rng(0)', 'default_rng(1)', 'data_sha256 was'),
    ('batch_size=16', 'batch_size=8', 'batch_size was 16, is 8'),
  ],
)
def test_other_arms_and_seeds_must_be_comparable(tmp_path, begun, refused, old, new, field):
  changed = write(tmp_path, CLASSES.replace(old, new))
  for arm, seed in (('fixed-0.9', 1), ('fixed-0.8', 0)):
    arguments = ('--arms', arm, '--seeds', seed, '--workdir', begun)
    assert field in refused('run', changed, *arguments)
  assert len(list(begun.rglob('metrics.csv'))) == 1


def test_a_loss_without_a_metric_is_asked_for_one(tmp_path, refused):
  path = write(tmp_path, REGRESSION.replace('  metric=absolute_error,\n', ''))
  assert 'a metric of its own' in refused('run', path, '--workdir', tmp_path / 'runs')


@pytest.mark.parametrize(
  ('old', 'new'),
  [
    ('Split(x, 3 * x + 1)', 'Split(x, (3 * x + 1)[:, 0])'),  # outputs (batch, 1), targets (batch,)
    ('nnx.Linear(1, 1, rngs=rngs)', 'nnx.Sequential(nnx.Linear(1, 1, rngs=rngs), jnp.ravel)'),
  ],
)
def test_outputs_that_meet_the_targets_of_other_examples_are_refused(tmp_path, refused, old, new):
  path = write(tmp_path, REGRESSION.replace(old, new))
  said = refused('run', path, '--workdir', tmp_path / 'runs')
  assert 'mine.py, line 10) must judge each example alone' in said


@pytest.mark.training
def test_a_loss_may_leave_the_targets_out(tmp_path):
  source = REGRESSION.replace('(outputs - targets) ** 2', 'outputs ** 2')
  arguments = ('--arms', 'fixed-0.5', '--epochs', 1)
  run_file(write(tmp_path, source), *arguments, workdir=tmp_path / 'runs')


@pytest.mark.training
def test_comments_layout_and_further_arms_change_nothing(tmp_path, begun):
  workdir = shutil.copytree(begun, tmp_path / 'runs')
  changed = CLASSES.replace('# A comment.', '"""Another."""').replace(
    "'low0.5-high0.9'", "'fixed-0.8'"
  )
  output = run_command('run', write(tmp_path, changed), '--seeds', 0, '--workdir', workdir)
  assert 'fixed-0.9 seed 0: finished before' in output
  config = json.loads((workdir / 'fixed-0.8' / 'seed-0' / 'config.json').read_text())
  assert config['dataset'] == 'sums'


@pytest.mark.parametrize(
  ('old', 'new', 'message'),
  [
    ('WIDTH = 4', 'WIDTH = = 4', 'mine.py, line 6: invalid syntax'),
    ('WIDTH = 4', 'WIDTH = 1 / 0', 'mine.py, line 6: ZeroDivisionError: division by zero.'),
    ('comparison = ', 'compare = ', 'defines no `comparison`'),
    ('comparison = Comparison(', 'comparison = dict(', '`comparison` as a dict'),
    ('WIDTH, num_classes', 'WIDTH, 3', 'line 16) must return one logit per class, shape (batch'),
    ('nnx.Linear(3,', 'nnx.Linear(5,', 'mine.py, line 16), on inputs of shape (17, 3): TypeError'),
    ('> 0).astype(int)', '> 0).astype(int) * 2', 'mine.py, line 13: Label 2 in row'),
    (
      'inputs[:20], labels[:20]',
      'inputs[:20], labels[:19]',
      'mine.py, line 13: A split must have one',
    ),
    ('return Dataset', 'return (0, Dataset', 'mine.py, line 13'),
    ("'fixed-0.9'", "'fixed-9'", 'fixed-9 has a number that is not in [0, 1)'),
    ('epochs=3', 'epochs=0', 'epochs must be a whole number of at least 1'),
    ('epochs=3', 'epochs=3, loss=len', 'len'),
    ('epochs=3', "epochs=3, rule='eq9'", "line 24: rule must be 'equation9' or 'algorithm1'"),
    ('epochs=3', 'epochs=3, weight_decay=-1', 'line 24: weight_decay must be 0 or from'),
    ('epochs=3', 'epochs=3, schedule=0.1', 'line 24: schedule must be one of train.schedules'),
    ('epochs=3', 'epochs=3, seeds=(0, 0)', 'line 24: The seed 0 is named twice'),
    ('return nnx.Seq', 'return 3; nnx.Seq', 'that returns a Flax NNX module, but returned 3'),
    ('(num_classes, rngs):', '(rngs):', 'line 16), called with (num_classes, rngs): TypeError'),
    ("('low', 'high')", '()', 'has no class_names'),
    ('epochs=3', 'epochs=3, seeds=3', 'line 24: seeds must be a sequence such as (0, 1, 2), not 3'),
    ('epochs=3', 'epochs=3, metric=lambda a, b: b', 'metric must be a function with a name'),
    ('WIDTH = 4', 'raise SystemExit(3)', 'mine.py, line 6: SystemExit: 3'),
    ('WIDTH = 4', 'f = lambda: f(); f()', 'mine.py, line 6: RecursionError: maximum recursion'),
    ('WIDTH = 4', '\0', 'mine.py: source code string cannot contain null bytes'),
    ('return nnx.Seq', 'import sys; sys.exit("no"); nnx.Seq', 'mine.py, line 18: SystemExit: no'),
    ("name='sums'", "name='../sums'", 'name must be text that can name a folder'),
    ('epochs=3', 'epochs=None', 'epochs must be a whole number of at least 1, not None'),
    ('epochs=3', 'epochs=True', 'epochs must be a whole number of at least 1, not True'),
    ('epochs=3', 'epochs=10**12', 'epochs are 4,000,000,000,000 steps'),
    ('inputs[:20], labels[:20]', 'inputs[:20].astype("S")', 'mine.py, line 13: '),
  ],
)
def test_a_bad_file_is_told_in_one_sentence(tmp_path, refused, old, new, message):
  assert old in CLASSES
  path = write(tmp_path, CLASSES.replace(old, new, 1))
  assert message in refused('run', path, '--workdir', tmp_path / 'runs', '--seeds', 0, 1)
  assert not list((tmp_path / 'runs').rglob('metrics.csv'))


@pytest.mark.training
def test_warnings_are_shown_only_of_a_file_that_works(tmp_path, refused, recwarn):
  warning = CLASSES.replace('WIDTH = 4', 'import warnings; warnings.warn("mind this"); WIDTH = 4')
  for source, shown in [(warning.replace('epochs=3', 'epochs=0'), 0), (warning, 1)]:
    path = write(tmp_path, source)
    if shown:
      run_command('run', path, '--workdir', tmp_path / 'runs', '--arms', 'fixed-0.9', '--seeds', 0)
    else:
      refused('run', path)
    found = [one for one in recwarn if str(one.message) == 'mind this']
    assert [one.filename for one in found] == shown * [str(path)]


def test_a_missing_file_and_options_that_do_not_fit(tmp_path, refused):
  assert 'no.py is not a file' in refused('run', tmp_path / 'no.py')
  path = write(tmp_path, CLASSES)
  assert 'has its own data' in refused('run', path, '--dataset', 'digits')
  assert 'which has no --depth and --width' in refused('run', path, '--depth', 10)
  assert 'has no parts' in refused('run', path, '--parts', 'a')
  arguments = ('--dtype', 'bfloat16', '--workdir', tmp_path / 'runs')
  assert 'cannot compute in bfloat16' in refused('run', path, *arguments)


@pytest.mark.training
def test_options_override_the_file(tmp_path):
  path = write(tmp_path, CLASSES)
  arguments = ('--epochs', 1, '--batch-size', 10, '--train-examples', 30, '--learning-rate', 0.01)
  run_file(path, *arguments, '--arms', 'coin0.5-0.9', workdir=tmp_path / 'runs')
  run = tmp_path / 'runs' / 'coin0.5-0.9' / 'seed-1'
  rate = read_table(run / 'metrics.csv', ['learning_rate'])['learning_rate']
  np.testing.assert_allclose(rate, [0.01])
  assert len((run / 'phases.csv').read_text().splitlines()[1]) == len('1,') + 3
