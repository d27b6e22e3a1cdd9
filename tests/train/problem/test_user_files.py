"""Files of users that misbehave, or have misleading neighbours, work or end in one sentence."""

import os
import signal

import pytest

from tests.train.support import ALONE, ROOT, run_command, start
from train.system.signals import let_ctrl_c_kill

EXAMPLE = (ROOT / 'examples' / 'own_problem.py').read_text()
SHORT = ('--arms', 'fixed-0.9', '--seeds', 0, '--epochs', 1)


def write(folder, before='', name='mine.py'):
  path = folder / name
  path.write_text(before + EXAMPLE)
  return path


@pytest.mark.training
def test_neighbours_do_not_replace_libraries(tmp_path):
  for name in ('scipy', 'xml', 'html', 'report', 'PIL', 'models'):
    (tmp_path / f'{name}.py').write_text(f'raise RuntimeError("{name} was imported")\n')
  run_command('run', write(tmp_path), *SHORT, '--workdir', tmp_path / 'runs')


@pytest.mark.parametrize('imports', ['from models import Mine', 'import models; models.Mine'])
def test_a_neighbour_with_the_name_of_our_package_is_named(tmp_path, refused, imports):
  (tmp_path / 'models.py').write_text('Mine = 1\n')
  said = refused('run', write(tmp_path, f'{imports}\n'))
  assert f'{tmp_path / "models.py"} has the name of a package of the trainer: rename it' in said


@pytest.mark.training
def test_a_file_sees_no_arguments_of_the_trainer_and_moves_no_results(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  reads = 'import argparse\nassert argparse.ArgumentParser().parse_args()\n'
  path = write(tmp_path, f'{reads}import os\nos.chdir("/")\n')
  run_command('run', path, *SHORT, '--workdir', 'runs')
  assert (tmp_path / 'runs' / 'report.md').exists()
  os.chdir(tmp_path)


@pytest.mark.parametrize(
  ('end', 'error'),
  [
    ('os._exit(3)', 'SystemExit: os._exit(3)'),
    ('sys.exit(3)', 'SystemExit: 3'),
    ('raise SystemExit', 'SystemExit'),
    ('raise KeyboardInterrupt', 'KeyboardInterrupt'),
    ('raise GeneratorExit', 'GeneratorExit'),
  ],
)
def test_a_file_that_ends_the_process_is_named(tmp_path, refused, end, error):
  said = refused('run', write(tmp_path, f'import os, sys\n{end}\n'))
  assert said.endswith(f'mine.py, line 2: {error}.')
  assert os._exit.__module__ == 'posix'


def test_ctrl_c_is_no_error_of_a_file(tmp_path):
  # In the background of a shell it may be ignored.
  handler = signal.signal(signal.SIGINT, signal.default_int_handler)
  let_ctrl_c_kill(False)
  try:
    path = write(tmp_path, 'import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n')
    run_command('run', path, status=128 + signal.SIGINT)
  finally:
    signal.signal(signal.SIGINT, handler)


def test_a_callback_that_fails_is_told_in_one_sentence(tmp_path, refused, caplog):
  said = refused('run', write(tmp_path, 'import jax\njax.debug.callback(lambda: 1 / 0)\n'))
  assert 'mine.py, line 2: ZeroDivisionError' in said
  assert not caplog.records


@pytest.mark.training
@pytest.mark.slow
def test_a_file_that_breaks_its_process_is_trained_all_the_same(tmp_path):
  path = write(tmp_path)
  path.write_text(f"""{path.read_text()}
import os, sys
sys.path.clear()
sys.stdout.reconfigure(encoding='ascii')
sys.stdout.close()
sys.stderr.close()
for number in range(3):
  os.close(number)
""")
  quickly = {'XLA_FLAGS': '--xla_backend_optimization_level=0'}
  process = start(path, *SHORT, *ALONE, '--workdir', tmp_path / 'runs', **quickly)
  output, errors = process.communicate()
  assert (process.returncode, errors) == (0, '')
  assert 'tensorboard --logdir' in output


def test_a_misspelt_baseline_is_noticed_before_training(tmp_path, refused):
  source = EXAMPLE.replace("name='tumours'", "name='tumours', baseline='fixd-0.9'")
  path = tmp_path / 'mine.py'
  path.write_text(source)
  assert "baseline: There is no arm 'fixd-0.9'" in refused('run', path)


@pytest.mark.training
def test_an_error_in_the_midst_of_training_is_named(tmp_path, refused):
  # JAX raises it far from here, with this file in its words only.
  source = EXAMPLE.replace(
    'comparison = ',
    """
import jax
from train.problem.comparison import cross_entropy

calls = []


def late():
  calls.append(0)
  assert len(calls) < 20, 'deep trouble'


def loss(outputs, labels):
  jax.debug.callback(late)
  return cross_entropy(outputs, labels)


comparison = """,
  ).replace("name='tumours'", "name='tumours', loss=loss")
  path = tmp_path / 'mine.py'
  path.write_text(source)
  said = refused('run', path, *SHORT, '--workdir', tmp_path / 'runs')
  assert f'{path}, line ' in said
  assert 'AssertionError: deep trouble.' in said


@pytest.mark.training
def test_data_that_make_the_first_loss_infinite_are_named(tmp_path):
  path = tmp_path / 'tokens.py'
  path.write_text("""
import numpy as np
from flax import nnx
from train import Comparison, Dataset, Split

rng = np.random.default_rng(0)
tokens, labels = rng.integers(0, 50, (60, 5)), rng.integers(0, 2, 60)
tokens[17, 2] = 77


class Network(nnx.Module):
  def __init__(self, num_classes, rngs):
    self.embed, self.out = nnx.Embed(50, 4, rngs=rngs), nnx.Linear(4, num_classes, rngs=rngs)

  def __call__(self, x):
    return self.out(self.embed(x).mean(1))


comparison = Comparison(
  name='tokens', network=Network, epochs=1, batch_size=60, arms=('fixed-0.9',), seeds=(0,),
  dataset=Dataset('tokens', Split(tokens, labels), Split(tokens[:9], labels[:9]), ('a', 'b')),
)
""")
  output = ' '.join(run_command('run', path, '--workdir', tmp_path / 'runs', status=1).split())
  assert 'the outputs of the network are so for 1 of 60 examples, the first in row 17' in output
