"""Attacks by problems that do to their process what files of a library should not do."""

import contextlib
import os
import pathlib
import random
import signal
import time

from tests.attack.checks import Failure, check, check_end
from tests.attack.commands import Command, fresh
from tests.attack.world import PROBLEM, World, tables_of

_SECONDS = 300  # in which a command must end, and may try a run five times
_SECONDS_TO_END = 10  # in which processes must be gone when their command has ended
_STOPPED = 128 + signal.SIGINT
_NEIGHBOURS = (
  *('scipy', 'xml', 'html', 'report', 'PIL', 'models', 'train', 'jax', 'numpy', 'json', 'random'),
  *('matplotlib', 'optax', 'typing', 'tests', 'logging', 'bokeh', 'jinja2', 'csv', 'statistics'),
)
_ELSEWHERE = 'elsewhere'  # the folder that the command is started in
_IN_A_WORKER = "sys.argv[0] == '-c'"  # of --jobs, not in the file itself
# What must change nothing.
_HARMLESS = (
  "os.chdir('/')",
  'import argparse; sys.argv = sys.argv[:1]; argparse.ArgumentParser().parse_args()',
  "print('x' * 5_000_000)",
  "print('\\udcff [/b] é')",
  "jax.config.update('jax_enable_x64', True)",
  "jax.config.update('jax_default_prng_impl', 'rbg')",
  "jax.config.update('jax_numpy_dtype_promotion', 'strict')",
  "jax.config.update('jax_transfer_guard', 'disallow')",
  "jax.config.update('jax_random_seed_offset', 3)",
  "jax.config.update('jax_disable_jit', True)",
  "jax.config.update('jax_debug_nans', True)",
  'jax.devices(); jax.numpy.ones(3).sum().block_until_ready()',
  'np.random.seed(3); random.seed(3)',
  "np.seterr(all='raise')",
  "import warnings; warnings.simplefilter('error')",
  "import logging; logging.basicConfig(level='ERROR')",
  'sys.setrecursionlimit(2000)',
  'import gc; gc.disable()',
  "import matplotlib; matplotlib.use('svg')",
  "import matplotlib; matplotlib.rcParams['figure.dpi'] = 10",
  'import matplotlib.pyplot; matplotlib.pyplot.figure()',
  "sys.stdout.reconfigure(encoding='ascii')",
  'signal.signal(signal.SIGTERM, signal.SIG_IGN)',
  'os.umask(0o077)',
  'os.environ.clear()',
  'sys.path.clear()',
  'threading.Thread(target=time.sleep, args=(5,)).start()',
)
# What may also be refused, with a sentence.
_RUDE = (
  'sys.exit()',
  "sys.exit('A message.')",
  'sys.exit(3)',
  'raise KeyboardInterrupt',
  'raise GeneratorExit',
  'input()',
  'os.close(0); sys.stdin.read()',
  'breakpoint()',
  'sys.stdin.close(); sys.stdout.close(); sys.stderr.close()',
  'sys.stdout = sys.stderr = None',
  'os.close(0); os.close(1); os.close(2)',
  'import tempfile; gone = tempfile.mkdtemp(); os.chdir(gone); os.rmdir(gone)',
  'os.kill(os.getpid(), signal.SIGINT)',
  "os.environ['XLA_FLAGS'] = '--xla_nonsense=1'",
  "os.environ['JAX_PLATFORMS'] = 'nonsense'",
  "jax.config.update('jax_platforms', 'nonsense')",
  'raise MemoryError',
  'rude()',
  'jax.debug.callback(lambda: 1 / 0)',
  "raise Exception('two\\nlines')",
  "raise UnicodeError('\\udcff')",
)
# For runs in processes of their own.
_IN_WORKERS = (
  f'if {_IN_A_WORKER}: os._exit(0)',
  f'if {_IN_A_WORKER}: os._exit(3)',
  f'if {_IN_A_WORKER}: sys.exit(0)',
  f'if {_IN_A_WORKER}: os.kill(os.getpid(), signal.SIGSEGV)',
  f"if {_IN_A_WORKER}: subprocess.Popen(['sleep', '600'])",
  f'if {_IN_A_WORKER} and not os.fork(): time.sleep(600)',
  f'if {_IN_A_WORKER}: raise KeyboardInterrupt',
  f'if {_IN_A_WORKER}: os.close(1); os.close(2)',
)
_PLACES = {
  'the file': ('\nrng =', '\nrude()\nrng ='),
  'the data function': ('def data():\n', 'def data():\n  rude()\n'),
  'the network': ('rngs):\n', 'rngs):\n  rude()\n'),
}
_HEAD = """
import os, random, signal, subprocess, sys, threading, time
import jax, numpy as np


def rude():
  DEED

"""
_DRAWING = PROBLEM.replace('rngs=rngs)', "rngs=nnx.Rngs(int.from_bytes(os.urandom(3), 'big')))")


def rude_problem(world: World, rng: random.Random) -> None:
  """A problem that does something unusual, or files around that are named like modules."""
  with world.workdir() as workdir:
    path = workdir.parent / 'mine/mine.py'
    for folder in (path.parent, workdir.parent / _ELSEWHERE):
      folder.mkdir()
    further: tuple[object, ...] = rng.choice([(), (), ('--jobs', 2)])
    deed, place = 'pass', rng.choice(list(_PLACES))
    problem, told, harmless = PROBLEM, '', False
    match rng.randrange(10):
      case 0:
        problem, told = _DRAWING, 'The network draws other weights each time.'
      case 1 | 2:
        told, harmless = _add_neighbours(rng.choice([path.parent, folder]), rng), True
      case 3 | 4:
        deed, place, further = rng.choice(_IN_WORKERS), 'the data function', ('--jobs', 2)
      case 5 | 6:
        deed = rng.choice(_RUDE)
      case _:
        deed, harmless = rng.choice(_HARMLESS), True
    told = told or f'{place} does: {deed}'
    path.write_text(_HEAD.replace('DEED', deed) + problem.replace(*_PLACES[place]))
    _run(world, workdir, path, further, harmless, told)


def _add_neighbours(folder: pathlib.Path, rng: random.Random) -> str:
  # A train.py in the folder of the command would itself be what is run.
  choices = [name for name in _NEIGHBOURS if (folder.name, name) != (_ELSEWHERE, 'train')]
  names = rng.sample(choices, rng.randint(1, 4))
  for name in names:
    path = folder / rng.choice([f'{name}.py', f'{name}/__init__.py'])
    path.parent.mkdir(exist_ok=True)
    path.write_text('1 / 0\n')
  return f'In {folder} there are: {" ".join(names)}'


def _run(
  world: World,
  workdir: pathlib.Path,
  path: pathlib.Path,
  further: tuple[object, ...],
  harmless: bool,
  told: str,
) -> None:
  marked = {'ATTACKED': str(workdir)}
  folder = workdir.parent / _ELSEWHERE
  arguments = [*world.arguments(workdir, path), *further]
  command = Command(*arguments, folder=folder, environment=marked, program=fresh)
  try:
    done = command.done(_SECONDS)
    check_end(done, _STOPPED, *((0, 3) if 'os._exit' in told else ()))
    tables = tables_of(workdir)
    if harmless:
      check(done.status == 0, 'It was refused.', told, done)
    if done.status == 0 and 'weights' not in told:
      check(tables == world.tables, 'The tables are not those of the usual problem.', told, done)
    left = _wait_until_gone(str(workdir))
    check(not left, 'Processes are left.', told, left, done)
  except Failure as failure:
    raise Failure(f'{told}\n{failure}') from None
  finally:
    for pid in _processes(str(workdir)):
      with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _processes(mark: str) -> list[int]:
  """Returns the processes that a command has started, which have a mark in their environment."""
  found = []
  for process in pathlib.Path('/proc').glob('[0-9]*'):
    with contextlib.suppress(OSError):  # it has ended
      if f'ATTACKED={mark}\0'.encode() in (process / 'environ').read_bytes():
        found.append(int(process.name))
  return found


def _wait_until_gone(mark: str) -> list[int]:
  deadline = time.monotonic() + _SECONDS_TO_END
  while (left := _processes(mark)) and time.monotonic() < deadline:
    time.sleep(0.1)
  return left
