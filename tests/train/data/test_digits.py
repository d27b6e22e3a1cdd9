"""The digits are kept in the user's cache folder, and read from scikit-learn where that cannot be used."""

import random
import sys

import numpy as np
import pytest

from tests.attack.damage import WAYS
from train.data.digits import load_digits, load_noisy_digits


@pytest.fixture
def cache(tmp_path, monkeypatch):
  monkeypatch.setattr('platformdirs.user_cache_dir', lambda name: str(tmp_path / 'cache' / name))
  return tmp_path / 'cache'


def kept_file(cache):
  (path,) = cache.rglob('*.npz')
  return path


def assert_same(one, other):
  for split in ('train', 'test'):
    for part in ('inputs', 'labels'):
      arrays = [getattr(getattr(dataset, split), part) for dataset in (one, other)]
      np.testing.assert_array_equal(*arrays, strict=True)
  assert one.class_names == other.class_names


def test_a_later_start_does_without_scikit_learn(cache, monkeypatch):
  first = load_digits()
  monkeypatch.setitem(sys.modules, 'sklearn', None)  # its import would fail
  assert_same(load_digits(), first)


@pytest.mark.parametrize('way', WAYS)
def test_a_damaged_file_is_not_taken(cache, way):
  first = load_digits()
  content = kept_file(cache).read_bytes()
  way(kept_file(cache), random.Random(0))
  assert_same(load_digits(), first)
  if kept_file(cache).is_file():  # a folder in its place is left alone
    assert kept_file(cache).read_bytes() == content


def test_where_nothing_can_be_written_they_are_read_each_time(cache):
  cache.write_text('a file where the folder should be')
  assert_same(load_digits(), load_digits())


def test_a_fifth_of_the_noisy_training_labels_is_wrong():
  right, noisy = load_digits(), load_noisy_digits()
  wrong = noisy.train.labels != right.train.labels
  assert wrong.sum() == 200
  assert len(set(noisy.train.labels[wrong] - right.train.labels[wrong])) > 9  # any other class
  np.testing.assert_array_equal(noisy.test.labels, right.test.labels)
  np.testing.assert_allclose(noisy.train.inputs.mean(0), 0, atol=1e-6)
