"""Wrong command lines get one sentence, and the help is complete."""

import os
import re
import signal
import subprocess
import sys
from unittest import mock

import pytest

from tests.train.support import ALONE, run_command
from train.__main__ import main
from train.problem.experiments import EXPERIMENTS

# Such programs compile in half the time.
QUICKLY = {'XLA_FLAGS': '--xla_backend_optimization_level=0'}
TINY = """
import numpy as np
from flax import nnx
from train import Comparison, Dataset, Split

split = Split(np.eye(8, dtype='float32'), np.arange(8) % 2)
comparison = Comparison(
  name='tiny', dataset=Dataset('tiny', split, split, ('even', 'odd')), epochs=2, batch_size=4,
  network=lambda num_classes, rngs: nnx.Linear(8, num_classes, rngs=rngs),
  arms=('low0.857-high0.93',), seeds=(0,),
)
"""


def help_of(capsys, *arguments):
  """Returns what ``--help`` prints, with one space between words."""
  with mock.patch.object(sys, 'argv', ['train', *arguments, '--help']), pytest.raises(SystemExit):
    main()
  return ' '.join(capsys.readouterr().out.replace('│', ' ').split())


def test_help_shows_names_and_defaults(capsys):
  text = help_of(capsys, 'run')
  for words in (*EXPERIMENTS, 'coinA-B', 'momo', 'cifar100', 'spoken_digit', 'default: runs/NAME'):
    assert words in text
  assert 'None' not in text
  assert '(default: )' not in text


def test_help_names_the_commands(capsys):
  text = help_of(capsys)
  for command in ('quickstart', 'list', 'run', 'tune', 'report', 'prepare'):
    assert command in text


@pytest.mark.parametrize(
  ('arguments', 'message'),
  [
    (['run', 'figure33'], "'figure33' (did you mean figure3?): choose from noisy-digits"),
    (['run', 'digits', '--arms', 'fixd-0.8'], "'fixd-0.8' (did you mean fixed-0.9?): choose"),
    (['run', 'digits', '--arms', 'fixed-8'], 'fixed-8 has a number that is not in'),
    (['run', 'digits', '--points', '8'], 'no option --points (`tune` has it)'),
    (['run', 'digits', '--arms', 'coin', 'coin'], 'The arm coin0.857-0.93 is named twice'),
    (['run', 'digits', '--seeds', '1', '1'], 'The seed 1 is named twice'),
    (['run', 'digits', '--arms', 'yoked', '--seeds', '0'], 'give two seeds or more'),
    (['run', 'digits', '--arms', 'yoked'], 'run low0.857-high0.93 with that seed first'),
    (['run', 'digits', '--epochs', '0'], '--epochs must be at least 1, not 0'),
    (['run', 'digits', '--batch-size', '-1'], '--batch-size must be at least 1, not -1'),
    (['run', 'digits', '--depth', '12'], 'depth must be 6n + 4, not 12: use 10 or 16'),
    (['run', 'digits', '--width', '0'], 'width must be at least 1'),
    (['run', 'digits', '--seeds', '99999999999'], 'A seed must be at least 0 and below 2**31'),
    (['run', 'figure5', '--learning-rate', '0'], '--learning-rate must be above 0, not 0'),
    (['run', 'digits', '--checkpoint-minutes', 'nan'], '--checkpoint-minutes must be above 0'),
    (['run', 'baselines', '--learning-rate', '1'], 'adam, adamw, amsgrad, rmsprop, adagrad, lion'),
    (['run', 'digits', '--jobs', '0'], '--jobs must be at least 1, not 0'),
    (['run', 'digits', '--jobs', '2', '--devices', '2'], 'leave one of them out'),
    (['run', 'digits', '--learning-rate', '1e400'], 'which float32 holds, not inf'),
    (['run', 'digits', '--learning-rate', '1e-50'], 'which float32 holds, not 1e-50'),
    (['run', 'digits', '--weight-decay', '1e-50'], 'which float32 holds, not 1e-50'),
    (['run', 'digits', '--width', '100000'], '8,268,360 GiB with their gradients and momenta'),
    (['run', 'digits', '--depth', '10000000000000'], '--depth must be at most 1000'),
    (['run', 'digits', '--epochs', '1' + 18 * '0'], 'lower --epochs'),
    (['run', 'digits', '--epochs', '3', '--epochs=4'], '--epochs is given twice'),
    (['run', 'digits', '--learning-rat', '1'], 'did you mean --learning-rate?'),
    (
      ['run', 'digits', '--zzz'],
      'There is no option --zzz: `python -m train run --help`',
    ),
    (
      ['run', 'digits', '--seeds', '0,1'],
      '--seeds cannot be 0,1.*separate several values with spaces',
    ),
    (['run', 'digits', '--epochs', 'two'], '--epochs cannot be two: `python'),
    (['run', 'digits', '--checkpoint-epochs', '1.5'], '--checkpoint-epochs cannot be 1.5: `py'),
    (['run', 'digits', '--dtype', 'int8'], '--dtype cannot be int8: choose from float32, bfloat16'),
    (
      ['run', 'digits', 'figure3'],
      'Unrecognized options: figure3: `python -m train run --help`',
    ),
    (['run', 'digits', '--arms', '--seeds', '0'], '--arms has no value'),
    (['run', 'digits', '--workdir', ''], 'An argument after --workdir is empty'),
    (['run', 'digits', '--workdir='], '--workdir has no value'),
    (['run'], 'NAME_OR_FILE is missing: `python -m train run --help`'),
    (['runn', 'digits'], 'There is no command runn: choose from quickstart, list, run'),
    (['report', ''], 'An argument after report is empty'),
    (['run', 300 * 'x' + '.py'], 'is not a file'),
    (['run', 'digits', '--gpus-per-run', '1'], 'add `--cluster local` for this machine'),
    (['run', 'digits', '--cpus-per-run', '2'], '--cpus-per-run is for --jobs and --cluster'),
    (['run', 'digits', '--cluster', 'auto', '--jobs', '2'], 'leave one of them out'),
    (
      ['run', 'digits', '--cluster', 'here'],
      'must be local, auto or ray://HOST:PORT, not here',
    ),
    (['run', 'digits', '--cluster', 'ray://here'], 'must be local, auto or ray://HOST:PORT'),
    (['run', 'digits', '--cluster', 'auto', '--tpus-per-run', '-1'], 'must be at least 0, not'),
    (['run', 'speech', '--dataset', 'digits'], 'speech trains M11 on audio, but digits holds'),
    (['run', 'vit'], 'with --pretrained, or choose --parts without it'),
    (['run', 'vit', '--pretrained', 'no.npz'], 'no.npz is not a file'),
    (['run', 'digits', '--pretrained', __file__], 'omit --pretrained'),
    (['run', 'speech', '--depth', '10'], 'speech trains M11, which has no --depth and --width'),
    (['run', 'digits', '--workdir', __file__], 'cannot be used'),
    (['run', 'digits', '--train-examples', '5000'], 'There are 1000 training examples'),
    (['report', 'no/such/directory'], 'no/such/directory holds no runs'),
    (['prepare', 'mnist'], 'mnist'),
    (['list', 'my.py'], 'list knows the experiments of the paper only'),
  ],
)
def test_errors_are_one_sentence(refused, arguments, message, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  assert re.search(message if '.*' in message else re.escape(message), refused(*arguments))
  assert not list(tmp_path.glob('runs/*/*/*/metrics.csv'))


def test_errors_are_plain_where_colours_are_forced(refused, monkeypatch):
  monkeypatch.setenv('FORCE_COLOR', '1')
  assert refused('run').startswith('NAME_OR_FILE is missing: ')


@pytest.mark.training
def test_a_batch_of_more_than_there_is_is_told(tmp_path):
  path = tmp_path / 'tiny.py'
  path.write_text(TINY)
  output = run_command('run', path, '--batch-size', 10**20, '--workdir', tmp_path / 'runs')
  assert f'A batch has all 8 training examples; there are no {10**20}.' in ' '.join(output.split())


@pytest.mark.training
@pytest.mark.slow
def test_an_output_of_few_characters_gets_what_it_can_show(tmp_path):
  (tmp_path / 'tiny.py').write_text(TINY)
  arguments = ['run', tmp_path / 'tiny.py', *ALONE, '--workdir', tmp_path / 'ü']
  command = [sys.executable, '-m', 'train', *arguments]
  done = subprocess.run(
    command,
    capture_output=True,
    text=True,
    env=os.environ | {'PYTHONIOENCODING': 'ascii'} | QUICKLY,
  )
  assert (done.returncode, done.stderr) == (0, '')
  assert 'tensorboard --logdir' in done.stdout


@pytest.mark.training
def test_an_output_that_nobody_reads_stops_the_run_saved(tmp_path):
  (tmp_path / 'tiny.py').write_text(TINY)
  command = ['run', str(tmp_path / 'tiny.py'), *ALONE, '--workdir', str(tmp_path / 'runs')]
  process = subprocess.Popen(
    [sys.executable, '-m', 'train', *command],
    env=os.environ | QUICKLY,
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
  )
  process.stdout.close()
  assert re.fullmatch(rb'Stopped and saved .*; go on with: .*\n', process.stderr.read())
  assert process.wait() == 128 + signal.SIGPIPE
  process.stderr.close()
  assert 'epoch 2/2' in run_command(*command)


@pytest.mark.training
def test_help_that_nobody_reads_ends_quietly():
  command = [sys.executable, '-m', 'train', 'run', '--help']
  process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
  process.stdout.close()
  assert process.stderr.read() == b''
  assert process.wait() == 128 + signal.SIGPIPE
