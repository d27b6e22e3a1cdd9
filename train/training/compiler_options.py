"""Options of XLA's compiler: for the same bits each time on a GPU, and for speed on a CPU."""

import functools
import os

import jax

from train.problem.networks import Network

CompilerOptions = dict[str, bool | int | str]

# Without it, kernels that are chosen by their speed at the moment, and sums in the order in which threads
# come, make other bits in each process: docs/speed.md tells what it costs.
_SAME_BITS: CompilerOptions = {'xla_gpu_deterministic_ops': True}
# The new kernels of a CPU for 2-D convolutions are slower than those that it had, those for products,
# sums and elementwise operations faster: docs/speed.md has the ratios.
_OTHER_KERNELS: CompilerOptions = {
  'xla_cpu_experimental_ynn_fusion_type': ','.join(
    f'LIBRARY_FUSION_TYPE_{kind}' for kind in ('DOT', 'REDUCE', 'ELTWISE')
  )
}
# A program that draws random weights is compiled in less than half of the time with these. It then takes
# more than twice the time, once in a training.
_HURRIED: CompilerOptions = {
  'xla_backend_optimization_level': 0,
  'xla_cpu_use_fusion_emitters': False,
  'xla_cpu_experimental_ynn_fusion_type': '',
}


def compiler_options(network: Network, *, runs_once: bool = False) -> CompilerOptions:
  """Returns options of ``jax.jit`` for the programs of a network, on the default kind of device.

  What the user has set in ``XLA_FLAGS`` is not among them, nor what this version of XLA does not know.

  Args:
    network: What is trained.
    runs_once: Whether the program runs once in a training, and not in every step.
  """
  options: CompilerOptions = {}
  match jax.default_backend():
    case 'gpu':
      options = _SAME_BITS
    case 'cpu' if runs_once:
      options = _HURRIED
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
