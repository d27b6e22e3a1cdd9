"""Runs of the runner, against a loop in NumPy and a loop that calls the library."""

import functools

import jax
import numpy as np
import optax
import pytest

from lcam_optax import lcam
from studies.arms import Arm, Numbers
from studies.network import initial_params, losses
from studies.problems import PROBLEMS
from studies.runner import Runner
from train.data.randomness import epoch_order

pytestmark = pytest.mark.training

DIGITS = next(problem for problem in PROBLEMS if problem.name == 'digits')
SEEDS = (3, 5, 11)
BATCH_SIZE, EPOCHS = 64, 2
NUMBERS = Numbers(0.05, 0.95, 0.45)
OWN = Arm('lcam')
SLOW_RULES = [pytest.param(rule, marks=pytest.mark.slow) for rule in ('equation9', 'weights')]


@pytest.fixture(scope='module')
def runner():
  return Runner(DIGITS, BATCH_SIZE, EPOCHS, SEEDS)


@pytest.fixture(scope='module')
def own(runner):
  """Returns a function from a rule to the results of its runs."""
  return functools.cache(lambda rule: runner.run(OWN, rule, NUMBERS))


def batches_of(seed, epochs=range(EPOCHS)):
  return np.concatenate(
    [np.reshape(epoch_order(seed, epoch, 1024), (-1, BATCH_SIZE)) for epoch in epochs]
  )


class NumpyRun:
  """The network and its gradient by hand, in float64."""

  def __init__(self, seed):
    self.examples = DIGITS.load()
    layers = initial_params(jax.random.key(seed), (64, 32, 10))
    self.params = [np.asarray(array, np.float64) for layer in layers for array in layer]
    self.trace = [np.zeros_like(array) for array in self.params]
    self.batch_losses = []

  def losses(self, rows, inputs=None, labels=None):
    inputs = self.examples.inputs if inputs is None else inputs
    labels = self.examples.labels if labels is None else labels
    _hidden, log_p = self._forward(inputs[rows])
    return -log_p[np.arange(len(rows)), labels[rows]]

  def _forward(self, x):
    hidden = np.maximum(x @ self.params[0] + self.params[1], 0)
    logits = hidden @ self.params[2] + self.params[3]
    return hidden, logits - np.log(np.exp(logits).sum(1, keepdims=True))

  def gradient(self, rows):
    x = self.examples.inputs[rows]
    hidden, log_p = self._forward(x)
    at_logits = np.exp(log_p)
    at_logits[np.arange(len(rows)), self.examples.labels[rows]] -= 1
    at_logits /= len(rows)
    at_hidden = (at_logits @ self.params[2].T) * (hidden > 0)
    return [x.T @ at_hidden, at_hidden.sum(0), hidden.T @ at_logits, at_logits.sum(0)]

  def step(self, rows, momentum, weight=1.0):
    for i, gradient in enumerate(self.gradient(rows)):
      self.trace[i] = weight * gradient + momentum * self.trace[i]
    for parameter, trace in zip(self.params, self.trace, strict=True):
      parameter -= NUMBERS.learning_rate * trace


def train_in_numpy(seed, rule, phases=None, others_count=False):
  """Returns the run and its phases: decided as the paper says, or those given."""
  run, seen, used, mean_sign = NumpyRun(seed), [], [], 0.0
  others = batches_of(seed, range(EPOCHS, 2 * EPOCHS))
  before = rule == 'algorithm1'  # ties are high
  for step, rows in enumerate(batches_of(seed)):
    value = run.losses(rows).mean()
    run.batch_losses.append(value)
    if others_count:
      value -= run.losses(others[step]).mean()
    seen = [value] if step % (1024 // BATCH_SIZE) == 0 else [*seen, value]
    tie = len(seen) == 1
    phase = rule == 'algorithm1' if tie else value > np.mean(seen)
    if phases is not None:
      phase = bool(phases[step])
    if rule == 'weights':
      sign = 1 if phase else -1
      run.step(rows, 0.7, 1 + 0.25 * (sign - mean_sign))
      mean_sign += (sign - mean_sign) / (1024 // BATCH_SIZE)
    else:
      chosen = before if rule == 'algorithm1' else phase
      run.step(rows, NUMBERS.high_loss_momentum if chosen else NUMBERS.low_loss_momentum)
    before = phase
    used.append(phase)
  return run, np.array(used, int)


def assert_endpoints(results, i, run):
  examples = run.examples
  final = run.losses(np.arange(1024))
  np.testing.assert_allclose(results.batch_losses[i], run.batch_losses, rtol=2e-4)
  np.testing.assert_allclose(results.train_loss[i], final.mean(), rtol=2e-4)
  np.testing.assert_allclose(results.loss_spread[i], final.std(), rtol=2e-4)
  rows = np.arange(768)
  test = run.losses(rows, examples.test_inputs, examples.test_labels)
  np.testing.assert_allclose(results.test_loss[i], test.mean(), rtol=2e-4)
  _, log_p = run._forward(examples.test_inputs)
  wrong = (log_p.argmax(1) != examples.test_labels).mean()
  assert abs(results.test_error[i] - wrong) <= 1 / 768


@pytest.mark.parametrize('rule', ['algorithm1', *SLOW_RULES])
def test_a_run_is_that_of_a_loop_in_numpy(rule, own):
  run, phases = train_in_numpy(SEEDS[1], rule)
  np.testing.assert_array_equal(own(rule).phases[1], phases)
  assert 0 < phases.mean() < 1
  assert_endpoints(own(rule), 1, run)


@pytest.mark.parametrize('rule', ['algorithm1', SLOW_RULES[1]])
def test_a_yoked_run_replays_the_run_of_the_next_seed(rule, runner, own):
  yoked = runner.run(Arm('yoked', partner='lcam'), rule, NUMBERS, own(rule).phases)
  np.testing.assert_array_equal(yoked.phases, np.roll(own(rule).phases, -1, axis=0))
  run, _ = train_in_numpy(SEEDS[2], rule, own(rule).phases[0])  # the last seed's partner is first
  assert_endpoints(yoked, 2, run)


def test_replaying_its_own_phases_changes_nothing(runner, own):
  itself = np.roll(own('algorithm1').phases, 1, axis=0)
  again = runner.run(Arm('yoked', partner='lcam'), 'algorithm1', NUMBERS, itself)
  np.testing.assert_allclose(again.train_loss, own('algorithm1').train_loss, rtol=1e-5)


def test_the_luck_of_a_batch_is_its_loss_minus_that_of_another(runner):
  results = runner.run(Arm('luck', signal='difference'), 'algorithm1', NUMBERS)
  run, phases = train_in_numpy(SEEDS[0], 'algorithm1', others_count=True)
  np.testing.assert_array_equal(results.phases[0], phases)
  assert_endpoints(results, 0, run)


def test_a_run_is_that_of_a_plain_loop_with_the_library(own):
  examples = DIGITS.load()
  params = initial_params(jax.random.key(SEEDS[0]), (64, 32, 10))
  solver = lcam(*NUMBERS, steps_per_epoch=1024 // BATCH_SIZE, rule='algorithm1')
  state = solver.init(params)

  @jax.jit
  def step(params, state, rows):
    def loss_of(params):
      return losses(
        params, jax.numpy.asarray(examples.inputs)[rows], jax.numpy.asarray(examples.labels)[rows]
      ).mean()

    loss, grads = jax.value_and_grad(loss_of)(params)
    updates, state = solver.update(grads, state, params, value=loss)
    return optax.apply_updates(params, updates), state

  for rows in batches_of(SEEDS[0]):
    params, state = step(params, state, rows)
  final = losses(params, examples.inputs, examples.labels).mean()
  np.testing.assert_allclose(own('algorithm1').train_loss[0], final, rtol=1e-5)
