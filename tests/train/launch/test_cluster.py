"""Runs on a Ray cluster equal runs made one after the other, also when a node dies."""

import signal
import sys

import pytest

from tests.train.launch.support import check_goes_on, check_shared_runs, check_stop
from tests.train.support import (
  LCAM,
  checkpoints_in,
  run_command,
  start,
  tables,
  wait_until,
  write_problem,
)
from train.launch.cluster import Cluster
from train.launch.jobs import share_of_cores
from train.system.errors import UserError

HERE = {'node_ip_address': '127.0.0.1'}  # listen to this machine only
THREADS = share_of_cores(1)  # as many as a process has that trains alone


def test_without_ray_it_says_how_to_install_it(refused, monkeypatch, tmp_path):
  monkeypatch.setitem(sys.modules, 'ray', None)
  path = write_problem(tmp_path)
  message = refused('run', path, '--cluster', 'auto', '--workdir', tmp_path / 'runs')
  assert message == '--cluster needs Ray: install it with `pip install -e ".[cluster]"`.'
  assert not (tmp_path / 'runs').exists()


def test_a_cluster_that_does_not_start_is_one_sentence(monkeypatch):
  ray = pytest.importorskip('ray')

  def fail(**settings):
    raise Exception('The current node timed out during startup.\n\nTraceback of a server\n')

  monkeypatch.setattr(ray, 'init', fail)
  with pytest.raises(UserError, match=r'^--cluster local: The current node timed out .*$'):
    Cluster('local', 1, 0, 0)


def expected_tables(path, folder, *arguments):
  """Returns the tables of the runs made one after the other."""
  run_command('run', path, *arguments, '--workdir', folder / 'one-by-one')
  return tables(folder / 'one-by-one')


@pytest.fixture(autouse=True)
def settings(monkeypatch):
  """Keeps Ray on the loopback interface, without the token that it would write to ``~/.ray``."""
  monkeypatch.setenv('RAY_USAGE_STATS_ENABLED', '0')
  monkeypatch.setenv('RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER', '0')
  monkeypatch.setenv('RAY_AUTH_MODE', 'disabled')


def make_cluster(**head):
  """Starts a cluster of one node, made of processes of this machine."""
  cluster_utils = pytest.importorskip('ray.cluster_utils')
  return cluster_utils.Cluster(
    initialize_head=True, head_node_args={'include_dashboard': False, **HERE, **head}
  )


@pytest.fixture
def cluster():
  """Returns a cluster of a head that trains nothing and two nodes that train one run at a time."""
  cluster = make_cluster(num_cpus=0)
  try:
    cluster.nodes = [cluster.add_node(num_cpus=THREADS, **HERE) for _ in range(2)]
    yield cluster
  finally:
    cluster.shutdown()


@pytest.mark.slow
def test_when_a_node_dies_its_runs_go_on_elsewhere_to_the_same_bytes(cluster, tmp_path):
  path = write_problem(tmp_path, epochs=30)
  only = ('--arms', LCAM)
  expected = expected_tables(path, tmp_path, *only)
  workdir = tmp_path / 'runs'
  arguments = (path, *only, '--workdir', workdir, '--cluster', 'auto', '--cpus-per-run', THREADS)
  command = start(*arguments, RAY_ADDRESS=cluster.address)
  wait_until(lambda: len(checkpoints_in(workdir)) == 2, command)
  cluster.remove_node(cluster.nodes[0], allow_graceful=False)
  output, errors = command.communicate()
  assert command.returncode == 0, errors
  assert 'to be tried again, from its newest checkpoint' in output
  assert 'goes on after epoch' in output
  assert tables(workdir) == expected
  assert '\x1b' not in output


@pytest.mark.slow
def test_two_commands_on_one_cluster_and_directory_share_its_runs(cluster, tmp_path):
  path = write_problem(tmp_path)
  expected = expected_tables(path, tmp_path)
  workdir = tmp_path / 'runs'
  arguments = path, '--cluster', 'auto', '--cpus-per-run', THREADS
  check_shared_runs(arguments, workdir, expected, RAY_ADDRESS=cluster.address)


@pytest.mark.slow
@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGKILL])
def test_a_command_that_is_stopped_goes_on_to_the_same_bytes(cluster, tmp_path, number):
  path = write_problem(tmp_path, epochs=60)
  expected = expected_tables(path, tmp_path)
  workdir = tmp_path / 'runs'
  arguments = path, '--cluster', 'auto', '--cpus-per-run', THREADS
  check_stop(number, arguments, workdir, expected, RAY_ADDRESS=cluster.address)
  check_goes_on(arguments, workdir, expected, RAY_ADDRESS=cluster.address)


@pytest.mark.slow
def test_a_cluster_of_this_machine_is_started_and_ended(tmp_path):
  pytest.importorskip('ray')
  path = write_problem(tmp_path)
  workdir = tmp_path / 'runs'
  arguments = (path, '--workdir', workdir, '--cluster', 'local')
  command = start(*arguments, '--cpus-per-run', 10_000)
  _, errors = command.communicate()
  assert command.returncode == 2
  assert errors.startswith('Each run needs 10000 CPUs, but this machine has ')
  expected = expected_tables(path, tmp_path)
  command = start(*arguments, '--cpus-per-run', THREADS)
  _, errors = command.communicate()
  assert command.returncode == 0, errors
  assert errors == ''
  assert tables(workdir) == expected
