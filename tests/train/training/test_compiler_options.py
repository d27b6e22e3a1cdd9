"""Networks are compiled with the right options of XLA, and the user's own options stay."""

import jax
import pytest

from train.command.costs import abstract_step
from train.problem.experiments import DIGITS, FIGURE_3, SPEECH, VIT_CIFAR10
from train.problem.networks import OwnNetwork
from train.training import compiler_options as module
from train.training.compiler_options import compiler_options
from train.training.programs import make_initializer, make_programs

SAME_BITS = {'xla_gpu_deterministic_ops': True}
# Every XLA knows it, unlike the option that it stands for.
KERNELS = {'xla_cpu_prefer_vector_width': '256'}
UNKNOWN = {'xla_no_such_option': 'there'}


@pytest.fixture(autouse=True)
def here(monkeypatch):
  monkeypatch.delenv('XLA_FLAGS', raising=False)
  monkeypatch.setattr(module, '_OTHER_KERNELS', KERNELS)
  return monkeypatch


@pytest.mark.parametrize('network', [FIGURE_3.network, OwnNetwork(print)])
def test_networks_with_2d_convolutions_get_other_kernels_on_a_cpu(network):
  assert compiler_options(network) == KERNELS


@pytest.mark.parametrize('network', [SPEECH.network, VIT_CIFAR10.network])
def test_others_do_not(network):
  assert compiler_options(network) == {}


@pytest.mark.parametrize('network', [FIGURE_3.network, SPEECH.network])
def test_on_a_gpu_all_compute_the_same_bits_each_time(here, network):
  here.setattr(jax, 'default_backend', lambda: 'gpu')
  assert compiler_options(network) == SAME_BITS


def test_a_tpu_gets_none(here):
  here.setattr(jax, 'default_backend', lambda: 'tpu')
  assert compiler_options(FIGURE_3.network) == {}


@pytest.mark.parametrize(('backend', 'options'), [('cpu', KERNELS), ('gpu', SAME_BITS)])
def test_what_the_user_has_set_stays(here, backend, options):
  here.setattr(jax, 'default_backend', lambda: backend)
  here.setenv('XLA_FLAGS', '--xla_dump_to=there')
  assert compiler_options(FIGURE_3.network) == options
  here.setenv('XLA_FLAGS', f'--xla_dump_to=there --{next(iter(options))}=any')
  assert compiler_options(FIGURE_3.network) == {}


def test_a_program_that_runs_once_is_compiled_in_a_hurry_on_a_cpu(here):
  options = compiler_options(FIGURE_3.network, runs_once=True)
  assert options['xla_backend_optimization_level'] == 0
  here.setattr(jax, 'default_backend', lambda: 'gpu')
  assert compiler_options(FIGURE_3.network, runs_once=True) == SAME_BITS


@pytest.mark.parametrize('options', [UNKNOWN, {next(iter(SAME_BITS)): 'of another type'}])
def test_what_this_xla_does_not_know_is_left_out(here, options):
  here.setattr(module, '_OTHER_KERNELS', KERNELS | options)
  assert compiler_options(FIGURE_3.network) == KERNELS


@pytest.mark.training
def test_all_programs_of_a_network_are_compiled_with_them(here):
  here.setattr('train.training.programs.compiler_options', lambda *_, **__: UNKNOWN)
  programs = make_programs(DIGITS, 10)
  train_step, state, batch = abstract_step(DIGITS)
  for compile_one in (
    lambda: make_initializer(DIGITS, 10, programs.model)(0),
    train_step.lower(state, batch, 0, 0, 0).compile,
    programs.eval_step.lower(state.params, state.model_state, batch).compile,
  ):
    with pytest.raises(jax.errors.JaxRuntimeError, match=next(iter(UNKNOWN))):
      compile_one()
