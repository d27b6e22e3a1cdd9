"""Flags of XLA: with which a GPU computes the same bits each time, and a CPU convolves faster."""

import os
from collections.abc import Iterable

import jaxlib

from train.networks import Network, OwnNetwork, WideResNet

# Without it, kernels that are chosen by their speed at the moment, and sums in the order in which threads
# come, make other bits in each process: docs/speed.md tells what it costs.
_SAME_BITS = '--xla_gpu_deterministic_ops', 'true'
# The new kernels of a CPU for 2-D convolutions are slower than those that it had, those for products,
# sums and elementwise operations faster: docs/speed.md has the ratios. Versions are
# listed, each tried, because one that does not know the flag, as 0.8.0, ends the process.
_SLOW_CONVOLUTIONS = (
  '0.10.0',
  '0.10.1',
  '0.10.2',
  '0.11.0',
  '0.11.1',
  '0.11.2',
  '0.12.0',
  '0.12.0.1',
)
_OTHER_KERNELS = (
  '--xla_cpu_experimental_ynn_fusion_type',
  ','.join(f'LIBRARY_FUSION_TYPE_{kind}' for kind in ('DOT', 'REDUCE', 'ELTWISE')),
)


def set_xla_flags_for(networks: Iterable[Network]) -> None:
  """Sets flags for this process and those that it starts; to be called before JAX is first used.

  A flag that the user has set in ``XLA_FLAGS`` stays as it is.

  Args:
    networks: What is trained.
  """
  _set_flag(*_SAME_BITS)
  # Networks of users may convolve in two dimensions; where they do not, it matters little.
  if any(isinstance(network, WideResNet | OwnNetwork) for network in networks):
    set_cpu_flags()


def set_cpu_flags() -> None:
  """Sets those for a CPU alone, likewise."""
  if jaxlib.__version__ in _SLOW_CONVOLUTIONS:
    _set_flag(*_OTHER_KERNELS)


def _set_flag(name: str, value: str) -> None:
  flags = os.environ.get('XLA_FLAGS', '')
  if name not in flags:
    os.environ['XLA_FLAGS'] = f'{flags} {name}={value}'.strip()
