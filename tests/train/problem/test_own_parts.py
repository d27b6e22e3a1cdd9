"""Arms, schedules and names of the user's own that cannot work are named when they are given."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from train import Comparison, arms, schedules
from train.problem.arms import Setting
from train.problem.comparison import cross_entropy
from train.system.errors import UserError

REPORTS = ('curves.png', 'report.md', 'report.html', 'contrasts.csv')


def compared(**changes):
  return Comparison('mine', lambda: None, lambda num_classes, rngs: None, 1, 1, **changes)


def arm(frozen=True, bases=(arms.Arm,), **fields):
  """Returns an arm of a class of its own with these fields."""
  typed = [
    (name, object, dataclasses.field(default_factory=lambda value=value: value))
    for name, value in fields.items()
  ]
  body = {'build': lambda self, setting: optax.sgd(0.1)}
  return dataclasses.make_dataclass('Own', typed, bases=bases, namespace=body, frozen=frozen)()


@dataclasses.dataclass(frozen=True)
class Own(schedules.Schedule):
  """A schedule that returns what it is given."""

  built: object = None
  words: object = 'mine'
  kind = 'own'

  def build(self, epochs, steps_per_epoch):
    return self.built

  def describe(self):
    return self.words


class Undecorated(arms.Arm):
  kind = 'undecorated'

  def build(self, setting):
    return optax.sgd(0.1)


@pytest.mark.parametrize(
  ('made', 'message'),
  [
    (Undecorated(), 'The arm Undecorated must be a frozen dataclass'),
    (arm(frozen=False, kind='own', name='own', bases=(Undecorated,)), 'must be a frozen dataclass'),
    (arm(kind='own', name='own', rates=np.ones(3)), 'must be a frozen dataclass whose fields are'),
    (arm(), 'The arm Own must have a `kind`, one line of text, not None'),
    (arm(kind='own', name=3), 'must have a `name`, one line of text, not 3'),
    (arm(kind='fixed', name='own'), 'must have a `kind` of its own: fixed is one of train.arms'),
    *(
      (arm(kind='own', name=name), 'must have a `name`')
      for name in ('a/b', '..', '', 'two\nlines', 'a\0b', '.lock', *REPORTS)
    ),
  ],
)
def test_an_arm_that_cannot_be_kept_is_named(made, message):
  with pytest.raises(UserError, match=message):
    compared(arms=(made,))


def test_names_that_differ_in_case_are_the_same_for_some_file_systems():
  with pytest.raises(UserError, match='The arm own is named twice'):
    compared(arms=(arm(kind='own', name='own'), arm(kind='own', name='OWN')))


def test_settings_of_an_optimizer_include_its_learning_rate():
  with pytest.raises(UserError, match='settings of the arm mine must include its learning_rate'):
    arms.Adaptive('mine', 'mine', optax.adam, (('b1', 0.9),))


KERNEL, BIAS = np.array([[2.0], [-3.0]]), np.array([5.0])


@pytest.mark.parametrize(
  ('name', 'decay'), [('fixed-0.9', 0.1 * 0.2), ('adamw', 1e-3 * 0.05), ('lion', 1e-4 * 0.5)]
)
def test_weights_decay_where_the_function_says_so(name, decay):
  def kernels(path, value):
    assert path in ('layers.0.kernel', 'layers.0.bias')
    return value.ndim > 1

  comparison = compared(weight_decay=0.2, weight_decay_of=kernels, schedule=schedules.Constant(0.1))
  params = {'layers': {0: {'kernel': jnp.array(KERNEL), 'bias': jnp.array(BIAS)}}}
  optimizer = comparison.build_optimizer(arms.arm_of_name(name), 1, 0)
  gradients = jax.tree.map(jnp.zeros_like, params)
  updates, _ = optimizer.update(gradients, optimizer.init(params), params, value=1.0)
  np.testing.assert_allclose(updates['layers'][0]['kernel'], -decay * KERNEL, rtol=1e-5)
  np.testing.assert_array_equal(updates['layers'][0]['bias'], [0.0])


def test_a_function_that_does_not_say_whether_weights_decay_is_named():
  comparison = compared(weight_decay_of=lambda path, value: value > 0)
  optimizer = comparison.build_optimizer(comparison.arms[0], 1, 0)
  with pytest.raises(UserError, match='weight_decay_of: ValueError: The truth value of an array'):
    optimizer.init({'kernel': jnp.array(KERNEL)})


def test_an_arm_that_decays_all_weights_is_refused():
  comparison = compared(weight_decay_of=lambda path, value: value.ndim > 1)
  with pytest.raises(UserError, match='it decays all parameters or none: leave weight_decay_of'):
    comparison.build_optimizer(arms.arm_of_name('momo'), 1, 0)


def test_integers_of_numpy_are_integers():
  changes = {'seeds': np.arange(3), 'train_examples': np.int32(5)}
  comparison = Comparison(
    'mine', lambda: None, lambda num_classes, rngs: None, np.int64(2), np.uint8(4), **changes
  )
  found = comparison.epochs, comparison.batch_size, comparison.train_examples, *comparison.seeds
  assert found == (2, 4, 5, 0, 1, 2)
  assert {type(number) for number in found} == {int}
  with pytest.raises(UserError, match='seeds must be at least one whole number'):
    compared(seeds=np.linspace(0, 1, 3))


def test_an_own_optimizer_is_a_function():
  with pytest.raises(UserError, match='mine must be a function of the learning rate'):
    arms.Optax('mine', optax.adam(0.1))
  made = arms.Optax('mine', lambda learning_rate: 3)
  with pytest.raises(UserError, match='mine must return an optimizer of Optax, but returned 3'):
    compared(arms=(made,)).build_optimizer(made, 1, 0)


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    ({'arms': [arms.Optax('mine', optax.adam, 0.0)]}, 'The learning rate must be .*, not 0.0'),
    ({'schedule': Own(words=None)}, 'The schedule Own must have a `describe` in words, not None'),
    ({'weight_decay': np.float32(0.1)}, 'weight_decay must be'),
    ({'weight_decay': '0.1'}, 'weight_decay must be'),
    ({'weight_decay_of': True}, 'weight_decay_of must be a function of path and value, not True'),
    ({'experiment': 3}, 'experiment must be text'),
  ],
)
def test_a_field_of_the_wrong_type_is_named(changes, message):
  with pytest.raises(UserError, match=message):
    compared(**changes)


@pytest.mark.parametrize('name', ['two\nlines', 'a\u2028b', 3])
@pytest.mark.parametrize('role', ['loss', 'metric'])
def test_a_function_whose_name_is_no_line_of_text_is_refused(role, name):
  class Function:
    __name__ = name

    def __call__(self, outputs, labels):
      return cross_entropy(outputs, labels)

  with pytest.raises(UserError, match=f'{role} must be a function whose name is one line of text'):
    compared(**{role: Function()})


@pytest.mark.parametrize(
  'built',
  [
    None,
    0.1,
    lambda step: None,
    lambda step: jnp.ones(1),
    lambda step: 1j,
    lambda step: {'a': 0.1},
  ],
)
def test_a_schedule_that_is_no_function_to_a_number_is_named(built):
  setting = Setting(Own(built=built), 1, 1, 0.0, 'algorithm1')
  with pytest.raises(UserError, match='`build` of the schedule own must return a function'):
    setting.learning_rate()


def test_a_schedule_in_place_of_a_function_that_returns_one_is_named():
  schedule = schedules.Optax(optax.constant_schedule(0.1))
  with pytest.raises(
    UserError, match=r'gets the number of steps, 6, and must .* not 0\.1: give it a'
  ):
    schedule.build(2, 3)


def test_a_schedule_that_looks_at_the_traced_step_is_named():
  schedule = Own(built=lambda step: 0.1 if step < 3 else 0.01)
  comparison = compared(schedule=schedule)
  with pytest.raises(UserError, match=r'test_own_parts.py, line \d+: TracerBool'):
    comparison.build_optimizer(comparison.arms[0], 1, 0)
