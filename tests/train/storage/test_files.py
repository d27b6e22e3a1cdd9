"""What is said where the system refuses, and that nothing is overwritten that was kept."""

import errno

import pytest

from train.system.errors import StorageError, UserError
from train.system.files import errors_explained, put_aside, read_object, read_whole, write_whole


def test_only_a_file_that_is_missing_is_none(tmp_path):
  assert read_whole(tmp_path / 'missing') is None
  assert read_object(tmp_path / 'missing') == {}
  with pytest.raises(IsADirectoryError):
    read_whole(tmp_path)


def test_what_is_put_aside_twice_is_there_twice(tmp_path):
  for text in ('first', 'second'):
    (tmp_path / 'metrics.csv').write_text(text)
    put_aside(tmp_path / 'metrics.csv', 'metrics.csv.edited')
  found = {path.name: path.read_text() for path in tmp_path.iterdir()}
  assert found == {'metrics.csv.edited-1': 'first', 'metrics.csv.edited-2': 'second'}


def test_the_sentence_names_the_file_that_the_user_knows(tmp_path):
  (tmp_path / 'report.md').mkdir()
  with pytest.raises(UserError, match='cannot be used') as raised, errors_explained(tmp_path):
    write_whole(tmp_path / 'report.md', 'text')
  assert str(raised.value).startswith(f'{tmp_path / "report.md"} cannot be used (Is a directory)')
  assert [path.name for path in tmp_path.iterdir()] == ['report.md']


def test_a_folder_below_a_file_is_told(tmp_path):
  (tmp_path / 'file').write_text('')
  folder = tmp_path / 'file' / 'runs'
  with pytest.raises(UserError, match='Not a directory'), errors_explained(folder):
    folder.mkdir(parents=True)


@pytest.mark.parametrize('number', [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_told(tmp_path, number):
  with (
    pytest.raises(StorageError, match=f'The disk of {tmp_path} is full'),
    errors_explained(tmp_path, StorageError),
  ):
    raise OSError(number, 'whatever the system says')


def test_what_goes_wrong_elsewhere_is_left_as_it_is(tmp_path):
  inside = tmp_path / 'runs'
  inside.mkdir()
  with pytest.raises(FileNotFoundError), errors_explained(inside):
    (tmp_path / 'data.npz').read_bytes()
  with pytest.raises(ConnectionRefusedError), errors_explained(inside):
    raise ConnectionRefusedError
  with pytest.raises(FileNotFoundError), errors_explained(inside):
    (tmp_path / 'runs-of-another' / 'file').read_bytes()


def test_a_name_that_is_not_utf_8_is_written_as_it_is(tmp_path):
  write_whole(tmp_path / 'report.md', '# \udcff')
  assert (tmp_path / 'report.md').read_bytes() == b'# \xff'
