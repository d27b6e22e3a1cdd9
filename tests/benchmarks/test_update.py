"""The benchmark of the update, small; and what makes the update fast."""

import re

import jax
import jax.numpy as jnp
import pytest

from benchmarks.update import main
from lcam_optax import lcam


@pytest.mark.slow
def test_every_layout_is_timed_against_sgd_and_sgd_against_itself(capsys, monkeypatch):
  monkeypatch.setenv('COLUMNS', '200')  # on a busy machine ratios can be long numbers
  main(rounds=2, turns=2, depth=10, width=1)
  output = capsys.readouterr().out
  # 77,850: the convolutions have 76,720, the batch norms 480, the linear layer 650
  vectors = ['1 of 77,850', '8 of 9,730', '64 of 1,216', '400 of 194']
  vectors += ['1 of 77,849', '8 of 9,729', '64 of 1,215', '400 of 193']
  for layout in ('WRN-10-1', *vectors):
    row = next(line for line in output.splitlines() if re.search(rf'\W{layout}\W', line))
    time, *ratios = [float(x) for x in re.findall(r'\d+\.\d+', row)]
    assert time > 0
    assert len(ratios) == 9  # three medians, each with its range
    for median, low, high in (ratios[:3], ratios[3:6], ratios[6:]):
      assert 0 < low <= median <= high
  assert f'jax {jax.__version__}' in output


@pytest.mark.skipif(jax.default_backend() != 'cpu', reason="about XLA's loops on CPU")
@pytest.mark.parametrize('rule', ['algorithm1', 'equation9'])
def test_the_momentum_is_not_chosen_again_for_every_element(rule):
  solver = lcam(0.1, 0.95, 0.9, steps_per_epoch=10, rule=rule)
  leaf = jnp.ones(1009)
  program = jax.jit(solver.update).lower(leaf, solver.init(leaf), value=1.0).compile().as_text()
  computations = [text for text in program.split('\n\n') if 'f32[1009]' in text]
  loops = [text for text in computations if 'multiply(' in text and 'ENTRY' not in text]
  assert loops
  for loop in loops:
    assert not re.search(r' (select|compare|dynamic-slice|reduce)\(', loop)
