"""When flags of XLA are set, and that those of the user stay."""

import os

import jaxlib
import pytest

from train.cpu_flags import set_cpu_flags_for
from train.experiments import FIGURE_3, QUICKSTART, SPEECH
from train.networks import WideResNet

FLAG = '--xla_cpu_experimental_ynn_fusion_type='


@pytest.fixture(autouse=True)
def flags(monkeypatch):
  monkeypatch.setenv('XLA_FLAGS', '--xla_dump_to=there')
  monkeypatch.setattr(jaxlib, '__version__', '0.10.2')
  return monkeypatch


def xla_flags():

  return os.environ['XLA_FLAGS'].split()


def test_wide_networks_get_the_flag_beside_the_users():
  set_cpu_flags_for([QUICKSTART.network, FIGURE_3.network])
  assert xla_flags() == ['--xla_dump_to=there', FLAG]


@pytest.mark.parametrize('network', [QUICKSTART.network, SPEECH.network, WideResNet(16, 2)])
def test_others_do_not(network):
  set_cpu_flags_for([network])
  assert xla_flags() == ['--xla_dump_to=there']


def test_a_flag_of_the_users_stays(flags):
  flags.setenv('XLA_FLAGS', f'{FLAG}all')
  set_cpu_flags_for([FIGURE_3.network])
  assert xla_flags() == [f'{FLAG}all']


def test_other_versions_of_jaxlib_do_not_get_it(flags):
  flags.setattr(jaxlib, '__version__', '0.8.0')
  set_cpu_flags_for([FIGURE_3.network])
  assert xla_flags() == ['--xla_dump_to=there']
