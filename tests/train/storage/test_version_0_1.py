"""Working directories that version 0.1 wrote (commit 513a96e) are read and added to."""

import pathlib
import shutil

import pytest

from tests.train.support import run_command

ROOT = pathlib.Path(__file__).parents[3]
SMALL = ('run', 'quickstart', '--epochs', 2, '--train-examples', 100, '--batch-size', 40)
ARMS = ('fixed-0.9', 'low0.857-high0.93')


@pytest.fixture
def workdir(tmp_path):
  return shutil.copytree(pathlib.Path(__file__).parent / 'version_0_1', tmp_path / 'runs')


def test_finished_runs_are_the_same_runs(workdir):
  output = run_command(*SMALL, '--workdir', workdir, '--arms', *ARMS, '--seeds', 0, 1)
  for arm in ARMS:
    for seed in (0, 1):
      assert f'{arm} seed {seed}: finished before' in output


def test_another_setting_is_another_configuration(workdir, refused):
  arguments = (*SMALL, '--workdir', workdir, '--arms', *ARMS, '--seeds', 0, 1)
  assert 'weight_decay was 0.0005, is 0.1' in refused(*arguments, '--weight-decay', 0.1)
  assert 'network.width was 1, is 2' in refused(*arguments, '--width', 2)


def test_an_unfinished_run_is_refused_and_kept(workdir, refused):
  directory = workdir / 'fixed-0.9' / 'seed-0'
  lines = (directory / 'metrics.csv').read_text().splitlines()
  (directory / 'metrics.csv').write_text('\n'.join(lines[:2]) + '\n')
  (directory / 'checkpoints' / '3').mkdir(parents=True)
  message = refused(*SMALL, '--workdir', workdir, '--arms', *ARMS, '--seeds', 0, 1)
  assert 'was begun with version 0.1' in message
  assert (directory / 'checkpoints' / '3').exists()


def test_its_coin_is_reported_beside_the_others(workdir):
  output = run_command('report', workdir)
  assert 'coin' in output
  assert 'quickstart, digits' in output


@pytest.mark.parametrize('folder', ['figure3', 'figure3-balanced', 'noise', 'speech', 'learning'])
def test_every_result_can_be_reported(folder, tmp_path):
  copy = shutil.copytree(ROOT / 'results' / folder, tmp_path / folder)
  assert 'fixed-0.9' in run_command('report', copy)
