"""Flags of XLA that make CPU trainings faster."""

import os

import jaxlib

# Its new kernels for convolutions are slower than those that it had; docs/speed.md has the ratios.
# Versions are listed because one that does not know the flag, as 0.8.0, ends the process.
_SLOW_CONVOLUTIONS = ('0.10.2',)
_FLAG = '--xla_cpu_experimental_ynn_fusion_type'


def set_cpu_flags() -> None:
  """Sets flags for this process and those that it starts; to be called before JAX is first used.

  A flag that the user has set in ``XLA_FLAGS`` stays as it is.
  """
  flags = os.environ.get('XLA_FLAGS', '')
  if jaxlib.__version__ in _SLOW_CONVOLUTIONS and _FLAG not in flags:
    os.environ['XLA_FLAGS'] = f'{flags} {_FLAG}='.strip()
