import json

import numpy as np
import pytest

from train.data import cache

_DESCRIPTION = {'name': 'cifar10', 'class_names': ['cat', 'dog']}


def _examples(number=5):
  for index in range(number):
    for split in cache.SPLITS:
      yield split, np.full((2, 3), index, np.uint8), index % 2


@pytest.fixture
def folder(tmp_path):
  folder = tmp_path / 'lcam' / 'cifar10'
  cache.write(folder, _DESCRIPTION, _examples())
  return folder


def test_what_was_written_is_mapped(folder):
  dataset = cache.read(folder)
  cache.verify(folder)
  assert dataset.name == 'cifar10'
  assert dataset.class_names == ('cat', 'dog')
  for split in (dataset.train, dataset.test):
    assert isinstance(split.inputs, np.memmap)
    assert split.inputs.dtype == np.uint8
    np.testing.assert_array_equal(split.inputs[:, 1, 2], range(5))
    assert split.labels.dtype == np.int32
    np.testing.assert_array_equal(split.labels, [0, 1, 0, 1, 0])


def test_arrays_are_plain_files_that_numpy_reads(folder):
  assert sorted(path.name for path in folder.iterdir()) == [
    'dataset.json',
    'test_inputs.npy',
    'test_labels.npy',
    'train_inputs.npy',
    'train_labels.npy',
  ]
  assert np.load(folder / 'train_inputs.npy').shape == (5, 2, 3)
  described = json.loads((folder / 'dataset.json').read_text())['arrays']['test_labels.npy']
  assert (described['shape'], described['dtype']) == ([5], 'int32')


def _interrupted(number):
  yield from _examples(number)
  raise KeyboardInterrupt


def test_an_interrupted_write_leaves_nothing(tmp_path):
  with pytest.raises(KeyboardInterrupt):
    cache.write(tmp_path / 'cifar10', _DESCRIPTION, _interrupted(3))
  assert list(tmp_path.iterdir()) == []


def test_an_interrupted_rewrite_leaves_the_cache_as_it_was(folder):
  with pytest.raises(KeyboardInterrupt):
    cache.write(folder, _DESCRIPTION, _interrupted(3))
  cache.verify(folder)
  assert len(cache.read(folder).train) == 5


def test_a_rewrite_replaces_the_cache_and_keeps_what_is_mapped(folder):
  before = cache.read(folder)
  cache.write(folder, _DESCRIPTION, _examples(7))
  cache.verify(folder)
  assert len(cache.read(folder).train) == 7
  np.testing.assert_array_equal(before.train.labels, [0, 1, 0, 1, 0])
  assert [path.name for path in folder.parent.iterdir()] == ['cifar10']


def test_what_a_killed_process_left_is_cleared_away(folder):
  scratch = folder.parent / '.cifar10.incomplete'
  scratch.mkdir()
  (scratch / 'train_inputs.npy').write_bytes(b'half')
  cache.write(folder, _DESCRIPTION, _examples())
  assert not scratch.exists()


def test_examples_without_a_split_make_no_cache(tmp_path):
  with pytest.raises(cache.DamagedCacheError, match='test_inputs'):
    cache.write(tmp_path / 'x', _DESCRIPTION, (e for e in _examples() if e[0] == 'train'))
  assert list(tmp_path.iterdir()) == []


def _shorten(folder):
  path = folder / 'train_inputs.npy'
  path.write_bytes(path.read_bytes()[:-1])


def _remove(folder):
  (folder / 'test_labels.npy').unlink()


def _overwrite_header(folder):
  path = folder / 'train_labels.npy'
  path.write_bytes(b'x' * path.stat().st_size)


def _exchange(folder):
  (folder / 'train_inputs.npy').write_bytes((folder / 'train_labels.npy').read_bytes())


def _remove_description(folder):
  (folder / 'dataset.json').unlink()


def _halve_description(folder):
  path = folder / 'dataset.json'
  path.write_text(path.read_text()[:100])


def _other_format(folder):
  path = folder / 'dataset.json'
  path.write_text(json.dumps(json.loads(path.read_text()) | {'format': 0}))


def _nothing_described(folder):
  (folder / 'dataset.json').write_text('{"format": 1}')


def _replace_by_a_folder(folder):
  (folder / 'test_inputs.npy').unlink()
  (folder / 'test_inputs.npy').mkdir()


def _replace_by_a_link_to_nothing(folder):
  (folder / 'test_inputs.npy').unlink()
  (folder / 'test_inputs.npy').symlink_to('nothing')


def _replace_by_a_link_to_itself(folder):
  (folder / 'test_inputs.npy').unlink()
  (folder / 'test_inputs.npy').symlink_to('test_inputs.npy')


def _describe_a_list(folder):
  (folder / 'dataset.json').write_text('[1]')


def _describe_no_arrays(folder):
  (folder / 'dataset.json').write_text('{"format": 1, "arrays": [], "name": 3}')


def _drop_labels(folder):
  """Leaves an input without a label, and says so in the description."""
  np.save(folder / 'test_labels.npy', np.zeros(4, np.int32))
  path = folder / 'dataset.json'
  description = json.loads(path.read_text())
  size = (folder / 'test_labels.npy').stat().st_size
  description['arrays']['test_labels.npy'] |= {'shape': [4], 'bytes': size}
  path.write_text(json.dumps(description))


@pytest.mark.parametrize(
  ('damage', 'message'),
  [
    (_shorten, 'train_inputs.npy has'),
    (_remove, 'cannot read test_labels.npy'),
    (_overwrite_header, 'train_labels.npy is not an array file'),
    (_exchange, 'train_inputs.npy'),
    (_remove_description, 'cannot read dataset.json'),
    (_halve_description, 'dataset.json is not as it was written'),
    (_other_format, 'another version'),
    (_nothing_described, 'dataset.json is not as it was written'),
    (_replace_by_a_folder, r'test_inputs\.npy'),
    (_replace_by_a_link_to_nothing, r'cannot read test_inputs\.npy'),
    (_replace_by_a_link_to_itself, r'cannot read test_inputs\.npy'),
    (_describe_a_list, 'dataset.json is not as it was written'),
    (_describe_no_arrays, 'dataset.json is not as it was written'),
    (_drop_labels, r'labels of shape \(4,\)'),
  ],
)
def test_damage_is_named_when_read(folder, damage, message):
  damage(folder)
  with pytest.raises(cache.DamagedCacheError, match=message):
    cache.read(folder)
  with pytest.raises(cache.DamagedCacheError):
    cache.verify(folder)


def test_a_changed_byte_is_found_by_its_checksum(folder):
  path = folder / 'train_inputs.npy'
  content = bytearray(path.read_bytes())
  content[-1] ^= 1
  path.write_bytes(content)
  cache.read(folder)
  with pytest.raises(cache.DamagedCacheError, match='checksum of train_inputs'):
    cache.verify(folder)


def test_any_changed_byte_is_found_or_changes_nothing(folder):
  rng = np.random.default_rng(0)
  whole = cache.read(folder)
  paths = sorted(folder.iterdir())
  for path in (paths[index] for index in rng.integers(len(paths), size=300)):
    content = path.read_bytes()
    changed = bytearray(content)
    changed[rng.integers(len(content))] ^= 1 << rng.integers(8)
    path.write_bytes(changed)
    try:
      cache.verify(folder)
    except cache.DamagedCacheError:
      pass
    else:
      assert path.suffix == '.json', path
      np.testing.assert_array_equal(cache.read(folder).train.inputs, whole.train.inputs)
    path.write_bytes(content)


@pytest.mark.parametrize('link', [False, True])
def test_what_is_in_place_of_the_folder_is_replaced(tmp_path, link):
  folder = tmp_path / 'cifar10'
  if link:
    folder.symlink_to('nothing')
  else:
    folder.write_text('a file')
  cache.write(folder, _DESCRIPTION, _examples())
  cache.verify(folder)
  assert [path.name for path in tmp_path.iterdir()] == ['cifar10']


def test_labels_without_a_class_are_damage(tmp_path):
  description = {'name': 'cifar10', 'class_names': ['cat']}
  with pytest.raises(cache.DamagedCacheError, match=r'Label 1 in row 1 .* 1 classes, 0 to 0$'):
    cache.write(tmp_path / 'cifar10', description, _examples())
  assert list(tmp_path.iterdir()) == []
