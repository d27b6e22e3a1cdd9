"""Times LCAM's update against that of optax.sgd, on the parameters of a WRN-28-10.

    python -m benchmarks.update [--pairs 31]

Both are jitted with donated buffers and run in turn, and the ratio is taken pair by pair: on a
shared machine a single time says little, the median of the ratios does.
"""

import platform
import statistics
import time

import jax
import jax.numpy as jnp
import optax
import tyro
from flax import nnx

from lcam_optax import lcam
from models import WideResNet


def make_step(solver: optax.GradientTransformationExtraArgs, params: optax.Params):
  """Returns a function that runs one jitted update and waits for it."""
  solver = optax.with_extra_args_support(solver)

  def update(params, state, grads, loss):
    updates, state = solver.update(grads, state, params, value=loss)
    return optax.apply_updates(params, updates), state

  update = jax.jit(update, donate_argnums=(0, 1))
  grads = jax.tree.map(lambda x: jnp.full_like(x, 1e-3), params)
  held = [jax.tree.map(jnp.copy, params), solver.init(params)]

  def step(loss: float) -> float:
    start = time.perf_counter()
    held[:] = jax.block_until_ready(update(*held, grads, loss))
    return time.perf_counter() - start

  return step


def main(pairs: int = 31) -> None:
  """Prints the median ratio of the update times, and their quartiles.

  Args:
    pairs: How many pairs of updates to time.
  """
  model = nnx.eval_shape(lambda: WideResNet(28, 10, 10, rngs=nnx.Rngs(0)))
  params = jax.tree.map(lambda x: jnp.ones(x.shape, x.dtype), nnx.state(model, nnx.Param))
  ours = make_step(lcam(0.1, 0.95, 0.9, steps_per_epoch=391), params)
  sgd = make_step(optax.sgd(0.1, momentum=0.9), params)
  for step in (ours, sgd):
    step(1.0)  # compiles
  ratios = []
  for pair in range(pairs):
    loss = 1.0 + pair % 2  # so that both phases are timed
    if pair % 2:
      sgd_seconds, our_seconds = sgd(loss), ours(loss)
    else:
      our_seconds, sgd_seconds = ours(loss), sgd(loss)
    ratios.append(our_seconds / sgd_seconds)
  low, median, high = statistics.quantiles(ratios, n=4)
  count = sum(x.size for x in jax.tree.leaves(params))
  print(
    f'{count:,} float32 parameters on {jax.devices()[0].device_kind} ({platform.machine()}), '
    f'jax {jax.__version__}, optax {optax.__version__}\n'
    f'lcam / optax.sgd: median {median:.3f}, quartiles {low:.3f} to {high:.3f}, {pairs} pairs'
  )


if __name__ == '__main__':
  tyro.cli(main)
