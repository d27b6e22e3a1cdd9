"""When flags of XLA are set, and that those of the user stay."""

import os

import jaxlib
import pytest

from train.experiments import FIGURE_3, SPEECH
from train.networks import OwnNetwork
from train.xla_flags import set_xla_flags_for

SAME_BITS = '--xla_gpu_deterministic_ops=true'
FLAG = '--xla_cpu_experimental_ynn_fusion_type='
KERNELS = ','.join(f'LIBRARY_FUSION_TYPE_{kind}' for kind in ('DOT', 'REDUCE', 'ELTWISE'))


@pytest.fixture(autouse=True)
def flags(monkeypatch):
  monkeypatch.setenv('XLA_FLAGS', '--xla_dump_to=there')
  monkeypatch.setattr(jaxlib, '__version__', '0.10.2')
  return monkeypatch


def xla_flags():
  return os.environ['XLA_FLAGS'].split()


@pytest.mark.parametrize('network', [FIGURE_3.network, OwnNetwork(print)])
@pytest.mark.parametrize('version', ['0.10.0', '0.10.2', '0.12.0.1'])
def test_networks_with_2d_convolutions_get_the_flag_beside_the_users(flags, network, version):
  flags.setattr(jaxlib, '__version__', version)
  set_xla_flags_for([SPEECH.network, network])
  assert xla_flags() == ['--xla_dump_to=there', SAME_BITS, f'{FLAG}{KERNELS}']


def test_others_do_not():
  set_xla_flags_for([SPEECH.network])
  assert xla_flags() == ['--xla_dump_to=there', SAME_BITS]


def test_a_flag_of_the_users_stays(flags):
  fast = '--xla_gpu_deterministic_ops=false'
  flags.setenv('XLA_FLAGS', f'{FLAG}all {fast}')
  set_xla_flags_for([FIGURE_3.network])
  assert xla_flags() == [f'{FLAG}all', fast]


def test_other_versions_of_jaxlib_do_not_get_it(flags):
  flags.setattr(jaxlib, '__version__', '0.8.0')
  set_xla_flags_for([FIGURE_3.network])
  assert xla_flags() == ['--xla_dump_to=there', SAME_BITS]
