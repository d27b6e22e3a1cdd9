"""Parts of the user's own that fail in training, or return what they must not, are named before it."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from train import Comparison, Dataset, Split, arms
from train.system.errors import UserError
from train.training.checks import check_fit, check_steps

RNG = np.random.default_rng(0)
INPUTS, LABELS = RNG.normal(size=(44, 3)), RNG.integers(0, 2, 44)
# Batches of 16 and 12 to train on, and of 20 to test.
DATASET = Dataset('random', Split(INPUTS, LABELS), Split(INPUTS[:20], LABELS[:20]), ('a', 'b'))
RATE = (('learning_rate', 0.1),)


def linear(num_classes, rngs):
  return nnx.Linear(3, num_classes, rngs=rngs)


def check(**changes):
  settings = {'network': linear, 'arms': ('fixed-0.9',), 'epochs': 1, 'batch_size': 16}
  comparison = Comparison('random', DATASET, **{**settings, **changes})
  check_fit(comparison, DATASET)
  check_steps(comparison, DATASET)


def losses_of(changed):
  def losses(outputs, labels):
    return changed(optax.softmax_cross_entropy_with_integer_labels(outputs, labels))

  return losses


def called_back(values):
  return jax.pure_callback(np.asarray, jax.ShapeDtypeStruct(values.shape, values.dtype), values)


@pytest.mark.parametrize(
  ('role', 'changed', 'message'),
  [
    *(
      ('loss', lambda values, size=size: values + 1 / (len(values) - size), 'ZeroDivisionError')
      for size in (16, 12, 20)
    ),
    ('metric', lambda values: values + 1 / (len(values) - 20), 'ZeroDivisionError'),
    ('loss', called_back, 'ValueError: Pure callbacks do not support JVP'),
    ('loss', lambda values: values * 1j, 'losses must return one real number .* complex64'),
    ('metric', lambda values: values * 1j, 'losses must return one real number .* complex64'),
  ],
)
def test_a_loss_or_metric_that_fails_is_named(role, changed, message):
  with pytest.raises(UserError, match=message) as raised:
    check(**{role: losses_of(changed)})
  assert 'losses must' in str(raised.value) or 'test_checks.py, line ' in str(raised.value)


def info_nce(outputs, labels):
  """Returns the loss of each example, whose first output is to find its second among those of all."""
  products = outputs[:, :1] @ outputs[:, 1:].T
  return optax.softmax_cross_entropy_with_integer_labels(products, jnp.arange(len(labels)))


def hinge_of_neighbours(outputs, labels):
  """Returns a loss that another example changes only if it has the same label and is near."""
  near = (labels[:, None] == labels) & (abs(outputs[:, None] - outputs).sum(-1) < 0.3)
  return near.sum(1) + 0.0 * outputs[:, 0]


def mean_of(loss):
  def mean(outputs, labels):
    return loss(outputs, labels).mean()

  return mean


@pytest.mark.parametrize(
  ('loss', 'message'),
  [
    (info_nce, 'info_nce .* must judge each example alone, .* set mixes_examples=True of the comp'),
    (hinge_of_neighbours, 'must judge each example alone, .* set mixes_examples=True'),
    (mean_of(info_nce), 'one real number per example, .* a single number; .* set mixes_examples=T'),
  ],
)
def test_a_loss_that_mixes_examples_is_refused_unless_the_comparison_says_so(loss, message):
  with pytest.raises(UserError, match=message):
    check(loss=loss)
  check(loss=loss, mixes_examples=True)


def test_examples_of_a_loss_that_mixes_them_have_no_weights():
  with pytest.raises(UserError, match=r'easy-0\.4 weighs examples by their losses, and with mixes'):
    check(loss=mean_of(info_nce), mixes_examples=True, arms=('fixed-0.9', 'easy-0.4'))


def test_a_metric_that_mixes_examples_is_refused():
  with pytest.raises(UserError, match=r'info_nce .* make it a train\.Metric of all test examples'):
    check(loss=mean_of(info_nce), metric=info_nce, mixes_examples=True)


def test_a_loss_that_mixes_examples_returns_one_number_or_one_of_each():
  def of_classes(outputs, labels):
    return outputs

  with pytest.raises(UserError, match=r'one real number, or one per example, .* \(batch, 2\)'):
    check(loss=of_classes, mixes_examples=True)


class Network(nnx.Module):
  """A linear layer with something else, which its call may change."""

  def __init__(self, made, called, num_classes, rngs):
    self.layer = nnx.Linear(3, num_classes, rngs=rngs)
    self.further = made()
    self.called = called

  def __call__(self, inputs):
    self.called(self, inputs)
    return self.layer(inputs)


def nothing(*_):
  pass


def add_a_variable(network, inputs):
  network.new = nnx.Variable(inputs.sum())


def reshape_a_variable(network, inputs):
  network.further.set_value(inputs)


@pytest.mark.parametrize(
  ('made', 'called', 'message'),
  [
    (lambda: nnx.Param(jnp.ones(3, int)), nothing, 'The parameter further of .* is int32'),
    (lambda: nnx.Param(jnp.ones(3, complex)), nothing, 'The parameter further of .* is complex64'),
    (lambda: nnx.Param(jnp.ones((0, 3))), nothing, 'params.further has no elements'),
    (lambda: nnx.Variable(jnp.ones((0, 3))), nothing, 'model_state.further has no elements'),
    (lambda: nnx.Variable(jnp.ones(3)), add_a_variable, 'adds, .* model_state.new: make all'),
    (lambda: nnx.Variable(jnp.ones(3)), reshape_a_variable, 'reshapes model_state.further: make'),
  ],
)
def test_a_variable_that_cannot_be_trained_or_kept_is_named(made, called, message):
  def network(num_classes, rngs):
    return Network(made, called, num_classes, rngs)

  with pytest.raises(UserError, match=message):
    check(network=network)


def without_extra_arguments(state=(), new_state=None, updates=lambda grads: grads):
  """Returns an optimizer with a state, as Optax's were before they took further arguments."""

  def update(grads, state, params=None):
    del params
    return updates(grads), state if new_state is None else new_state

  return optax.GradientTransformation(lambda params: state, update)


def twice():
  injected = optax.inject_hyperparams(optax.sgd)(0.1, momentum=0.9)
  return optax.chain(injected, injected)


def reshaped(grads):
  return jax.tree.map(lambda leaf: jnp.ones((5, *leaf.shape)), grads)


@dataclasses.dataclass(frozen=True)
class Mine(arms.Arm):
  """An arm whose parts are given."""

  make: Callable
  evaluate: Callable = lambda params: params
  kind = 'mine'

  def build(self, setting):
    return self.make()

  def evaluation_params(self, opt_state, params):
    return self.evaluate(params)


@pytest.mark.parametrize(
  ('arm', 'message'),
  [
    (Mine(lambda: 1 / 0), r'test_checks.py, line \d+: ZeroDivisionError'),
    (Mine(lambda: exit('no')), r'test_checks.py, line \d+: SystemExit: no'),
    (Mine(lambda: None), '`build` of the arm mine must return an optimizer of Optax'),
    (Mine(lambda: without_extra_arguments(updates=lambda grads: 1 / 0)), 'line .* ZeroDivision'),
    (Mine(lambda: without_extra_arguments(updates=reshaped)), 'with mine .* reshapes params.bias'),
    (Mine(lambda: without_extra_arguments((), jnp.ones(2))), 'with mine .* adds.* opt_state'),
    (Mine(lambda: without_extra_arguments(jnp.ones((0, 2)))), 'opt_state has no elements'),
    (Mine(lambda: without_extra_arguments({'momentum': jnp.ones(2)})), 'reshapes sums.momentum'),
    (Mine(lambda: optax.sgd(0.1), lambda params: None), '`evaluation_params` of mine must return'),
    (Mine(lambda: optax.sgd(0.1), lambda params: 1 / 0), r'test_checks.py, line \d+: ZeroDiv'),
    (arms.Adaptive('m', 'm', lambda learning_rate: None, RATE), 'The optimizer of m: Attribute'),
    (arms.Adaptive('m', 'm', lambda lr: optax.sgd(lr), RATE), 'The arm m: TypeError: .*argument'),
  ],
)
def test_an_arm_that_fails_is_named(arm, message):
  with pytest.raises(UserError, match=message):
    check(arms=('fixed-0.9', arm))


def test_an_arm_may_keep_a_name_several_times():
  check(arms=('fixed-0.9', Mine(twice)))


def test_an_optimizer_without_extra_arguments_is_taken():
  check(arms=(Mine(without_extra_arguments),))
