"""Flags of XLA that make trainings of networks with 2-D convolutions faster on a CPU."""

import os
from collections.abc import Iterable

import jaxlib

from train.networks import Network, WideResNet

# Its new kernels for 2-D convolutions are slower than those that it had, those for products, sums and
# elementwise operations faster: docs/speed.md has the ratios. Versions are
# listed because one that does not know the flag, as 0.8.0, ends the process.
_SLOW_CONVOLUTIONS = ('0.10.2',)
_FLAG = '--xla_cpu_experimental_ynn_fusion_type'
_KERNELS = ','.join(f'LIBRARY_FUSION_TYPE_{kind}' for kind in ('DOT', 'REDUCE', 'ELTWISE'))


def set_cpu_flags_for(networks: Iterable[Network]) -> None:
  """Sets flags for this process if they are of use; to be called before JAX is first used.

  Args:
    networks: What is trained.
  """
  if any(isinstance(network, WideResNet) for network in networks):
    set_cpu_flags()


def set_cpu_flags() -> None:
  """Sets flags for this process and those that it starts; to be called before JAX is first used.

  A flag that the user has set in ``XLA_FLAGS`` stays as it is.
  """
  flags = os.environ.get('XLA_FLAGS', '')
  if jaxlib.__version__ in _SLOW_CONVOLUTIONS and _FLAG not in flags:
    os.environ['XLA_FLAGS'] = f'{flags} {_FLAG}={_KERNELS}'.strip()
