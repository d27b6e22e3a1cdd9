"""Compares the time of LCAM's and optax.sgd's update: python -m benchmarks.update [--pairs 101].

It times them on the parameters of a WRN-28-10, and on the same number of parameters in 1, 8, 64 and
400 equal leaves. Both are jitted with donated buffers, ``optax.apply_updates`` included, and a
ratio is computed for each pair: on a shared machine a single time says little, but the median of the
ratios is reliable. A second copy of optax.sgd shows the noise of the method: trust a run only if
that ratio is near 1.
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


class Updates:
  """The updates to compare.

  They share parameters, trace and gradients, so that the place of these in memory, which affects
  the speed, is the same for all.
  """

  def __init__(self, shapes: Shapes):
    self._solvers = {
      name: optax.with_extra_args_support(solver)
      for name, solver in {
        'lcam': lcam(0.1, 0.95, 0.9, steps_per_epoch=391),
        'sgd': optax.sgd(0.1, momentum=0.9),
        'sgd again': optax.sgd(0.1, momentum=0.9),
      }.items()
    }
    self._params = [jnp.ones(shape) for shape in shapes]
    self._trace = [jnp.zeros(shape) for shape in shapes]
    self._grads = [jnp.full(shape, 1e-3) for shape in shapes]
    self._states = {name: solver.init(jnp.zeros([])) for name, solver in self._solvers.items()}
    self._steps = {name: _jitted(solver) for name, solver in self._solvers.items()}

  def run(self, name: str, loss: float) -> float:
    """Runs one update and returns its seconds."""
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
  count = sum(leaf.size for leaf in leaves)
  equal = {f'{n} of {count // n:,}': [(count // n,)] * n for n in (1, 8, 64, 400)}
  return {f'WRN-{depth}-{width}': [leaf.shape for leaf in leaves], **equal}


def main(pairs: int = 101, depth: int = 28, width: int = 10) -> None:
  """Prints the ratios of the update times: medians, and quartiles in parentheses.

  Args:
    pairs: The number of pairs of updates to time.
    depth: The depth of the wide residual network.
    width: Its width.
  """
  table = Table('leaves', 'sgd, ms', 'lcam / sgd', 'sgd / sgd', title=f'{pairs} pairs each')
  console = Console()
  by_layout = layouts(depth, width)
  with Progress(console=console, transient=True) as progress:
    task = progress.add_task('', total=len(by_layout) * pairs)
    for layout, shapes in by_layout.items():
      progress.update(task, description=layout)
      updates = Updates(shapes)
      seconds: dict[str, list[float]] = {'lcam': [], 'sgd': [], 'sgd again': []}
      order = list(seconds)
      for name in order:
        updates.run(name, 1.0)  # compiles
      for pair in range(pairs):
        random.Random(pair).shuffle(order)
        for name in order:
          seconds[name].append(updates.run(name, 1.0 + pair % 2))  # both phases in turn
        progress.advance(task)
      del updates  # before the next layout needs the memory
      table.add_row(
        layout,
        f'{statistics.median(seconds["sgd"]) * 1e3:.2f}',
        _ratio(seconds['lcam'], seconds['sgd']),
        _ratio(seconds['sgd again'], seconds['sgd']),
      )
  console.print(table)
  print(
    f'{jax.devices()[0].device_kind} ({platform.machine()}), '
    f'jax {jax.__version__}, optax {optax.__version__}'
  )


def _ratio(ours: list[float], theirs: list[float]) -> str:
  ratios = [x / y for x, y in zip(ours, theirs, strict=True)]
  low, median, high = statistics.quantiles(ratios, n=4, method='inclusive')
  return f'{median:.3f} ({low:.3f} to {high:.3f})'


if __name__ == '__main__':
  tyro.cli(main)
