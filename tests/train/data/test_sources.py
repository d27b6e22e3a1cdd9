import os
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest

from train.data import SOURCES, DataError, cache, find_source
from train.data.tfds_source import TfdsSource, cache_folder

_HERE = pathlib.Path(__file__).parent


@pytest.fixture
def fake_tfds(monkeypatch):
  """Lets the process that runs TFDS find a stand-in that fails as it is told."""
  monkeypatch.setenv('PYTHONPATH', str(_HERE / 'fake_tfds'))
  return lambda failure: monkeypatch.setenv('FAKE_TFDS', failure)


@pytest.fixture(scope='module')
def prepared(tmp_path_factory):
  """Returns a directory in which the stand-in has prepared CIFAR-10."""
  folder = tmp_path_factory.mktemp('prepared')
  with pytest.MonkeyPatch.context() as patch:
    patch.setenv('PYTHONPATH', str(_HERE / 'fake_tfds'))
    find_source('cifar10').prepare(str(folder))
  return folder


def test_embedded_digits_are_the_same_everywhere():
  digits = find_source('digits').load()
  assert digits.train.inputs.shape == (1000, 8, 8, 3)
  assert digits.test.inputs.shape == (797, 8, 8, 3)
  assert digits.train.inputs.dtype == np.uint8
  assert digits.train.labels.dtype == np.int32
  assert digits.class_names == tuple('0123456789')
  assert np.bincount(digits.train.labels).min() == 97
  assert (digits.train.inputs.min(), digits.train.inputs.max()) == (0, 255)
  # The split must not move with scikit-learn's version.
  assert digits.train.labels[:12].tolist() == [1, 1, 9, 7, 9, 4, 1, 1, 1, 6, 5, 9]
  assert digits.train.inputs.sum(dtype=np.int64) == 14_926_644
  normalised = np.asarray(find_source('digits').preprocessing.evaluate(digits.train.inputs))
  assert abs(normalised.mean()) < 1e-4
  assert abs(normalised.std() - 1) < 1e-4


@pytest.mark.parametrize('source', SOURCES.values(), ids=SOURCES.keys())
def test_a_source_says_what_loading_it_gives(source):
  hash(source)  # so that programs can be kept by it
  if isinstance(source, TfdsSource) and not cache_folder(source.name, None).exists():
    pytest.skip(f"{source.name} is not there: 'python -m train prepare {source.name}' gets it")
  dataset = source.load()
  assert dataset.name == source.name
  assert dataset.num_classes == source.num_classes
  assert (len(dataset.train), len(dataset.test)) == (source.train_examples, source.test_examples)
  for split in (dataset.train, dataset.test):
    assert split.inputs.shape[1:] == source.shape
    assert split.inputs.dtype == source.dtype
  prepared = source.preprocessing.evaluate(dataset.train.inputs[:2])
  assert prepared.dtype == np.float32


def test_the_first_training_examples_can_be_taken():
  digits = find_source('digits')
  whole, part = digits.load(), digits.load(train_examples=10)
  np.testing.assert_array_equal(part.train.inputs, whole.train.inputs[:10])
  assert len(part.train) == 10
  assert len(part.test) == 797


@pytest.mark.parametrize('number', [0, 1001])
def test_examples_that_are_not_there_cannot_be_taken(number):
  with pytest.raises(DataError, match=r'1000 training examples'):
    find_source('digits').load(train_examples=number)


def test_an_unknown_data_set_is_named():
  with pytest.raises(DataError, match="'mnist': choose from digits, noisy_digits, cifar10"):
    find_source('mnist')


def test_digits_need_no_preparation():
  with pytest.raises(DataError, match='comes with scikit-learn and needs no preparation'):
    find_source('digits').prepare()


@pytest.mark.training
def test_a_missing_cache_is_prepared_by_another_process(fake_tfds, tmp_path, capfd):
  dataset = find_source('cifar10').load(str(tmp_path))
  np.testing.assert_array_equal(dataset.train.inputs[:, 0, 0, 0], range(6))
  assert dataset.class_names == ('cat', 'dog')
  printed, shown = capfd.readouterr()
  assert printed == ''
  assert 'TFDS prints' in shown
  assert 'cifar10 train to arrays' in shown
  # Now it is there, and TFDS is not asked again.
  fake_tfds('bug')
  find_source('cifar10').load(str(tmp_path), train_examples=2)
  assert find_source('cifar10').prepare(str(tmp_path)) == tmp_path / 'lcam' / 'cifar10'


@pytest.mark.training
def test_the_folder_comes_from_the_environment(fake_tfds, tmp_path, monkeypatch):
  monkeypatch.setenv('TFDS_DATA_DIR', str(tmp_path / 'new'))
  assert find_source('cifar10').prepare() == tmp_path / 'new' / 'lcam' / 'cifar10'


@pytest.mark.training
@pytest.mark.parametrize(
  ('failure', 'sentence'),
  [
    ('missing', r"needs TensorFlow Datasets .*No module named 'tensorflow'.*\.\[data\]"),
    ('offline', 'Cannot download cifar10: connect to the network .*TFDS_DATA_DIR'),
    ('checksum', 'downloaded file is not cifar10, .*again'),
    pytest.param(
      'space', 'is full: free space .*--data-dir or TFDS_DATA_DIR', marks=pytest.mark.slow
    ),
    ('full', 'is full: free space .*--data-dir or TFDS_DATA_DIR'),
    ('denied', 'Cannot write to .*choose another folder with --data-dir or TFDS_DATA_DIR'),
    ('bug', 'could not prepare cifar10: see its output above'),
  ],
)
def test_a_failure_is_one_sentence_and_leaves_nothing_to_trust(
  fake_tfds, tmp_path, capfd, failure, sentence
):
  fake_tfds(failure)
  with pytest.raises(DataError, match=sentence) as raised:
    find_source('cifar10').load(str(tmp_path))
  assert '\n' not in str(raised.value)
  assert ('Traceback' in capfd.readouterr().err) == (failure == 'bug')
  assert not (tmp_path / 'lcam' / 'cifar10').exists()


@pytest.mark.training
def test_preparing_again_after_a_kill_succeeds(fake_tfds, tmp_path):
  fake_tfds('killed')
  with pytest.raises(DataError, match='could not prepare cifar10'):
    find_source('cifar10').prepare(str(tmp_path))
  assert not (tmp_path / 'lcam' / 'cifar10').exists()
  assert (tmp_path / 'lcam' / '.cifar10.incomplete').exists()
  fake_tfds('')
  folder = find_source('cifar10').prepare(str(tmp_path))
  cache.verify(folder)
  assert not (tmp_path / 'lcam' / '.cifar10.incomplete').exists()


@pytest.mark.training
def test_damage_is_reported_with_the_command_that_mends_it(fake_tfds, prepared, tmp_path, capfd):
  shutil.copytree(prepared, tmp_path, dirs_exist_ok=True)
  folder = tmp_path / 'lcam' / 'cifar10'
  (folder / 'train_labels.npy').unlink()
  command = f'python -m train prepare cifar10 --data-dir {tmp_path}'
  with pytest.raises(DataError, match=command) as raised:
    find_source('cifar10').load(str(tmp_path))
  assert 'cannot read train_labels.npy' in str(raised.value)
  find_source('cifar10').prepare(str(tmp_path))
  assert 'Rebuilding' in capfd.readouterr().err
  assert len(find_source('cifar10').load(str(tmp_path)).train) == 6


@pytest.mark.training
def test_the_folder_of_another_data_set_is_not_taken(prepared, tmp_path):
  shutil.copytree(prepared / 'lcam' / 'cifar10', tmp_path / 'lcam' / 'cifar100')
  with pytest.raises(DataError, match=r'cifar100 is damaged \(it holds cifar10\): rebuild it with'):
    find_source('cifar100').load(str(tmp_path))


def test_a_wrong_folder_is_one_sentence(tmp_path):
  (tmp_path / 'file').touch()
  for wrong, sentence in (
    (tmp_path / 'no' / 'such', 'is not a folder: create it, or choose'),
    (tmp_path / 'file', 'is not a folder'),
    ('gs://bucket/data', 'is not a folder of this machine'),
    (tmp_path / ('x' * 300), 'Cannot use .*: choose another'),
  ):
    with pytest.raises(DataError, match=sentence):
      find_source('cifar10').load(str(wrong))


@pytest.mark.skipif(os.name != 'posix' or os.geteuid() == 0, reason='root may write everywhere')
def test_a_folder_that_is_not_writable_is_one_sentence(tmp_path):
  tmp_path.chmod(0o500)
  with pytest.raises(DataError, match='not writable: choose another'):
    find_source('cifar10').load(str(tmp_path))


@pytest.mark.training
def test_a_training_process_never_imports_tensorflow(prepared):
  program = """
import sys
import jax
from train.data import find_source, gather, make_input, step_key
source = find_source('cifar10')
dataset = source.load(sys.argv[1])
batch = next(make_input(dataset.train).epoch(0, 0, 4))
jax.jit(source.preprocessing.train)(step_key(0, 0, 0), gather(batch)[0])
print([name for name in sys.modules if name.startswith('tensorflow')])
"""
  process = subprocess.run(
    [sys.executable, '-c', program, str(prepared)], capture_output=True, text=True, check=True
  )
  assert process.stdout.strip() == '[]'
