"""The configuration of a run: what it can hold, and when two are the same."""

import dataclasses
import json
import math

import numpy as np
import pytest

from train import arms, schedules
from train.problem.experiments import DIGITS
from train.storage.configuration import check_same_run, read_config, run_config, write_config
from train.system.errors import UserError


@dataclasses.dataclass(frozen=True)
class Mine(arms.Arm):
  """An arm that is never built."""

  further: object = 3
  momentum: object = 0.5
  kind = 'mine'

  def build(self, setting):
    raise NotImplementedError


@dataclasses.dataclass(frozen=True)
class Slow(schedules.Constant):
  """A schedule with another field."""

  further: object = 3
  kind = 'slow'


def config_of(arm=None, **changes):
  comparison = dataclasses.replace(DIGITS, **changes)
  return run_config(comparison, arm or comparison.arms[0], 0, dataset='digits')


@pytest.mark.parametrize(
  ('further', 'kept'), [(np.float32(0.5), 0.5), (np.ones(3), [1.0, 1.0, 1.0]), (math.sin, 'sin')]
)
def test_numbers_of_numpy_are_kept_by_value_and_functions_by_name(further, kept):
  assert config_of(Mine(further))['arm']['further'] == kept
  assert config_of(schedule=Slow(further=further))['schedule']['further'] == kept


def test_a_field_that_json_has_not_is_refused():
  with pytest.raises(UserError, match=r'cannot hold the schedule or the arm mine \(keys must be'):
    config_of(Mine({(1, 2): 3}))


def test_a_field_that_reports_read_as_a_number_must_be_one():
  with pytest.raises(UserError, match=r'gives arm.momentum in config.json the wrong type'):
    config_of(Mine(momentum='high'))


def test_what_is_written_is_read_back_and_the_same_also_with_a_nan(tmp_path):
  config = config_of(Mine((math.nan, 1.0)), schedule=Slow(further=math.nan))
  write_config(tmp_path, config)
  check_same_run(tmp_path, read_config(tmp_path), json.loads(json.dumps(config)))
  other = config_of(Mine((math.nan, 2.0)), schedule=Slow(further=math.nan))
  with pytest.raises(UserError, match=r'\(arm.further was \[nan, 1.0\], is \[nan, 2.0\]\)'):
    check_same_run(tmp_path, read_config(tmp_path), other)
