"""Metrics of the whole test split, and metrics of which more is better."""

import csv
import dataclasses

import numpy as np
import pytest
from flax import nnx
from sklearn.metrics import roc_auc_score

from train import Comparison, Dataset, Metric, Split, compare, schedules, tune
from train.system.errors import UserError
from train.training.checks import check_fit
from train.training.trainer import Alone, Start, Trainer

RNG = np.random.default_rng(0)
INPUTS = RNG.normal(size=(530, 3)).astype(np.float32)
LABELS = (INPUTS.sum(1) + RNG.normal(size=530) > 0).astype(int)
DATASET = Dataset('sums', Split(INPUTS[:40], LABELS[:40]), Split(INPUTS, LABELS), ('low', 'high'))


def roc_auc(outputs, targets):
  return roc_auc_score(targets, outputs[:, 1] - outputs[:, 0])


AUC = Metric('AUC', roc_auc, higher_is_better=True)


def linear(num_classes, rngs):
  return nnx.Linear(3, num_classes, rngs=rngs)


def compared(metric, network=linear, **changes):
  settings = {'epochs': 2, 'batch_size': 8, 'arms': ('fixed-0.9', 'fixed-0.5'), 'seeds': (0, 1, 2)}
  return Comparison('sums', DATASET, network, metric=metric, **{**settings, **changes})


def right(outputs, targets):
  return outputs.argmax(-1) == targets


def accuracy(outputs, targets):
  return right(outputs, targets).mean()


@pytest.mark.training
@pytest.mark.parametrize(
  ('metric', 'expected'),
  [(AUC, roc_auc), (Metric('accuracy', right, higher_is_better=True, per_example=True), accuracy)],
)
def test_it_is_that_of_all_outputs_in_order(metric, expected):
  """The test split takes three batches, the last of them short."""
  trainer = Trainer(compared(metric), DATASET)
  engine = Alone(trainer, Start(trainer.comparison.arms[0], 0))
  kernel, bias = (np.asarray(engine.state.params[name]) for name in ('kernel', 'bias'))
  found = trainer.metric(engine.evaluate(engine.state))
  np.testing.assert_allclose(found, expected(INPUTS @ kernel + bias, LABELS))


@pytest.mark.training
def test_a_run_whose_outputs_are_not_finite_diverges_alone():
  fine, bad = (
    dataclasses.replace(arm, momentum=momentum)
    for arm, momentum in zip(compared(AUC).arms, (0.9, 1e30), strict=True)
  )
  results = compare(compared(AUC, arms=(fine, bad)), progress=False)
  assert results.arms[fine.name].seeds == results.arms[bad.name].diverged == (0, 1, 2)


@pytest.mark.parametrize(
  ('returned', 'message'),
  [
    ([1.0], r'return one real number for all examples, but returned float64 of shape \(1,\)'),
    ('good', 'but returned str'),
    (1j, 'but returned complex'),
    (None, 'but returned NoneType'),
    (float('nan'), 'returned nan for random outputs and the 530 test targets: does the test split'),
  ],
)
def test_what_is_no_number_is_told_before_anything_is_trained(returned, message):
  with pytest.raises(UserError, match=message) as raised:
    check_fit(compared(Metric('mine', lambda outputs, targets: returned)), DATASET)
  assert str(raised.value).startswith(f'The metric mine ({__file__}, line ')


def test_a_function_that_fails_is_told_with_its_line():
  def fails(outputs, targets):
    return outputs[:, 2].mean()

  with pytest.raises(UserError, match=r'The metric mine failed: .*, line \d+: IndexError: index 2'):
    check_fit(compared(Metric('mine', fails)), DATASET)


def test_outputs_without_an_axis_of_examples_cannot_be_gathered():
  class Scaled(nnx.Linear):
    def __call__(self, inputs):
      return super().__call__(inputs), self.kernel[...]

  def network(num_classes, rngs):
    return Scaled(3, num_classes, rngs=rngs)

  def loss(outputs, targets):
    return (outputs[0][:, 0] - targets) ** 2

  with pytest.raises(UserError, match=r'AUC .* the outputs 1 of the network network .* \(3, 2\)'):
    check_fit(compared(AUC, network, loss=loss), DATASET)


@pytest.mark.parametrize(
  ('make', 'message'),
  [
    (lambda: Metric('', roc_auc), "name of a metric must be one line of text, not ''"),
    (lambda: Metric('AUC', 3), 'AUC must have a function of outputs and targets, not a int'),
    (lambda: Metric('AUC', roc_auc, 1), 'higher_is_better of the metric AUC must be True or False'),
    (lambda: Metric('AUC', roc_auc_score), 'AUC .* takes y_true first, and would get the outputs'),
    (lambda: compared('AUC'), 'metric must be a function with a name'),
  ],
)
def test_a_metric_that_cannot_be_is_told_when_it_is_made(make, message):
  with pytest.raises(UserError, match=message):
    make()


@pytest.mark.training
def test_tuning_picks_the_highest(tmp_path):
  settings = {'points': 4, 'tuning_seeds': 1, 'seeds': range(2), 'epoch': 'best'}
  comparison = compared(AUC, arms=('fixed-0.5',), schedule=schedules.Constant(1e-3))
  tuned = tune(comparison, workdir=tmp_path, progress=False, **settings)
  (picked,) = (row for row in tuned.tuning if row.picked)
  assert picked.metric == max(row.metric for row in tuned.tuning)
  assert len({row.metric for row in tuned.tuning}) > 1
  (path,) = tmp_path.glob(f'tuning/*-point{picked.point}/seed-*/metrics.csv')
  curve = [float(row['test_AUC']) for row in csv.DictReader(path.open())]
  assert picked.metric == pytest.approx(max(curve))
