"""Options of XLA's compiler: reproducible bits on a GPU, speed on a CPU."""

import functools
import os

import jax

from train.problem.networks import Network

CompilerOptions = dict[str, bool | int | str]

# Without it, kernels are chosen by their speed at the moment, and threads add in any order: each
# process gets other bits. docs/speed.md says what it costs.
_SAME_BITS: CompilerOptions = {'xla_gpu_deterministic_ops': True}
# XLA's newer CPU kernels are slower for 2-D convolutions, but faster for products, sums and
# elementwise operations: docs/speed.md has the ratios.
_OTHER_KERNELS: CompilerOptions = {
  'xla_cpu_experimental_ynn_fusion_type': ','.join(
    f'LIBRARY_FUSION_TYPE_{kind}' for kind in ('DOT', 'REDUCE', 'ELTWISE')
  )
}
# With these, the program that draws random weights compiles in less than half the time. It then
# takes more than twice as long, but runs only once in a training.
_QUICKLY_COMPILED: CompilerOptions = {
  'xla_backend_optimization_level': 0,
  'xla_cpu_use_fusion_emitters': False,
  'xla_cpu_experimental_ynn_fusion_type': '',
}


def compiler_options(network: Network, *, runs_once: bool = False) -> CompilerOptions:
  """Returns options of ``jax.jit`` for the programs of a network, on the default kind of device.

  ``runs_once`` is for a program that runs once in a training. Leaves out options that the user sets in
  ``XLA_FLAGS``, and those that this version of XLA lacks.
  """
  options: CompilerOptions = {}
  match jax.default_backend():
    case 'gpu':
      options = _SAME_BITS
    case 'cpu' if runs_once:
      options = _QUICKLY_COMPILED
    case 'cpu' if network.convolves_images:
      options = _OTHER_KERNELS
  flags = os.environ.get('XLA_FLAGS', '')
  return {
    name: value for name, value in options.items() if name not in flags and _is_known(name, value)
  }


@functools.cache
def _is_known(name: str, value: bool | int | str) -> bool:
  try:
    jax.jit(lambda: 0, compiler_options={name: value}).lower().compile()
  except jax.errors.JaxRuntimeError:
    return False
  return True
