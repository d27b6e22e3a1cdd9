"""The commands that time a training step run and say what they measured, on small settings."""

import os
import re
import subprocess
import sys
from unittest import mock

import pytest

from benchmarks import models
from benchmarks.settings import format_ratios, settings


def output_of(name: str, *arguments: str, **variables: str) -> str:
  command = [sys.executable, '-m', f'benchmarks.{name}', *arguments]
  environment = {**os.environ, **variables}
  return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout


@pytest.mark.slow
def test_models_says_examples_a_second_and_the_speed_up_of_the_product():
  lines = output_of('models', '--networks', 'digits', '--seconds', '0').splitlines()
  assert 'jaxlib' in lines[0]
  assert int(re.fullmatch(r'digits +(\d+) examples a second', lines[1])[1]) > 0
  assert float(re.fullmatch(r'digits +([\d.]+) times as fast .*', lines[2])[1]) > 0


@pytest.mark.slow
def test_input_path_says_the_shares_of_a_step():
  output = output_of('input_path', '--network', 'digits', '--steps', '1', '--rounds', '1')
  shares = dict(re.findall(r'^(\S[\w ]*?)  .*? ([\d.]+) % of a step$', output, re.MULTILINE))
  assert list(shares) == ['on the device', 'streamed', 'one by one through PIL', 'training step']
  assert float(shares['training step']) == 100


@pytest.mark.slow
def test_shares_of_a_step_are_all_of_it():
  output = output_of('shares', 'digits', '--seconds', '0')
  shares = dict(re.findall(r'^  (\S[\w ]*?) +(-?[\d.]+) %$', output, re.MULTILINE))
  assert list(shares) == [
    *('convolutions and products', 'normalisation', 'augmentation', 'input', 'optimizer'),
  ]
  assert sum(map(float, shares.values())) == pytest.approx(100, abs=0.3)
  assert re.search(r'FLOP/s, \d+ % of the [\d.,]+ [GT]FLOP/s of a float32 product', output)


@pytest.mark.slow
def test_training_says_examples_a_second_where_there_is_no_pytorch():
  output = output_of(
    *('training', '--networks', 'digits', '--pairs', '2'),
    *('--torch-python', 'no-such-python', '--share-seconds', '0'),
  )
  assert 'no-such-python has no torch and Pillow: PyTorch is left out.' in output
  assert re.search(r'digits, float32 +│ +[\d,.e+]+', output)
  assert 'optimizer' in output


@pytest.mark.slow
def test_resume_says_what_rows_cost():
  output = output_of('resume', '--epochs', '3', '--times', '1')
  assert re.search(
    r'^    3 epochs: .* s, .* times as long, .* s more per 1,000 epochs$', output, re.M
  )


@pytest.mark.slow
def test_settings_says_a_ratio_of_each_setting():
  # With a flag of the user's, the others are left to compare.
  flags = {'XLA_FLAGS': '--xla_cpu_experimental_ynn_fusion_type='} if _has_options() else {}
  arguments = '--networks', 'digits', '--starts', '1', '--pairs', '2'
  output = output_of('settings', *arguments, **flags)
  for row in ('kept buffers, time', 'huge pages, time', 'huge pages, processor time'):
    assert re.search(rf'{row} +│ +[\d.]+ \([\d.]+ to [\d.]+\)', output)
  assert ("XLA's options" in output) == (not flags and _has_options())


def _has_options() -> bool:
  with mock.patch.dict('os.environ', XLA_FLAGS=''):
    return "XLA's options" in settings()


@pytest.mark.parametrize('flags', ['', '--xla_force_host_platform_device_count=2'])
def test_processes_that_are_compared_differ_in_one_setting(flags):
  with mock.patch.dict('os.environ', XLA_FLAGS=flags):
    for without, with_ in settings().values():
      assert (without.options != with_.options) + (without.variables != with_.variables) == 1
    assert os.environ['XLA_FLAGS'] == flags


def test_quartiles_stand_beside_the_median():
  assert format_ratios([5.0, 1.0, 2.0, 4.0, 3.0]) == '3.00 (2.00 to 4.00)'


def test_an_unknown_network_is_refused_in_a_sentence():
  with pytest.raises(SystemExit, match="There is no network 'WRN-9-9' here: choose from digits,"):
    models.main(networks=('WRN-9-9',))


@pytest.mark.slow
def test_start_up_says_the_seconds_of_each_part():
  lines = output_of('start_up', '--starts', '1').splitlines()
  parts = dict(re.findall(r'│ (\w[\w, ]*?) +│ +[\d.]+ │ +([\d.]+) │', '\n'.join(lines)))
  assert {'imports', 'data', 'weights', 'the step', 'in all'} <= parts.keys()
  assert sum(map(float, parts.values())) == pytest.approx(2 * float(parts['in all']), abs=0.1)
