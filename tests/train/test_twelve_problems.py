"""Twelve problems as people have them, each small, with values from NumPy or scikit-learn."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from sklearn import metrics
from sklearn.datasets import load_diabetes, load_iris

from train import Comparison, Dataset, Metric, Split, arms, compare, schedules
from train.data.randomness import epoch_order
from train.training.trainer import Alone, Start, Trainer

pytestmark = pytest.mark.training
IRIS = load_iris()
FEATURES = ((IRIS.data - IRIS.data.mean(0)) / IRIS.data.std(0)).astype(np.float32)
CLASSES, ONE_HOT = IRIS.target, np.eye(3)[IRIS.target]
RATE, EPOCHS = 0.1, 3


def iris(labels=CLASSES, inputs=FEATURES):
  split = Split(inputs, labels)
  return Dataset('iris', split, split, tuple(IRIS.target_names) if labels.ndim == 1 else ())


def linear(num_classes, rngs):
  return nnx.Linear(4, 3, rngs=rngs)


def compared(dataset, network=linear, **changes):
  """Returns a comparison that takes a step of gradient descent in each epoch."""
  settings = {
    'epochs': EPOCHS,
    'batch_size': len(dataset.train),
    'arms': ('fixed-0',),
    'schedule': schedules.Constant(RATE),
    'weight_decay': 0.0,
  }
  return Comparison('small', dataset, network, **{**settings, **changes})


def trained(comparison):
  """Returns the trainer, its parameters before and after, and what was evaluated after."""
  trainer = Trainer(comparison, comparison.load())
  engine = Alone(trainer, Start(comparison.arms[0], 0))
  state, before = engine.state, jax.tree.map(np.array, engine.state.params)
  for epoch in range(comparison.epochs):
    *_, (state, _) = engine.train(state, epoch, 0)
  after = jax.tree.map(np.array, state.params)
  return trainer, before, after, engine.evaluate(state)


def descended(inputs, layer, slope, rates=(RATE,) * EPOCHS):
  """Returns a linear layer after gradient descent.

  Args:
    inputs: Its inputs.
    layer: Its parameters.
    slope: A function of the outputs that returns the gradient of their mean loss.
    rates: The learning rate of each step.
  """
  kernel, bias = np.float64(layer['kernel']), np.float64(layer['bias'])
  for rate in rates:
    gradient = slope(inputs @ kernel + bias)
    kernel, bias = kernel - rate * inputs.T @ gradient, bias - rate * gradient.sum(0)
  return {'kernel': kernel, 'bias': bias}


def outputs_of(inputs, layer):
  return inputs @ layer['kernel'] + layer['bias']


def softmax(logits):
  return np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)


def sigmoid(logits):
  return 1 / (1 + np.exp(-logits))


def of_cross_entropy(logits):
  return (softmax(logits) - ONE_HOT) / len(logits)


def assert_close(found, expected):
  assert found.keys() == expected.keys()
  for name, values in expected.items():
    np.testing.assert_allclose(found[name], values, rtol=1e-4, atol=1e-5)


def squared_error(outputs, targets):
  return ((outputs - targets) ** 2).mean(-1)


def test_tabular_regression():
  inputs, targets = load_diabetes(return_X_y=True)
  inputs, targets = 20 * inputs.astype(np.float32), targets[:, None] / 100
  split = Split(inputs, targets)

  def r_squared(outputs, targets):
    return metrics.r2_score(targets, outputs)

  comparison = compared(
    Dataset('diabetes', split, split),
    lambda num_classes, rngs: nnx.Linear(10, 1, rngs=rngs),
    loss=squared_error,
    metric=Metric('R squared', r_squared, higher_is_better=True),
  )
  trainer, before, after, test = trained(comparison)
  expected = descended(inputs, before, lambda outputs: 2 * (outputs - targets) / len(targets))
  assert_close(after, expected)
  outputs = outputs_of(inputs, expected)
  np.testing.assert_allclose(trainer.metric(test), metrics.r2_score(targets, outputs), rtol=1e-4)
  mean = metrics.mean_squared_error(targets, outputs)
  np.testing.assert_allclose(test.loss / len(targets), mean, rtol=1e-4)


def test_several_labels_of_an_example():
  labels = np.stack([CLASSES > 0, CLASSES == 1, FEATURES[:, 0] > 0], 1)

  def binary_cross_entropy(logits, labels):
    return optax.sigmoid_binary_cross_entropy(logits, labels).mean(-1)

  def wrong_labels(logits, labels):
    return ((logits > 0) != labels).mean(-1)

  comparison = compared(iris(labels), loss=binary_cross_entropy, metric=wrong_labels)
  trainer, before, after, test = trained(comparison)
  expected = descended(FEATURES, before, lambda z: (sigmoid(z) - labels) / labels.size)
  assert_close(after, expected)
  logits = outputs_of(FEATURES, expected)
  np.testing.assert_allclose(trainer.metric(test), metrics.hamming_loss(labels, logits > 0))
  mean = metrics.log_loss(labels.ravel(), sigmoid(logits).ravel())
  np.testing.assert_allclose(test.loss / len(labels), mean, rtol=1e-5)


class OfTokens(nnx.Module):
  """An embedding, an LSTM, and a layer that reads its last output."""

  def __init__(self, num_classes, rngs):
    self.embedding = nnx.Embed(7, 4, rngs=rngs)
    self.lstm = nnx.RNN(nnx.LSTMCell(4, 5, rngs=rngs))
    self.last = nnx.Linear(5, num_classes, rngs=rngs)

  def __call__(self, tokens):
    return self.last(self.lstm(self.embedding(tokens))[:, -1])


def lstm_in_numpy(params, tokens):
  cell = params['lstm']['cell']
  hidden = memory = np.zeros((len(tokens), 5))
  for inputs in params['embedding']['embedding'][tokens].swapaxes(0, 1):
    into = {
      gate: inputs @ cell[f'i{gate}']['kernel'] + outputs_of(hidden, cell[f'h{gate.strip("_")}'])
      for gate in ('i', 'f_', 'g', 'o')
    }
    memory = sigmoid(into['f_']) * memory + sigmoid(into['i']) * np.tanh(into['g'])
    hidden = sigmoid(into['o']) * np.tanh(memory)
  return outputs_of(hidden, params['last'])


def test_an_lstm_on_tokens():
  tokens = np.random.default_rng(0).integers(7, size=(40, 6))
  split = Split(tokens, labels := (tokens[:, -1] > 3).astype(int))
  dataset = Dataset('tokens', split, split, ('low', 'high'))
  network = {'network': OfTokens, 'schedule': schedules.Constant(0.5), 'epochs': 30}
  trainer, _, after, test = trained(compared(dataset, **network))
  logits = lstm_in_numpy(after, tokens)
  loss = metrics.log_loss(labels, softmax(logits))
  np.testing.assert_allclose(test.loss / len(labels), loss, rtol=1e-4)
  error = 100 * (1 - metrics.accuracy_score(labels, logits.argmax(1)))
  np.testing.assert_allclose(trainer.metric(test), error)
  assert error < 20  # it has learnt


class OfTwo(nnx.Module):
  """Reads sepals and petals by layers of their own."""

  def __init__(self, num_classes, rngs):
    self.sepals = nnx.Linear(2, num_classes, rngs=rngs)
    self.petals = nnx.Linear(2, num_classes, use_bias=False, rngs=rngs)

  def __call__(self, inputs):
    return self.sepals(inputs['sepals']) + self.petals(inputs['petals'])


def test_two_inputs():
  inputs = {'sepals': FEATURES[:, :2], 'petals': FEATURES[:, 2:]}
  _, before, after, _ = trained(compared(iris(inputs=inputs), OfTwo))

  def joined(params):
    kernels = [params[name]['kernel'] for name in inputs]
    return {'kernel': np.concatenate(kernels), 'bias': params['sepals']['bias']}

  assert_close(joined(after), descended(FEATURES, joined(before), of_cross_entropy))


def test_a_metric_of_the_whole_split_is_that_of_scikit_learn(tmp_path):
  """Runs at once, as a user starts them; the first column tells the classes apart."""
  seen = []

  def roc_auc(outputs, targets):
    seen.append((outputs, targets, metrics.roc_auc_score(targets, outputs[:, 1] - outputs[:, 0])))
    return seen[-1][-1]

  inputs = FEATURES[:, :1] + np.random.default_rng(1).normal(size=(150, 1)).astype(np.float32)
  split = Split(inputs, labels := CLASSES // 2)
  auc = Metric('AUC', roc_auc, higher_is_better=True)
  comparison = compared(
    Dataset('iris', split, split, ('other', 'virginica')),
    lambda num_classes, rngs: nnx.Linear(1, num_classes, rngs=rngs),
    metric=auc,
    seeds=(0, 1),
    arms=('fixed-0', 'fixed-0.9'),
  )
  results = compare(comparison, workdir=tmp_path, progress=False)
  found = {value for of_arm in results.curves().values() for value in of_arm['metric'].ravel()}
  np.testing.assert_allclose(
    sorted(found), sorted({float(f'{value:.9g}') for *_, value in seen[-12:]})
  )
  for outputs, targets, _ in seen[-12:]:
    np.testing.assert_array_equal(targets, labels)
    slope = np.polyfit(inputs[:, 0], outputs, 1)  # of a linear network, in the order of the rows
    np.testing.assert_allclose(outputs, inputs * slope[0] + slope[1], atol=1e-5)
  config = json.loads((tmp_path / 'fixed-0' / 'seed-0' / 'config.json').read_text())
  assert (config['metric'], config['higher_is_better']) == ('AUC', True)
  shown = results._repr_html_()
  assert '<th>AUC</th>' in shown
  assert 'above zero the arm is better' in shown
  best = results.curves()['fixed-0.9']['metric'].max(1).mean()
  assert f'<td>{best:.4f}</td>' in shown  # of the best epochs


def contrastive(outputs, targets):
  """InfoNCE: each of the views on one side is to find its example among those of the other."""
  one, other = outputs
  products = one @ other.T
  return optax.softmax_cross_entropy_with_integer_labels(products, jnp.arange(len(one))).mean()


class OfTwoViews(nnx.Module):
  def __init__(self, num_classes, rngs):
    self.layer = nnx.Linear(4, 2, rngs=rngs)

  def __call__(self, views):
    return tuple(map(self.layer, views))


def test_a_contrastive_loss():
  """Ten batches of 14 examples and one of ten, in training and in evaluation."""
  noise = np.random.default_rng(0).normal(size=FEATURES.shape) / 3
  views = FEATURES, FEATURES + noise.astype(np.float32)

  def share_found(outputs, targets):
    return (np.argmax(outputs[0] @ outputs[1].T, 1) == np.arange(len(targets))).mean()

  comparison = compared(
    iris(CLASSES[:, None], views),
    OfTwoViews,
    loss=contrastive,
    mixes_examples=True,
    metric=Metric('share found', share_found, higher_is_better=True),
    batch_size=14,
    epochs=1,
  )
  trainer, before, after, test = trained(comparison)

  def info_nce(layer, rows):
    one, other = (outputs_of(view[rows], layer) for view in views)
    return metrics.log_loss(np.arange(len(rows)), softmax(one @ other.T), labels=range(len(rows)))

  rows = np.arange(150)
  batches = [rows[start : start + 14] for start in range(0, 150, 14)]
  losses = [info_nce(after['layer'], batch) for batch in batches]
  expected = np.average(losses, weights=[len(batch) for batch in batches])
  np.testing.assert_allclose(test.loss / 150, expected, rtol=1e-5)
  one, other = (outputs_of(view, after['layer']) for view in views)
  np.testing.assert_allclose(trainer.metric(test), share_found((one, other), rows))

  engine = Alone(trainer, Start(comparison.arms[0], 0))
  state, _ = next(engine.train(engine.state, 0, 0))
  first = np.asarray(epoch_order(0, 0, 150))[:14]
  np.testing.assert_allclose(state.sums.loss, info_nce(before['layer'], first), rtol=1e-5)


class Frozen(nnx.Variable):
  """What is not trained."""


class OnFrozen(nnx.Module):
  """A trained layer on a layer whose parameters are not of nnx.Param."""

  def __init__(self, num_classes, rngs):
    self.backbone = nnx.Linear(4, 5, rngs=rngs)
    for name in ('kernel', 'bias'):
      setattr(self.backbone, name, Frozen(getattr(self.backbone, name)[...]))
    self.head = nnx.Linear(5, num_classes, rngs=rngs)

  def __call__(self, inputs):
    return self.head(nnx.relu(self.backbone(inputs)))


def test_a_frozen_backbone():
  comparison = compared(iris(), OnFrozen, weight_decay=0.1)
  trainer = Trainer(comparison, comparison.load())
  engine = Alone(trainer, Start(comparison.arms[0], 0))
  frozen = jax.tree.map(np.array, engine.state.model_state['backbone'])
  head = jax.tree.map(np.array, engine.state.params)
  assert head.keys() == {'head'}
  features = np.maximum(outputs_of(FEATURES, frozen), 0)
  (state, _), *_ = engine.train(engine.state, 0, 0)
  expected = descended(features, head['head'], of_cross_entropy, [RATE])
  decayed = {name: values - RATE * 0.1 * head['head'][name] for name, values in expected.items()}
  assert_close(state.params['head'], decayed)
  jax.tree.map(np.testing.assert_array_equal, state.model_state['backbone'], frozen)


def test_an_optimizer_of_ones_own():
  rate, decay, (b1, b2) = 0.01, 0.1, (0.9, 0.999)
  mine = arms.Optax('mine', lambda rate: optax.adamw(rate, b1, b2, weight_decay=decay), rate)
  _, before, after, _ = trained(compared(iris(), arms=(mine,)))
  layer = {name: np.float64(values) for name, values in before.items()}
  first, second = ({name: 0 * values for name, values in layer.items()} for _ in range(2))
  for step in range(1, EPOCHS + 1):
    slope = of_cross_entropy(outputs_of(FEATURES, layer))
    gradients = {'kernel': FEATURES.T @ slope, 'bias': slope.sum(0)}
    for name, gradient in gradients.items():
      first[name] = b1 * first[name] + (1 - b1) * gradient
      second[name] = b2 * second[name] + (1 - b2) * gradient**2
      mean, square = first[name] / (1 - b1**step), second[name] / (1 - b2**step)
      update = mean / (np.sqrt(square) + 1e-8) + decay * layer[name]
      layer[name] = layer[name] - rate * update
  assert_close(after, layer)


def test_a_schedule_of_ones_own():
  schedule = schedules.Optax(lambda steps: optax.linear_schedule(0.3, 0.0, steps))
  _, before, after, _ = trained(compared(iris(), schedule=schedule))
  assert_close(after, descended(FEATURES, before, of_cross_entropy, (0.3, 0.2, 0.1)))


def test_a_frame_of_nullable_and_mixed_columns():
  pandas = pytest.importorskip('pandas')
  frame = pandas.DataFrame(
    {
      'length': pandas.array(10 * IRIS.data[:, 0], dtype='Int64'),
      'width': IRIS.data[:, 1],
      'wide': pandas.array(IRIS.data[:, 1] > 3, dtype='boolean'),
      'petal': IRIS.data[:, 2].astype(object),
    }
  )
  inputs = np.stack([np.rint(10 * IRIS.data[:, 0]), *IRIS.data.T[1:2], IRIS.data[:, 1] > 3], 1)
  inputs = np.c_[inputs, IRIS.data[:, 2]].astype(np.float32)
  species = pandas.Series(CLASSES, dtype='Int64')
  rates = {'schedule': schedules.Constant(1e-3)}
  _, before, after, _ = trained(compared(iris(species, frame), **rates))
  assert_close(after, descended(inputs, before, of_cross_entropy, [1e-3] * EPOCHS))


def test_class_weights():
  weights = np.array([1.0, 4.0, 0.5], np.float32)

  def weighted(logits, labels):
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    return jnp.asarray(weights)[labels] * losses

  def balanced_accuracy(logits, labels):
    return metrics.balanced_accuracy_score(labels, logits.argmax(1))

  metric = Metric('balanced accuracy', balanced_accuracy, higher_is_better=True)
  trainer, before, after, test = trained(compared(iris(), loss=weighted, metric=metric))
  of_row = weights[CLASSES, None]
  expected = descended(FEATURES, before, lambda z: of_row * of_cross_entropy(z))
  assert_close(after, expected)
  logits = outputs_of(FEATURES, expected)
  loss = metrics.log_loss(CLASSES, softmax(logits), sample_weight=of_row[:, 0])
  np.testing.assert_allclose(test.loss / 150, loss * of_row.mean(), rtol=1e-4)
  recalls = metrics.recall_score(CLASSES, logits.argmax(1), average=None)
  np.testing.assert_allclose(trainer.metric(test), recalls.mean())


def test_noisy_labels():
  """Generalised cross-entropy trusts labels less that the network finds improbable."""
  q, rng = 0.7, np.random.default_rng(0)
  noisy = np.where(rng.random(150) < 0.4, rng.integers(3, size=150), CLASSES)
  dataset = Dataset('iris', Split(FEATURES, noisy), Split(FEATURES, CLASSES), ('a', 'b', 'c'))

  def generalised(logits, labels):
    log_p = jax.nn.log_softmax(logits)[jnp.arange(len(labels)), labels]
    return (1 - jnp.exp(q * log_p)) / q

  def slope(logits):
    p = softmax(logits)
    of_label = p[np.arange(150), noisy][:, None]
    return of_label**q * (p - np.eye(3)[noisy]) / 150

  trainer, before, after, test = trained(compared(dataset, loss=generalised))
  expected = descended(FEATURES, before, slope)
  assert_close(after, expected)
  clean = metrics.accuracy_score(CLASSES, outputs_of(FEATURES, expected).argmax(1))
  np.testing.assert_allclose(trainer.metric(test), 100 * (1 - clean))
