"""What is said to go with a high loss, against NumPy and through the command."""

import csv
import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import optax
import pytest
import tyro
from flax import nnx

from benchmarks.loss_phase import (
  Watched,
  correlations_of_epoch,
  main,
  make_loss_of_another,
  minus_mean_so_far,
  watch,
)
from lcam_optax import lcam
from train.data import AsStored, Batch
from train.system.errors import UserError
from train.training.programs import Programs


def test_the_watched_optimizer_is_the_same_and_notes_what_numpy_computes():
  random = np.random.default_rng(0)
  params = {'layer': {'kernel': random.normal(size=(3, 2)), 'bias': random.normal(size=2)}}
  gradients = [
    {'layer': {'kernel': random.normal(size=(3, 2)), 'bias': random.normal(size=2)}}
    for _ in range(4)
  ]
  plain = lcam(0.1, 0.9, 0.9, steps_per_epoch=4)
  watched = watch(plain)
  plain_state, state = plain.init(params), watched.init(params)
  trace = np.zeros(8)
  for step, grads in enumerate(gradients):
    expected, plain_state = plain.update(grads, plain_state, params, value=1.0 + step)
    updates, state = watched.update(grads, state, params, value=1.0 + step)
    np.testing.assert_array_equal(updates['layer']['kernel'], expected['layer']['kernel'])
    flat = np.concatenate([grads['layer']['kernel'].ravel(), grads['layer']['bias']])
    cosine = flat @ trace / (np.linalg.norm(flat) * np.linalg.norm(trace)) if step else 0
    trace = flat + 0.9 * trace
    size = 0.1 * np.linalg.norm(trace[:6]) / np.linalg.norm(params['layer']['kernel'])
    noted = state.watched
    assert noted.loss == 1.0 + step
    np.testing.assert_allclose(noted.gradient_norm, np.linalg.norm(flat), rtol=1e-5)
    np.testing.assert_allclose(noted.alignment, cosine, rtol=1e-4)
    assert list(noted.updates) == ['layer']  # biases are no layers of their own
    np.testing.assert_allclose(noted.updates['layer'], size, rtol=1e-5)


def test_deviations_are_those_that_lcam_decides_by():
  losses = np.array([2.0, 3.0, 1.0, 2.5, 1.9])
  optimizer = lcam(0.1, steps_per_epoch=len(losses))
  state = optimizer.init(jnp.zeros(1))
  phases = []
  for loss in losses:
    _, state = optimizer.update(jnp.zeros(1), state, value=loss)
    phases.append(bool(optax.tree.get(state, 'high_loss_phase')))
  assert (minus_mean_so_far(losses) >= 0).tolist() == phases


def test_correlations_are_numpys_without_the_first_step_of_an_epoch():
  losses = np.array([9.0, 1.0, 2.0, 4.0, 3.0])
  norms = np.array([-50.0, 2.0, 1.0, 3.0, 3.5])
  others = np.array([0.0, 5.0, 1.0, 2.0, 0.5])
  noted = [
    Watched(loss, norm, -loss, {'stem': norm}) for loss, norm in zip(losses, norms, strict=True)
  ]
  found = correlations_of_epoch(noted, list(others))
  deviation = [losses[i] - losses[: i + 1].mean() for i in range(1, 5)]
  other = [others[i] - others[: i + 1].mean() for i in range(1, 5)]
  np.testing.assert_allclose(found['gradient norm'], np.corrcoef(deviation, norms[1:])[0, 1])
  np.testing.assert_allclose(found['loss of another batch'], np.corrcoef(deviation, other)[0, 1])
  assert found['update of stem'] == found['gradient norm']


def test_the_other_batch_has_the_same_weights_and_its_own_examples():
  random = np.random.default_rng(0)
  inputs, labels = random.normal(size=(5, 3)).astype('float32'), np.array([0, 1, 1, 0, 1])
  model = nnx.Linear(3, 2, rngs=nnx.Rngs(0))
  programs = Programs(model, AsStored())
  state = programs.initial_state(model, lcam(0.1, steps_per_epoch=1), 1)
  batch = Batch(jnp.asarray(inputs), jnp.asarray(labels), jnp.array([1, 3]))
  loss = make_loss_of_another(programs, AsStored())(state, batch, 1, 0, 0)
  logits = inputs[[1, 3]] @ np.asarray(model.kernel[...])
  expected = np.log(np.exp(logits).sum(1)) - logits[[0, 1], labels[[1, 3]]]
  np.testing.assert_allclose(loss, expected.mean(), rtol=1e-5)


@pytest.mark.slow
def test_the_command_writes_a_table_and_a_plot(tmp_path):
  command = [sys.executable, '-m', 'benchmarks.loss_phase', '--dataset', 'digits', '--epochs', '2']
  command += ['--batch-size', '250', '--seeds', '0', '--workdir', str(tmp_path)]
  output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
  assert 'gradient norm' in output
  rows = list(csv.DictReader((tmp_path / 'correlations.csv').open()))
  assert {row['epoch'] for row in rows} == {'1', '2'}
  assert {'loss of another batch', 'alignment with the trace', 'update of stem'} <= {
    row['quantity'] for row in rows
  }
  assert all(-1 <= float(row['correlation']) <= 1 for row in rows)
  assert (tmp_path / 'loss_phase.png').read_bytes().startswith(b'\x89PNG')


@pytest.mark.parametrize(
  ('arguments', 'words'),
  [
    (['--batch-size', '300'], 'make 3 batches of 300, too few'),
    (['--epochs', '0'], '--epochs must be at least 1'),
    (['--dataset', 'spoken_digit'], 'but spoken_digit holds audio'),
  ],
)
def test_wrong_input_is_refused_in_a_sentence(arguments, words, tmp_path):
  command = ['--dataset', 'digits', '--workdir', str(tmp_path), *arguments]
  with pytest.raises(UserError, match=words):
    tyro.cli(main, args=command)
  assert not list(tmp_path.iterdir())
