"""The study of wrong labels with convolutions: its runs, its tuning and its report."""

import csv
import dataclasses

import numpy as np
import pytest
from flax import nnx
from scipy import stats

from studies.noisy_convolutions import definition, report, run
from studies.noisy_convolutions.definition import KINDS, LCAM, PROBLEMS, REPLACED, YOKED
from train import Split

DIGITS, CIFAR10 = PROBLEMS


def test_the_runs_are_those_that_were_registered():
  assert [len(run.runs_of(problem)) for problem in PROBLEMS] == [105, 63]
  rates = {name: kind.learning_rate(0.01) for name, kind in KINDS.items()}
  assert rates['fixed-0.9'] == pytest.approx(0.001)
  assert rates['low0.95-high0'] == rates['fixed-0.475'] == pytest.approx(0.00525)
  assert rates['easy-0.475 at 32'] == pytest.approx(0.008)


def test_test_labels_are_right_and_a_part_of_the_others_wrong():
  labels = np.arange(1797) % 10
  # An image of each label, so that the image says which label is right.
  shown = Split(np.broadcast_to(labels[:, None, None, None], (1797, 2, 2, 3)), labels)
  images = dataclasses.replace(DIGITS, load=lambda: shown).images(0)
  wrong = {}
  for name in ('training', 'validation', 'test'):
    split = getattr(images, name)
    # Standardized; label 0 is the smallest, and the labels are equally far from each other.
    levels, right = np.unique(split.inputs[:, 0, 0, 0], return_inverse=True)
    assert len(levels) == 10
    wrong[name] = right != split.labels
  assert not wrong['test'].any()
  assert (wrong['training'] == ~images.right).all()
  assert wrong['training'].mean() == pytest.approx(REPLACED, abs=0.05)
  assert wrong['validation'].mean() == pytest.approx(REPLACED, abs=0.1)


def test_runs_that_have_ended_are_not_trained_again(tmp_path, monkeypatch):
  def linear(num_classes, rngs):
    layer = nnx.Linear(8 * 8 * 3, num_classes, rngs=rngs)
    return nnx.Sequential(lambda images: images.reshape(len(images), -1), layer)

  monkeypatch.setattr(definition, 'WideResNet', lambda *sizes: linear)
  monkeypatch.setattr(definition, 'TRAINING', 40)
  for module in (definition, run):
    monkeypatch.setattr(module, 'EPOCHS', 1)
  monkeypatch.setattr(run, 'KINDS', {kind: KINDS[kind] for kind in (LCAM, YOKED)})
  problem = dataclasses.replace(DIGITS, validation=20, test=20, rates=(0.01,), seeds=(0, 1))
  first, *others, last = run.runs_of(problem)
  phases = np.array([0, 1, 1, 0, 0, 0, 1, 0, 1, 1], np.int8)
  first.path(tmp_path).parent.mkdir()
  kept = run.Ended(1, 2, 3, 4, 5, phases)
  np.savez(first.path(tmp_path), **kept._asdict())
  run.train_missing(problem, tmp_path)
  assert run.read(first, tmp_path).test == kept.test
  # The yoked run of the last seed replays the phases of the first.
  assert (last.kind, last.seed, first.seed) == (YOKED, 1, 0)
  assert (run.read(last, tmp_path).phases == phases).all()
  assert all(np.isfinite(run.read(other, tmp_path).train_loss) for other in others)


def test_a_seed_has_no_say_in_the_choice_of_its_own_rate():
  validation = np.array([[10.0, 50, 50], [20, 20, 90]])
  # Without seed 0: 50 and 55; without 1: 30 and 55; without 2: 30 and 20.
  assert report.choose(validation).tolist() == [0, 0, 1]


def test_the_report_compares_tuned_runs_and_counts_those_that_are_missing(tmp_path):
  random, tests = np.random.default_rng(0), {}
  for problem in PROBLEMS:
    (tmp_path / problem.name).mkdir()
    for one in run.runs_of(problem):
      if problem is CIFAR10 and one.seed == 2:
        continue  # not finished
      best = one.rate == problem.rates[1] and one.kind != 'fixed-0.475'
      test = tests[one] = 30 + random.normal() - 10 * (one.kind == LCAM)
      ended = run.Ended(20, 5, 40 - best, test, 1.0, np.array([0, 1, 1], np.int8))
      np.savez(one.path(tmp_path), **ended._asdict())
  written = report.write_report(tmp_path, tmp_path / 'out')
  own, other = (
    np.array([tests[run.Run('digits', kind, 0.01, seed)] for seed in range(5)])
    for kind in (LCAM, 'fixed-0.9')
  )
  half_width = stats.t.ppf(0.975, 4) * (own - other).std(ddof=1) / 5**0.5
  line = next(line for line in written.splitlines() if '- tuned fixed momentum' in line)
  assert f'{(own - other).mean():+.1f} ± {half_width:.1f}' in line
  assert line.endswith('| shown |')
  assert '147 of 238 runs' in written
  assert '## cifar10' not in written
  assert 'Follow-up' not in written
  rows = list(csv.DictReader((tmp_path / 'out' / 'runs.csv').open()))
  assert len(rows) == 147
  assert float(rows[0]['high_loss_share']) == pytest.approx(2 / 3, abs=1e-5)
