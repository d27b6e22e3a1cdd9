"""`list` tells what experiments cost: arithmetic, memory, hours."""

import re
from functools import partial

import jax
import jax.numpy as jnp
import pytest

from tests.train.support import run_command
from train.command import costs
from train.command.costs import Costs, data_bytes
from train.data import find_source, inputs
from train.problem.experiments import EXPERIMENTS
from train.system.errors import UserError
from train.training.memory import step_bytes

COSTS = Costs(
  devices=1,
  params=jax.ShapeDtypeStruct((2**17,), 'float32'),
  flops=3.65e12,
  step=5 * 2**30,
  state=2**20,
  data=2**30,
  resident=0,
)


@pytest.fixture
def measured(monkeypatch):
  """Replaces the compilation of programs; returns the comparisons whose programs were asked for."""
  asked = []

  def measure(comparison, timed, status):
    asked.append(comparison)
    return COSTS

  monkeypatch.setattr(costs, 'measure', measure)
  monkeypatch.setattr(costs, 'memory_limit', lambda: 2**40)
  return asked


def listed(*arguments):
  """Returns what `list` prints, with one space between words."""
  return ' '.join(run_command('list', *arguments).split())


def test_list_alone_is_short_and_needs_no_program(measured):
  output = run_command('list', columns=80)
  assert len(output.splitlines()) <= 40
  for name, comparisons in EXPERIMENTS.items():
    assert f'\n{name}' in f'\n{output}'
    assert all(f'\n  {comparison.name} ' in output for comparison in comparisons)
  assert 'WRN-28-10        12 runs of  58,650 steps,   703,800 in all' in output
  assert not measured


def test_list_tells_what_experiments_cost(measured):
  output = run_command('list', *EXPERIMENTS)
  words = output.split()
  for name, comparisons in EXPERIMENTS.items():
    assert f'\n{name}\n' in output
    for comparison in comparisons:
      assert f'\n  {comparison.name}: ' in output
      assert all(arm.name in words for arm in comparison.arms)
  figure3 = output.split('\nfigure3\n')[1].split('\nfigure4\n')[0]
  words = (
    '131,072 parameters training per run: 58,650 steps, 214 PFLOP in all, 12 runs: 703,800 steps'
  )
  assert words in ' '.join(figure3.split())
  everything = sum(len(comparisons) for comparisons in EXPERIMENTS.values())
  assert output.count(' cpu: at least 5 GiB ') == everything
  assert output.count(' host: 1 GiB for the data, ') == everything


def test_list_compiles_each_program_once(measured):
  run_command('list', *EXPERIMENTS)
  programs = [(one.network, one.dataset.name, one.batch_size) for one in measured]
  assert len(programs) == len(set(programs)) == 9


def test_list_names_the_arm_that_takes_more_memory_than_the_first(measured):
  output = listed('baselines')
  words = '1 MiB of it the state (1,024 KiB more with amsgrad) host: 1 GiB for the data'
  assert output.count(f'{words}, up to 6 MiB while') == 2
  assert output.count('1 MiB of it the state host: 1 GiB for the data, up to 3 MiB') == 2


def test_list_tells_of_several_devices_with_memory_of_their_own(measured, monkeypatch):
  measure = costs.measure
  several = {'devices': 8, 'resident': 2**29}
  monkeypatch.setattr(costs, 'measure', lambda *args: measure(*args)._replace(**several))
  assert 'each of 8 x cpu: at least 5 GiB' in (output := listed('figure3'))
  assert 'of it the state, and 512 MiB for the data host:' in output
  monkeypatch.setattr(costs, 'memory_limit', lambda: 5 * 2**30)
  assert ' and 512 MiB for the data: more than its 5 GiB host:' in listed('figure3')


def test_list_prints_what_it_knows_while_it_compiles_the_rest(monkeypatch, measured):
  before = costs.measure

  def measure(comparison, timed, status):
    if measured:
      raise UserError('the second program')
    return before(comparison, timed, status)

  monkeypatch.setattr(costs, 'measure', measure)
  assert re.search('arms +fixed-0.475 low0.95', run_command('list', *EXPERIMENTS, status=2))


def test_list_keeps_its_indents_and_its_width_in_60_columns(measured):
  lines = run_command('list', 'figure3', columns=60).splitlines()
  assert max(map(len, lines)) <= 60
  assert '\x1b' not in ''.join(lines)
  experiment = lines[lines.index('figure3') + 1 : lines.index('', lines.index('figure3'))]
  indents = [len(line) - len(line.lstrip()) for line in experiment]
  assert indents[:2] == [2, 2]
  assert set(indents[2:]) == {4, 4 + len('controls  ')}


@pytest.mark.training
@pytest.mark.slow
def test_list_times_what_it_is_asked_to_and_lists_nothing_else():
  output = run_command('list', '--probe', 'digits')
  of_one, of_all = map(float, re.findall(r'([\d.e-]+)\s+hours\s+here', output))
  assert of_all == pytest.approx(15 * of_one, rel=0.02)
  assert 'figure3' not in output
  assert '\x1b' not in output
  assert 'GFLOP' in output
  assert re.search(r'cpu: at least [\d.]+ MiB for a training step', ' '.join(output.split()))


@pytest.mark.slow
def test_list_tells_the_memory_of_all_that_experiments_train():
  output = run_command('list', *EXPERIMENTS, columns=400)
  steps = re.findall(r'at least ([\d.]+) (MiB|GiB) for a training step of fixed-0.9, ', output)
  assert len(steps) == sum(len(comparisons) for comparisons in EXPERIMENTS.values())
  assert len(set(steps)) >= 6  # of networks, data sets and batch sizes
  assert max(float(size) for size, unit in steps if unit == 'GiB') > 20  # ViT's


@pytest.mark.slow
def test_named_experiments_are_listed_with_their_memory():
  output = listed('figure4')
  number = r'([\d.]+)'
  found = re.search(
    rf'cpu: at least {number} GiB for a training step of fixed-0.9, {number} MiB of it the state '
    'host: 176 MiB for the data',
    output,
  )
  step, state = map(float, found.groups())
  # Parameters and their trace, and the statistics of 25 batch norms.
  assert 2 * 4 * 36_536_884 / 2**20 <= state < 280
  # At least what enters the 25 convolutions of 3x3 of the network's width, for the gradient.
  assert 4 * 128 * 8 * (32**2 * 160 + 16**2 * 320 + 8**2 * 640) / 2**30 < step < 20
  assert '36,536,884 parameters training per run: 58,650 steps, 215 PFLOP in all' in output
  assert 'hours' not in output.split('--arms')[0]


@pytest.mark.training
def test_a_step_that_does_not_fit_is_not_timed(monkeypatch):
  monkeypatch.setattr(costs, 'memory_limit', lambda: 2**20)
  output = listed('--probe', 'digits')
  assert 'of it the state: more than its 1 MiB host: ' in output
  assert 'hours here' not in output


def test_donated_buffers_count_once():
  @partial(jax.jit, donate_argnums=0)
  def step(state, batch):
    return state + batch.sum()

  state, batch = (jax.ShapeDtypeStruct((size,), jnp.float32) for size in (1_000_000, 250_000))
  assert 5_000_000 <= step_bytes(step.lower(state, batch).compile()) < 5_100_000


def test_data_are_those_that_are_loaded():
  source = find_source('digits')
  dataset = source.load()
  loaded = sum(split.inputs.nbytes + split.labels.nbytes for split in (dataset.train, dataset.test))
  assert data_bytes(source) == (loaded, 0)


@pytest.mark.parametrize(('spare', 'resident'), [(0, 1797), (-1, 797)])
def test_devices_with_memory_of_their_own_hold_what_is_not_streamed(monkeypatch, spare, resident):
  example = 8 * 8 * 3 + 4
  monkeypatch.setattr(inputs, 'device_memory', lambda: 4 * 1000 * example + spare)
  monkeypatch.setattr(jax, 'default_backend', lambda: 'gpu')
  assert data_bytes(find_source('digits')) == (1797 * example, resident * example)


def test_a_cpu_reads_data_where_they_are():
  assert data_bytes(find_source('cifar10')) == (60_000 * (32 * 32 * 3 + 4), 0)
