"""Attacks by the environment of a command: what JAX, XLA, Matplotlib and Python read at their start."""

import functools
import random
import signal

from tests.attack.checks import check, check_again, check_end, check_kept, check_refused
from tests.attack.commands import fresh
from tests.attack.world import ARMS, World, pause, tables_of

# Those that must change nothing.
_HARMLESS = {
  'JAX_ENABLE_X64': ['1'],
  'JAX_DEFAULT_PRNG_IMPL': ['rbg', 'unsafe_rbg'],
  'JAX_THREEFRY_PARTITIONABLE': ['0'],
  'JAX_RANDOM_SEED_OFFSET': ['3'],
  'JAX_DISABLE_JIT': ['1'],
  'JAX_DISABLE_MOST_OPTIMIZATIONS': ['1'],
  'JAX_DEBUG_NANS': ['1'],
  'JAX_NUMPY_DTYPE_PROMOTION': ['strict'],
  'JAX_NUMPY_RANK_PROMOTION': ['raise', 'warn'],
  'JAX_TRANSFER_GUARD': ['disallow', 'log', 'disallow_explicit'],
  'JAX_TRANSFER_GUARD_HOST_TO_DEVICE': ['disallow', 'disallow_explicit'],
  'JAX_TRANSFER_GUARD_DEVICE_TO_HOST': ['disallow', 'disallow_explicit'],
  'MPLBACKEND': ['module://matplotlib_inline.backend_inline', 'nonsense', 'TkAgg'],
  'PYTHONHASHSEED': ['0', '1', '4294967295'],
  'PYTHONOPTIMIZE': ['2'],
  'PYTHONIOENCODING': ['ascii'],
  'PYTHONUTF8': ['0', '1'],
  'LC_ALL': ['C', 'nonsense'],
  'TERM': ['dumb'],
}
# Those that no command can be trained with.
_IMPOSSIBLE = {
  'JAX_PLATFORMS': ['nonsense', 'cpu,nonsense', 'cuda', 'tpu'],
  'JAX_ENABLE_X64': ['nonsense'],
  'JAX_RANDOM_SEED_OFFSET': ['nonsense'],
  'XLA_FLAGS': ['--xla_nonsense=1', '--xla_cpu_enable_fast_math=nonsense'],
}
_ARM = 'fixed-0.9'


def other_environment(world: World, rng: random.Random) -> None:
  """A run is resumed, or an arm added, in another environment."""
  impossible = rng.random() < 0.25
  choices = _IMPOSSIBLE if impossible else _HARMLESS
  names = rng.sample(sorted(choices), 1 if impossible else rng.choice([1, 1, 2, 4]))
  environment = {name: rng.choice(choices[name]) for name in names}
  options = {'environment': environment, 'program': fresh}
  with world.workdir(rng.choice([None, world.stopped, world.finished])) as workdir:
    if not workdir.exists():
      command = world.start(workdir, **(options if rng.random() < 0.5 else {}))
      pause(rng, command, 2 * world.seconds)
      command.send(signal.SIGKILL)
      done = command.done()
      check_end(done, -signal.SIGKILL)
    before = tables_of(workdir)
    if impossible:
      check_refused(world.start(workdir, **options).done(), workdir, before, environment)
      check_again(world, workdir, environment)
    elif before.keys() >= world.tables.keys():
      arms = '--arms', *ARMS, _ARM
      done = world.start(workdir, *arms, **options).done()
      check_end(done)
      check(done.status == 0, 'An arm could not be added.', environment, done)
      check_kept(workdir, before, environment, done)
      right = tables_of(workdir) == _with_the_arm(world)
      check(right, 'An arm that was added is not that of an undisturbed run.', environment, done)
    else:
      done = check_again(world, workdir, environment, **options)
      check(done.status == 0, 'A run could not be resumed.', environment, done)


@functools.cache
def _with_the_arm(world: World) -> dict[str, bytes]:
  """Returns the tables of an undisturbed command with the arm that is added."""
  with world.workdir() as workdir:
    done = world.run(workdir, '--arms', *ARMS, _ARM)
    check(done.status == 0, 'It does not work undisturbed.', done)
    return tables_of(workdir)
