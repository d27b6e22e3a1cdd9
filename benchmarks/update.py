"""Compares a step of LCAM with one of optax.sgd: python -m benchmarks.update [--turns 20].

A step is the update and ``optax.apply_updates`` in one jitted function, with parameters and state
donated. The leaves are those of a WRN-28-10, and about as many parameters in 1, 8, 64 and 400 equal
vectors of even and of odd length. The peers are optax.sgd and, because its momentum is a number in
memory as LCAM's is, ``optax.inject_hyperparams(optax.sgd)``. All take turns. A second copy of
optax.sgd shows the noise of the method: trust a run only if its ratio is near 1.
"""

import platform
import random
import statistics
import time

import jax
import jax.numpy as jnp
import optax
import tyro
from flax import nnx
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from lcam_optax import lcam
from models import WideResNet

Shapes = list[tuple[int, ...]]


class Steps:
  """The steps to compare.

  They share parameters, trace and gradients, so that the place of these in memory, which affects
  the speed, is the same for all.
  """

  def __init__(self, shapes: Shapes):
    solvers = {
      'sgd': optax.sgd(0.1, momentum=0.9),
      'lcam': lcam(0.1, 0.95, 0.9, steps_per_epoch=391, rule='algorithm1'),
      'injected': optax.inject_hyperparams(optax.sgd)(0.1, momentum=0.9),
      'again': optax.sgd(0.1, momentum=0.9),
    }
    self._params = [jnp.ones(shape) for shape in shapes]
    self._trace = [jnp.zeros(shape) for shape in shapes]
    self._grads = [jnp.full(shape, 1e-3) for shape in shapes]
    self._states = {name: solver.init(jnp.zeros([])) for name, solver in solvers.items()}
    self._steps = {
      name: _jitted(optax.with_extra_args_support(solver)) for name, solver in solvers.items()
    }
    for name in solvers:
      self._run(name, 1.0)  # compiles

  def medians(self, turns: int) -> dict[str, float]:
    """Returns the median seconds of each step."""
    seconds: dict[str, list[float]] = {name: [] for name in self._steps}
    for turn in range(turns):
      for name in random.Random(turn).sample(list(seconds), len(seconds)):
        seconds[name].append(self._run(name, 1.0 + turn % 2))  # both phases in turn
    return {name: statistics.median(times) for name, times in seconds.items()}

  def _run(self, name: str, loss: float) -> float:
    state = optax.tree.set(self._states[name], trace=self._trace)
    value = jnp.asarray(loss)
    start = time.perf_counter()
    updated = self._steps[name](self._params, state, self._grads, value)
    self._params, state = jax.block_until_ready(updated)
    seconds = time.perf_counter() - start
    self._trace = optax.tree.get(state, 'trace')
    self._states[name] = optax.tree.set(state, trace=None)
    return seconds


def _jitted(solver: optax.GradientTransformationExtraArgs):
  def step(params, state, grads, loss):
    updates, state = solver.update(grads, state, params, value=loss)
    return optax.apply_updates(params, updates), state

  return jax.jit(step, donate_argnums=(0, 1))


def layouts(depth: int, width: int) -> dict[str, Shapes]:
  """Returns the shapes of the leaves of each layout, by its name."""
  model = nnx.eval_shape(lambda: WideResNet(depth, width, 10, rngs=nnx.Rngs(0)))
  leaves = jax.tree.leaves(nnx.state(model, nnx.Param))
  even = [(n, sum(leaf.size for leaf in leaves) // n // 2 * 2) for n in (1, 8, 64, 400)]
  equal = [*even, *((n, length - 1) for n, length in even)]
  return {
    f'WRN-{depth}-{width}': [leaf.shape for leaf in leaves],
    **{f'{n} of {length:,}': [(length,)] * n for n, length in equal},
  }


def main(rounds: int = 5, turns: int = 20, depth: int = 28, width: int = 10) -> None:
  """Prints ratios of the medians of each round: their median, and their range in parentheses.

  Args:
    rounds: The number of rounds.
    turns: The number of times that each step runs in a round.
    depth: The depth of the wide residual network.
    width: Its width.
  """
  table = Table(
    *('leaves', 'sgd, ms', 'lcam / sgd', 'injected / sgd', 'sgd / sgd'),
    title=f'{rounds} rounds of {turns} turns',
  )
  console = Console()
  by_layout = layouts(depth, width)
  with Progress(console=console, transient=True) as progress:
    task = progress.add_task('', total=len(by_layout) * rounds)
    for layout, shapes in by_layout.items():
      progress.update(task, description=layout)
      steps = Steps(shapes)
      medians = []
      for _ in range(rounds):
        medians.append(steps.medians(turns))
        progress.advance(task)
      del steps  # before the next layout needs the memory
      table.add_row(
        layout,
        f'{statistics.median(m["sgd"] for m in medians) * 1e3:.2f}',
        *(_text([m[name] / m['sgd'] for m in medians]) for name in ('lcam', 'injected', 'again')),
      )
  console.print(table)
  print(
    f'{jax.devices()[0].device_kind} ({platform.machine()}), '
    f'jax {jax.__version__}, optax {optax.__version__}'
  )


def _text(ratios: list[float]) -> str:
  return f'{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})'


if __name__ == '__main__':
  tyro.cli(main)
