"""Speech Commands with all its 35 words, as a TFDS builder.

TFDS's own ``speech_commands`` has the 12 classes of the data set's keyword task: ten words,
unknown, silence. Importing this module registers the builder; it needs TensorFlow Datasets.
"""

import io
import pathlib
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import tensorflow_datasets as tfds
from scipy.io import wavfile

_ARCHIVE = 'http://download.tensorflow.org/data/speech_commands_v0.02.tar.gz'
_SAMPLE_RATE = 16_000
_BACKGROUND = '_background_noise_'
_LISTS = ('validation_list.txt', 'testing_list.txt')
# fmt: off
WORDS = [
  'backward', 'bed', 'bird', 'cat', 'dog', 'down', 'eight', 'five', 'follow', 'forward', 'four',
  'go', 'happy', 'house', 'learn', 'left', 'marvin', 'nine', 'no', 'off', 'on', 'one', 'right',
  'seven', 'sheila', 'six', 'stop', 'three', 'tree', 'two', 'up', 'visual', 'wow', 'yes', 'zero',
]
# fmt: on


class SpeechCommands35(tfds.core.GeneratorBasedBuilder):
  """One-second recordings of 35 words, split by the archive's own lists of speakers.

  It shares the downloaded archive with TFDS's ``speech_commands``.

  References:
    Warden, "Speech Commands: A Dataset for Limited-Vocabulary Speech Recognition", 2018,
    https://arxiv.org/abs/1804.03209.
  """

  name = 'speech_commands_35'
  VERSION = tfds.core.Version('0.0.2')
  url_infos = tfds.builder_cls('speech_commands').url_infos

  def _info(self) -> tfds.core.DatasetInfo:
    return tfds.core.DatasetInfo(
      builder=self,
      description='Speech Commands 0.02: 105,829 recordings of 35 words.',
      features=tfds.features.FeaturesDict(
        {
          'audio': tfds.features.Audio(sample_rate=_SAMPLE_RATE, dtype=np.int16),
          'label': tfds.features.ClassLabel(names=WORDS),
        }
      ),
      supervised_keys=('audio', 'label'),
      homepage='https://arxiv.org/abs/1804.03209',
    )

  def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict:
    archive = dl_manager.download(_ARCHIVE)
    # The recordings of the validation and the test split, each as ``word/file``.
    lists = {
      pathlib.PurePosixPath(path).name: frozenset(file.read().decode().split())
      for path, file in dl_manager.iter_archive(archive)
      if path.endswith(_LISTS)
    }
    validation, test = (lists[name] for name in _LISTS)
    held_out = validation | test

    def examples(wanted: Callable[[str], bool]) -> Iterator[tuple[str, dict]]:
      return _examples(dl_manager.iter_archive(archive), wanted)

    return {
      'train': examples(lambda recording: recording not in held_out),
      'validation': examples(validation.__contains__),
      'test': examples(test.__contains__),
    }

  def _generate_examples(self):
    raise NotImplementedError('_split_generators returns the examples')


def _examples(archive: Iterable, wanted: Callable[[str], bool]) -> Iterator[tuple[str, dict]]:
  for path, file in archive:
    # Paths in the archive may begin with './'.
    recording = str(pathlib.PurePosixPath(path))
    word, _, file_name = recording.rpartition('/')
    if file_name.endswith('.wav') and word != _BACKGROUND and wanted(recording):
      rate, samples = wavfile.read(io.BytesIO(file.read()))
      assert rate == _SAMPLE_RATE, (recording, rate)
      yield recording, {'audio': samples, 'label': word}
