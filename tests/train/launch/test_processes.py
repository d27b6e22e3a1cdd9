"""Processes that train one run together: they meet, agree, stop together, and go on."""

import csv
import os
import pathlib
import pickle
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

from tests.train.support import ROOT, count_checkpoints, run_command, write_problem
from train.launch import together
from train.system import processes
from train.system.errors import UserError

ARM = 'low0.857-high0.93'
# The last batch has 5 examples, which two processes do not divide.
SMALL = (
  'run',
  'digits',
  '--arms',
  ARM,
  '--seeds',
  0,
  '--train-examples',
  65,
  '--batch-size',
  20,
)
# Compiles in half the time; the arithmetic is the same.
FLAGS = '--xla_backend_optimization_level=0'


def free_port() -> int:
  with socket.socket() as probe:
    probe.bind(('127.0.0.1', 0))
    return probe.getsockname()[1]


def start(arguments, processes):
  """Starts the processes of a run."""
  coordinator = f'127.0.0.1:{free_port()}'
  shared = [*arguments, '--coordinator', coordinator, '--num-processes', processes]
  return [_start([*shared, '--process-id', process_id]) for process_id in range(processes)]


def start_as_slurm(arguments, processes):
  """Starts the processes of a run with the variables that Slurm's `srun` sets."""
  job = {
    'SLURM_JOB_ID': str(free_port()),  # JAX makes a port of it
    'SLURM_STEP_NODELIST': 'localhost',
    'SLURM_NTASKS': str(processes),
    'SLURM_STEP_NUM_NODES': '1',
  }
  return [
    _start(
      [*arguments, '--distributed'],
      {**job, 'SLURM_PROCID': str(process_id), 'SLURM_LOCALID': str(process_id)},
    )
    for process_id in range(processes)
  ]


def _start(arguments, variables=()):
  return subprocess.Popen(
    [sys.executable, '-m', 'train', *map(str, arguments)],
    cwd=ROOT,
    env=os.environ | {'JAX_PLATFORMS': 'cpu', 'XLA_FLAGS': FLAGS} | dict(variables),
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )


def ends_of(processes):
  """Waits and returns the exit statuses, and what was written to stderr."""
  outputs = [process.communicate(timeout=400) for process in processes]
  return [process.returncode for process in processes], [errors for _, errors in outputs]


def tables_of(workdir):
  """Returns the numbers of the metrics, and the phases."""
  (folder,) = (path.parent for path in workdir.rglob('metrics.csv'))
  metrics = list(csv.reader((folder / 'metrics.csv').open()))[1:]
  return np.array(metrics, float), (folder / 'phases.csv').read_text()


def assert_same_run(workdir, other):
  (metrics, phases), (expected, expected_phases) = tables_of(workdir), tables_of(other)
  np.testing.assert_allclose(metrics, expected, rtol=1e-4)
  np.testing.assert_allclose(metrics[:, 1:3], expected[:, 1:3], rtol=1e-5)  # the losses
  assert phases == expected_phases


@pytest.fixture(scope='module')
def alone(tmp_path_factory):
  """Returns the directory of a run of one process."""
  workdir = tmp_path_factory.mktemp('alone')
  run_command(*SMALL, '--epochs', 3, '--devices', 1, '--workdir', workdir)
  return workdir


@pytest.mark.slow
@pytest.mark.parametrize('how', ['resident', 'streamed'])
def test_two_processes_train_as_one_does(alone, tmp_path, how):
  stream = ['--stream'] if how == 'streamed' else []
  statuses, errors = ends_of(start([*SMALL, '--epochs', 3, '--workdir', tmp_path, *stream], 2))
  assert (statuses, errors) == ([0, 0], ['', ''])
  assert_same_run(tmp_path, alone)


@pytest.mark.slow
def test_two_processes_agree_on_a_metric_of_the_whole_split(tmp_path):
  path = write_problem(tmp_path)
  path.write_text(
    f"""{path.read_text()}
import dataclasses
from train import Metric

def mean_margin(outputs, targets):
  return (outputs[np.arange(len(targets)), targets] - outputs.max(1)).mean()

comparison = dataclasses.replace(comparison, metric=Metric('margin', mean_margin, True))
"""
  )
  arguments = ['run', path, '--arms', ARM, '--seeds', 0]
  run_command(*arguments, '--devices', 1, '--workdir', tmp_path / 'one')
  statuses, errors = ends_of(start([*arguments, '--workdir', tmp_path / 'two'], 2))
  assert (statuses, errors) == ([0, 0], ['', ''])
  assert_same_run(tmp_path / 'two', tmp_path / 'one')


@pytest.mark.slow
def test_processes_of_slurm_find_each_other(alone, tmp_path):
  statuses, errors = ends_of(start_as_slurm([*SMALL, '--epochs', 3, '--workdir', tmp_path], 2))
  assert (statuses, errors) == ([0, 0], ['', ''])
  assert_same_run(tmp_path, alone)


@pytest.mark.slow
@pytest.mark.parametrize('victim', [0, 1])
def test_a_killed_process_ends_the_other_and_one_process_goes_on(alone, tmp_path, victim):
  arguments = [*SMALL, '--epochs', 3, '--checkpoint-minutes', 0.0001, '--workdir', tmp_path]
  processes = start(arguments, 2)
  wait_for(lambda: count_checkpoints(tmp_path) >= 1, processes)
  processes[victim].kill()
  killed = time.monotonic()
  statuses, errors = ends_of(processes)
  assert time.monotonic() - killed < 120
  assert statuses[1 - victim] == 2, 'it was killed too late'
  assert errors[victim] == ''
  (sentence,) = errors[1 - victim].splitlines()
  assert sentence.startswith('Another process of this run ended, or cannot be reached any more;')
  run_command(*arguments, '--devices', 1)
  assert_same_run(tmp_path, alone)


@pytest.mark.slow
@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_one_stops_all_at_the_same_step_and_two_go_on(alone, tmp_path, number):
  arguments = [*SMALL, '--epochs', 3, '--checkpoint-minutes', 0.0001]
  processes = start([*arguments, '--workdir', tmp_path], 2)
  wait_for(lambda: count_checkpoints(tmp_path) >= 1, processes)
  processes[1].send_signal(number)
  statuses, errors = ends_of(processes)
  if statuses != [0, 0]:  # it did not end before it heard of it
    assert statuses == [128 + signal.SIGTERM, 128 + number]
    first, second = (error.partition(';')[0] for error in errors)
    assert first == second
    assert first.startswith('Stopped and saved in epoch')
    assert ends_of(start([*arguments, '--workdir', tmp_path], 2))[0] == [0, 0]
  assert_same_run(tmp_path, alone)


def wait_for(condition, processes):
  deadline = time.monotonic() + 300
  while not condition() and time.monotonic() < deadline:
    assert all(process.poll() is None for process in processes), ends_of(processes)
    time.sleep(0.01)


class Service:
  """Stands for JAX's coordination service, as one of several processes sees it."""

  def __init__(self, process_id, monkeypatch):
    self.said = {}
    state = processes._State(client=self, process_id=process_id)
    monkeypatch.setattr(processes, '_state', state)

  def key_value_set_bytes(self, key, value):
    self.said[key] = value

  def blocking_key_value_get_bytes(self, key, milliseconds):
    return self.said[key]


@pytest.mark.parametrize(
  'result', [None, True, 'a \udcff', [0, False], {'rows': ['1,nan'], 'step': 3}]
)
def test_what_the_first_process_says_the_others_hear(monkeypatch, result):
  said = Service(0, monkeypatch).said
  assert processes.from_first(lambda: result) == result
  Service(1, monkeypatch).said = said
  assert processes.from_first(lambda: pytest.fail('it is not the first')) == result


def test_an_error_of_the_first_process_is_one_of_the_others(monkeypatch):
  def fail():
    raise UserError('folder \udcff: no.')

  said = Service(0, monkeypatch).said
  with pytest.raises(UserError, match='no'):
    processes.from_first(fail)
  Service(1, monkeypatch).said = said
  with pytest.raises(UserError, match='folder \udcff: no'):
    processes.from_first(dict)


class _Hostile:
  def __init__(self, path):
    self.path = path

  def __reduce__(self):
    return pathlib.Path.touch, (self.path,)


def test_what_a_stranger_tells_a_process_is_not_executed(monkeypatch, tmp_path):
  service = Service(1, monkeypatch)
  service.said['lcam/sent/0'] = pickle.dumps((None, _Hostile(tmp_path / 'executed')))
  with pytest.raises(ValueError, match='decode'):
    processes.from_first(dict)
  assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_another_configuration_is_refused_on_all_processes(tmp_path):
  problem = (ROOT / 'examples' / 'own_problem.py').read_text()
  for number, size in enumerate((32, 33)):  # the same command, other files
    folder = tmp_path / str(number)
    folder.mkdir()
    (folder / 'problem.py').write_text(
      problem.replace('(30, 32', f'(30, {size}').replace('(32,', f'({size},')
    )
  coordinator = f'127.0.0.1:{free_port()}'
  processes = [
    subprocess.Popen(
      [
        *(sys.executable, '-m', 'train', 'run', 'problem.py', '--workdir', str(tmp_path / 'runs')),
        *('--coordinator', coordinator, '--num-processes', '2', '--process-id', str(number)),
      ],
      cwd=tmp_path / str(number),
      env=os.environ | {'JAX_PLATFORMS': 'cpu', 'PYTHONPATH': str(ROOT)},
      stdout=subprocess.PIPE,
      stderr=subprocess.PIPE,
      text=True,
    )
    for number in range(2)
  ]
  statuses, errors = ends_of(processes)
  assert statuses == [2, 2]
  assert 'another configuration than process 0' in errors[1]
  assert 'another configuration than process 0' in errors[0]
  assert [len(error.splitlines()) for error in errors] == [1, 1]
  assert not list(tmp_path.rglob('config.json'))


# Meets others: ADDRESS, NUMBER OF PROCESSES, PROCESS ID, BATCH SIZE
MEET = """
import sys
from train.launch import together
from train.system import processes
from train.system.errors import UserError
together.SECONDS_TO_MEET = 3
try:
  together.join(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), {'--batch-size': sys.argv[4]})
except UserError as error:
  print(error, file=sys.stderr)
  processes.leave(str(error), 2)
  sys.exit(2)
"""


def meet(*commands):
  """Starts processes with these arguments, and returns their sentences; each ends with status 2."""
  started = [
    subprocess.Popen(
      [sys.executable, '-c', MEET, *map(str, arguments)],
      cwd=ROOT,
      env=os.environ | {'JAX_PLATFORMS': 'cpu'},
      stderr=subprocess.PIPE,
      text=True,
    )
    for arguments in commands
  ]
  statuses, errors = ends_of(started)
  assert statuses == [2] * len(commands), errors
  assert [len(error.splitlines()) for error in errors] == [1] * len(commands), errors
  return errors


@pytest.mark.slow
@pytest.mark.parametrize(
  ('other', 'option'), [((3, 1, 8), '--num-processes'), ((2, 1, 16), '--batch-size')]
)
def test_another_option_is_refused_on_all_processes(other, option):
  address = f'127.0.0.1:{free_port()}'
  first, second = meet((address, 2, 0, 8), (address, *other))
  assert first == second
  assert f'Process 1 has another {option} than process 0' in first


@pytest.mark.slow
def test_processes_do_not_wait_forever_for_another():
  address = f'127.0.0.1:{free_port()}'
  for sentence in meet((address, 3, 0, 8), (address, 3, 1, 8)):
    assert f'Not all 3 processes met at {address} within 3 seconds' in sentence


@pytest.mark.slow
def test_a_coordinator_that_does_not_answer_is_named():
  address = f'127.0.0.1:{free_port()}'
  names = [address, 'nohost.invalid:1234']
  for name, sentence in zip(names, meet(*((name, 2, 1, 8) for name in names)), strict=True):
    assert f'Not all 2 processes met at {name} within 3 seconds' in sentence


@pytest.mark.slow
def test_two_processes_with_the_same_number_are_refused():
  address = f'127.0.0.1:{free_port()}'
  sentences = meet((address, 3, 0, 8), (address, 3, 1, 8), (address, 3, 1, 8))
  assert sum('give each its own --process-id' in sentence for sentence in sentences) == 1


@pytest.mark.slow
def test_a_process_that_process_0_does_not_expect_is_refused():
  address = f'127.0.0.1:{free_port()}'
  _, sentence = meet((address, 2, 0, 8), (address, 3, 2, 8))
  assert 'Process 0 expects fewer processes' in sentence


def test_a_port_that_is_in_use_is_named():
  with socket.create_server(('127.0.0.1', 0)) as server:
    port = server.getsockname()[1]
    with pytest.raises(UserError, match='has --process-id 0, too, give each its own, else choose'):
      together.join(f'127.0.0.1:{port}', 2, 0, {})


def test_only_this_machine_can_reach_a_coordinator_of_this_machine(monkeypatch):
  listening = []

  def connect(_, coordinator_bind_address, **arguments):
    del arguments
    listening.append(coordinator_bind_address)

  monkeypatch.setattr(processes, 'connect', connect)
  port = free_port()
  for host in ('127.0.0.1', 'localhost', 'node0'):
    together.join(f'{host}:{port}', 2, 0, {})
  # JAX's default is all addresses.
  assert listening == [f'127.0.0.1:{port}', f'localhost:{port}', None]


@pytest.mark.parametrize(
  ('options', 'sentence'),
  [
    (('--num-processes', 2), '--num-processes is for --coordinator'),
    (('--process-id', 0), '--process-id is for --coordinator'),
    (('--coordinator', 'a:1', '--num-processes', 2), '--coordinator also needs --process-id'),
    (('--coordinator', 'a', '--num-processes', 2, '--process-id', 0), 'must be HOST:PORT, not a'),
    (
      ('--coordinator', 'a:99999', '--num-processes', 2, '--process-id', 0),
      'must be HOST:PORT, not a:99999',
    ),
    (('--coordinator', 'a:1', '--num-processes', 2, '--process-id', 2), 'must be 0 to 1, not 2'),
    (('--coordinator', 'a:1', '--distributed'), 'leave --coordinator out'),
    (('--distributed', '--jobs', 2), 'leave --jobs and --cluster out'),
  ],
)
def test_options_that_do_not_go_together_are_refused(tmp_path, refused, options, sentence):
  assert sentence in refused('run', 'digits', *options, '--workdir', tmp_path)


SLOW = pytest.mark.slow
FATAL = (
  'E1122 21:51:12.620514   32471 coordination_service_agent.cc:289] Polled an error.\n'
  'F1122 21:51:12.620520   32471 client.h:80] Terminating process because the JAX distributed '
  'service detected fatal errors. This most likely indicates\n'
  '    @     0x7f4d7a040634  absl::lts_20260107::log_internal::LogMessage::SendToLog()\n'
)
NOT_FATAL = FATAL.splitlines(keepends=True)[0]


# Writes its input as native code does, and aborts in a thread.
ABORT = """
import os, sys, threading, time
from train.system.native_log import NativeLog
log = NativeLog(lambda logged: 'Another ended.')
muted = sys.argv[1] == 'True'
if muted:
  log.mute()
os.write(2, sys.stdin.buffer.read())
threading.Thread(target=os.abort).start()
time.sleep(1 if muted else 60)
print('It was refused.', file=sys.stderr)
os._exit(3)
"""


@pytest.mark.training
@pytest.mark.parametrize(
  ('log', 'muted', 'status', 'shown'),
  [
    pytest.param('a warning\n' + FATAL, False, 2, 'a warning\nAnother ended.\n', id='fatal'),
    pytest.param('F1122 another\n', False, -signal.SIGABRT, 'F1122 another\n', id='another'),
    pytest.param(FATAL, True, 3, 'It was refused.\n', id='explained before', marks=SLOW),
    pytest.param(NOT_FATAL, False, -signal.SIGABRT, NOT_FATAL, id='not fatal', marks=SLOW),
  ],
)
def test_what_the_runtime_logs_of_a_lost_process_is_one_sentence(log, muted, status, shown):
  command = [sys.executable, '-c', ABORT, str(muted)]
  done = subprocess.run(
    command, cwd=ROOT, input=log, stderr=subprocess.PIPE, text=True, check=False
  )
  assert (done.returncode, done.stderr) == (status, shown)


@pytest.mark.training
def test_a_sentence_is_shown_before_the_command_ends(tmp_path):
  errors = tmp_path / 'errors'
  command = ['train', 'run', 'digits', '--distributed', '--workdir', str(tmp_path / 'runs')]
  with errors.open('w') as file:
    done = subprocess.run([sys.executable, '-m', *command], cwd=ROOT, stderr=file, check=False)
    # Now, and not when a program that outlives it has come so far.
    said = errors.read_text()
  assert done.returncode == 2
  assert said.startswith('JAX does not find the processes of this run by itself')
  assert said.endswith('start them with --coordinator, --num-processes and --process-id.\n')
