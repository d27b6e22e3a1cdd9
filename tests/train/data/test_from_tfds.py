"""These run where the extra `data` is installed: TFDS's own builders and readers, no network."""

import hashlib
import io
import tarfile

import numpy as np
import pytest
from PIL import Image
from scipy.io import wavfile

tfds = pytest.importorskip('tensorflow_datasets')
tf = pytest.importorskip('tensorflow')

from train.data import SOURCES, DataError, cache, find_source  # noqa: E402
from train.data.from_tfds import convert  # noqa: E402
from train.data.speech_commands_35 import WORDS, SpeechCommands35  # noqa: E402


@pytest.mark.parametrize('name', [n for n in SOURCES if n not in ('digits', 'spoken_digit')])
def test_mocked_data_sets_become_caches(tmp_path, name):
  with tfds.testing.mock_data(num_examples=7):
    convert(name, tmp_path)
  source = find_source(name)
  dataset = source.load(str(tmp_path))
  assert dataset.name == name
  assert dataset.num_classes == source.num_classes
  for split in (dataset.train, dataset.test):
    assert split.inputs.shape == (7, *source.shape)
    assert split.inputs.dtype == source.dtype
    assert split.labels.dtype == np.int32
  assert np.isfinite(source.preprocessing.evaluate(dataset.test.inputs)).all()


def test_what_tfds_does_not_prepare_is_refused(tmp_path):
  with pytest.raises(DataError, match='TFDS does not prepare digits'):
    convert('digits', tmp_path)


def test_spoken_digit_is_tested_on_recordings_0_to_4(tmp_path):
  """Each audio is as long as its recording's number, up to ten seconds, and holds it."""
  recordings = [(digit, number) for digit in (3, 7) for number in (0, 4, 5, 12, 49)]

  def examples():
    for digit, number in recordings:
      yield {
        'audio': np.full((number + 1) * 1_600, number - 9, np.int64),
        'audio/filename': f'{digit}_jackson_{number}.wav',
        'label': digit,
      }

  def as_dataset(self, *args, **kwargs):
    features = self.info.features
    return tf.data.Dataset.from_generator(
      examples, output_types=features.dtype, output_shapes=features.shape
    ).apply(tf.data.experimental.assert_cardinality(len(recordings)))

  with tfds.testing.mock_data(as_dataset_fn=as_dataset):
    convert('spoken_digit', tmp_path)
  dataset = find_source('spoken_digit').load(str(tmp_path))
  assert dataset.test.labels.tolist() == [3, 3, 7, 7]
  assert dataset.test.inputs[:, 0].tolist() == [-9, -5, -9, -5]
  assert dataset.train.inputs[:, 0].tolist() == [-4, 3, 40] * 2
  # Shorter than a second: silence follows. Longer: the rest is cut.
  assert dataset.test.inputs.shape == (4, 8_000)
  assert np.count_nonzero(dataset.test.inputs, axis=1).tolist() == [1_600, 8_000] * 2
  assert dataset.class_names == tuple('0123456789')


def _tiny_cifar(data_dir, file_format, monkeypatch):
  """Has TFDS prepare 20 training and 10 test images; label and first pixel tell them apart."""
  builder = tfds.builder('cifar10', data_dir=data_dir, file_format=file_format)

  def examples(split, number):
    for index in range(number):
      buffer = io.BytesIO()
      Image.fromarray(np.full((32, 32, 3), index, np.uint8)).save(buffer, 'PNG')
      buffer.seek(0)
      record = {'id': f'{split}_{index:05d}', 'image': buffer, 'label': index % 10}
      yield record['id'], record

  splits = {'train': examples('train', 20), 'test': examples('test', 10)}
  monkeypatch.setattr(type(builder), '_split_generators', lambda self, manager: splits)
  builder.download_and_prepare()


def test_both_file_formats_give_the_same_cache(tmp_path, monkeypatch):
  datasets = []
  for file_format in ('tfrecord', 'array_record'):
    _tiny_cifar(tmp_path / file_format, file_format, monkeypatch)
    convert('cifar10', tmp_path / file_format)
    datasets.append(find_source('cifar10').load(str(tmp_path / file_format)))
  one, other = datasets
  for split in ('train', 'test'):
    np.testing.assert_array_equal(getattr(one, split).inputs, getattr(other, split).inputs)
    np.testing.assert_array_equal(getattr(one, split).labels, getattr(other, split).labels)
  assert sorted(one.train.inputs[:, 0, 0, 0]) == list(range(20))
  np.testing.assert_array_equal(one.train.labels, one.train.inputs[:, 0, 0, 0] % 10)


def _archive(path, further=()):
  """Writes an archive laid out as Speech Commands 0.02; the first sample numbers a recording.

  Args:
    path: Where.
    further: More members, without content.
  """
  recordings = [f'{word}/{speaker}_nohash_0.wav' for word in WORDS for speaker in ('a', 'b', 'c')]
  files = {
    './README.md': b'Speech Commands',
    './validation_list.txt': ''.join(f'{r}\n' for r in recordings if '/b' in r).encode(),
    './testing_list.txt': ''.join(f'{r}\n' for r in recordings if '/c' in r).encode(),
    './_background_noise_/running_tap.wav': _wav(np.ones(40_000)),
  }
  for index, recording in enumerate(recordings):
    files[f'./{recording}'] = _wav(np.full(16_000 if index % 2 else 9_000, index + 1))
  with tarfile.open(path, 'w:gz') as archive:
    for name, content in files.items():
      member = tarfile.TarInfo(name)
      member.size = len(content)
      archive.addfile(member, io.BytesIO(content))
    for member in further:
      archive.addfile(member)
  return recordings


def _wav(samples):
  buffer = io.BytesIO()
  wavfile.write(buffer, 16_000, samples.astype(np.int16))
  return buffer.getvalue()


def test_speech_commands_35_follows_the_archives_own_lists(tmp_path, monkeypatch):
  path = tmp_path / 'speech_commands_v0.02.tar.gz'
  recordings = _archive(path)
  monkeypatch.setattr(
    tfds.download.DownloadManager, 'download', lambda self, url: path, raising=True
  )
  builder = SpeechCommands35(data_dir=tmp_path)
  builder.download_and_prepare()
  assert {name: split.num_examples for name, split in builder.info.splits.items()} == {
    'train': 35,
    'validation': 35,
    'test': 35,
  }
  convert('speech_commands_35', tmp_path)
  dataset = find_source('speech_commands_35').load(str(tmp_path))
  assert dataset.class_names == tuple(WORDS)
  for split, speaker in (('train', 'a'), ('test', 'c')):
    rows = getattr(dataset, split)
    found = [recordings[number - 1] for number in rows.inputs[:, 0]]
    assert sorted(found) == sorted(r for r in recordings if f'/{speaker}' in r)
    words = [WORDS[label] for label in rows.labels]
    assert words == [recording.split('/')[0] for recording in found]
    lengths = np.count_nonzero(rows.inputs, axis=1)
    assert set(lengths) == {9_000, 16_000}


def _hostile_members(outside):
  """Yields what would write outside a folder, or make what is no file in it."""
  for name in ('../evil.wav', f'{outside}/evil.wav', 'yes/../../../evil.wav'):
    yield tarfile.TarInfo(name)
  for kind, target in (
    (tarfile.SYMTYPE, str(outside)),
    (tarfile.SYMTYPE, '../..'),
    (tarfile.LNKTYPE, '/etc/hostname'),
    (tarfile.CHRTYPE, ''),
    (tarfile.FIFOTYPE, ''),
  ):
    member = tarfile.TarInfo(f'yes/evil-{kind.decode()}.wav')
    member.type, member.linkname = kind, target
    yield member


def test_a_hostile_archive_writes_nothing_outside_its_folder(tmp_path, monkeypatch):
  outside, folder = tmp_path / 'outside', tmp_path / 'a/b/c/d'
  outside.mkdir()
  folder.mkdir(parents=True)
  path = tmp_path / 'speech_commands_v0.02.tar.gz'
  recordings = _archive(path, _hostile_members(outside))
  monkeypatch.setattr(tfds.download.DownloadManager, 'download', lambda self, url: path)
  convert('speech_commands_35', folder)
  dataset = find_source('speech_commands_35').load(str(folder))
  assert len(dataset.train) == len([r for r in recordings if '/a' in r])
  # What other builders do, those of CIFAR for example.
  manager = tfds.download.DownloadManager(download_dir=folder, extract_dir=folder / 'extracted')
  extracted = manager.extract(path)
  assert (extracted / 'yes/a_nohash_0.wav').is_file()
  found = [found for found in tmp_path.rglob('*') if 'evil' in found.name or found.is_symlink()]
  assert found == []
  assert list(outside.iterdir()) == []


def test_speech_commands_35_shares_the_download_of_speech_commands():
  known = tfds.builder_cls('speech_commands').url_infos
  (url,) = (url for url in SpeechCommands35.url_infos if 'test_set' not in url)
  assert SpeechCommands35.url_infos[url] == known[url]


def test_the_checksums_are_those_of_the_files(tmp_path):
  with tfds.testing.mock_data(num_examples=3):
    folder = convert('cifar10', tmp_path)
  cache.verify(folder)
  content = (folder / 'train_inputs.npy').read_bytes()
  assert hashlib.sha256(content).hexdigest() in (folder / 'dataset.json').read_text()
