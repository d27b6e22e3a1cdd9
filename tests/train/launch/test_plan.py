"""What processes that begin at the same time in one working directory may do to each other."""

import dataclasses
import threading

import pytest

from train.launch.plan import plan_runs
from train.problem.comparison import Comparison
from train.problem.experiments import DIGITS
from train.storage.tables import progress_of, read_phases
from train.system.errors import UserError
from train.system.files import write_whole


def digits(**changes) -> Comparison:
  return dataclasses.replace(DIGITS, arms=('fixed-0.9',), seeds=(0,), **changes)


def test_of_two_configurations_that_begin_at_once_one_is_refused(tmp_path):
  first, second = (plan_runs(digits(epochs=epochs), tmp_path) for epochs in (2, 3))
  first.claim()
  before = {path: path.read_bytes() for path in tmp_path.rglob('*.json')}
  with pytest.raises(UserError, match='epochs was 2, is 3'):
    second.claim()
  assert before == {path: path.read_bytes() for path in tmp_path.rglob('*.json')}


def test_two_that_begin_at_once_give_a_yoked_run_one_partner(tmp_path):
  arms = ('low0.5-high0.9', 'yoked0.5-0.9')
  plans = [
    plan_runs(dataclasses.replace(DIGITS, arms=arms, seeds=seeds), tmp_path)
    for seeds in ((0, 1), (0, 1, 2))
  ]
  for plan in plans:
    plan.claim()
  partners = [
    {run.seed: run.partner_seed for run in plan.runs if run.partner is not None} for plan in plans
  ]
  assert partners == [{0: 1, 1: 0}, {0: 1, 1: 0, 2: 0}]


def test_a_partner_of_another_command_is_waited_for_only_where_asked(tmp_path):
  lcam, yoked = (
    dataclasses.replace(DIGITS, arms=(arm,), seeds=(0, 1))
    for arm in ('low0.5-high0.9', 'yoked0.5-0.9')
  )
  with pytest.raises(UserError, match='with that seed first'):
    plan_runs(yoked, tmp_path, partners_elsewhere=True)
  plan_runs(lcam, tmp_path).claim()
  with pytest.raises(UserError, match='with that seed first'):
    plan_runs(yoked, tmp_path)
  assert len(plan_runs(yoked, tmp_path, partners_elsewhere=True).runs) == 2


def test_a_row_that_is_being_written_is_not_read(tmp_path):
  (tmp_path / 'metrics.csv').write_text('epoch,train_loss\n1,2.5\n2,1')
  (tmp_path / 'phases.csv').write_text('epoch,high_loss_phases\n1,0101\n2,01')
  assert progress_of(tmp_path) == (1, False)
  assert len(read_phases(tmp_path, 1)) == 4


def test_writers_of_one_file_leave_one_of_their_texts(tmp_path):
  path = tmp_path / 'report.md'
  texts = [f'{number}' * 100_000 for number in range(4)]
  threads = [
    threading.Thread(target=lambda text=text: [write_whole(path, text) for _ in range(20)])
    for text in texts
  ]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join()
  assert path.read_text() in texts
  assert list(tmp_path.iterdir()) == [path]
