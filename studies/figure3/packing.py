"""Packs CIFAR-10, for a machine without a network.

python -m studies.figure3.packing pack FOLDER       # where it is prepared
python -m studies.figure3.packing unpack FOLDER     # where it is needed

It becomes 101 MB instead of 184 MB, in files of less than 2 MB, which can be copied in several parts.
The other machine needs nothing but the trainer.
"""

import hashlib
import pathlib
import sys
from collections.abc import Iterator
from typing import Literal

import numpy as np
import tyro
from PIL import Image

from train.data import cache, find_source
from train.data.dataset import DataError
from train.data.tfds_source import cache_folder
from train.system.files import read_whole

_CIFAR10 = find_source('cifar10')
_IMAGES, _COLUMNS = 1000, 25  # of a picture
_LABELS, _SUMS = 'labels.npz', 'SHA256SUMS'


def pack(folder: pathlib.Path, data_dir: str | None = None) -> None:
  """Writes the data set as lossless WebP pictures, with its labels and the digests of all files.

  Args:
    folder: Where to write the files.
    data_dir: TFDS's folder.
  """
  dataset = _CIFAR10.load(data_dir)
  folder.mkdir(parents=True, exist_ok=True)
  written = [folder / _LABELS]
  labels = {split: getattr(dataset, split).labels for split in cache.SPLITS}
  np.savez_compressed(written[0], names=np.array(dataset.class_names), **labels)
  for split in cache.SPLITS:
    images = getattr(dataset, split).inputs
    for number, first in enumerate(range(0, len(images), _IMAGES)):
      written.append(folder / f'{split}-{number:02}.webp')
      picture = Image.fromarray(_as_picture(np.asarray(images[first : first + _IMAGES])))
      picture.save(written[-1], lossless=True, quality=100)
  sums = ''.join(f'{_sha256(path)}  {path.name}\n' for path in written)
  (folder / _SUMS).write_text(sums)


def unpack(folder: pathlib.Path, data_dir: str | None = None) -> None:
  """Prepares the data set for the trainer from the files that :func:`pack` wrote.

  Args:
    folder: Where the files are.
    data_dir: TFDS's folder, where the trainer looks for it.

  Raises:
    DataError: If a file is missing or damaged.
  """
  lines = (read_whole(folder / _SUMS) or b'  ' + _SUMS.encode()).decode().splitlines()
  for digest, _, file in (line.partition('  ') for line in lines):
    if not (folder / file).exists() or _sha256(folder / file) != digest:
      raise DataError(f'{folder / file} is missing or damaged: copy it from where it was packed.')
  with np.load(folder / _LABELS) as labels:
    description = {'name': _CIFAR10.name, 'class_names': labels['names'].tolist()}
    cache.write(
      cache_folder(_CIFAR10.name, data_dir),
      description,
      _examples(folder, dict(labels), _CIFAR10.shape),
    )


def _as_picture(images: np.ndarray) -> np.ndarray:
  """Returns images as one, in rows of 25; the last row is filled with black ones."""
  _, height, width, colours = images.shape
  images = np.pad(images, [(0, -len(images) % _COLUMNS), (0, 0), (0, 0), (0, 0)])
  rows = images.reshape(-1, _COLUMNS, height, width, colours)
  return rows.swapaxes(1, 2).reshape(-1, _COLUMNS * width, colours)


def _as_images(picture: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
  height, width, colours = shape
  rows = picture.reshape(-1, height, picture.shape[1] // width, width, colours)
  return rows.swapaxes(1, 2).reshape(-1, *shape)


def _examples(
  folder: pathlib.Path, labels: dict[str, np.ndarray], shape: tuple[int, ...]
) -> Iterator[tuple[str, np.ndarray, int]]:
  """Yields split, image and label of each example, as :func:`train.data.cache.write` takes them."""
  for split in cache.SPLITS:
    paths = sorted(folder.glob(f'{split}-*.webp'))
    pictures = (np.asarray(Image.open(path)) for path in paths)
    images = (image for picture in pictures for image in _as_images(picture, shape))
    # The labels end before the images that fill the last row.
    yield from ((split, image, label) for label, image in zip(labels[split], images, strict=False))


def _sha256(path: pathlib.Path) -> str:
  return hashlib.sha256(path.read_bytes()).hexdigest()


def main(
  action: tyro.conf.Positional[Literal['pack', 'unpack']],
  folder: tyro.conf.Positional[pathlib.Path],
  data_dir: str | None = None,
) -> None:
  """Packs the prepared CIFAR-10 into a folder, or prepares it from there.

  Args:
    action: What to do.
    folder: The folder of the packed files.
    data_dir: Where TFDS keeps its data sets (default: TFDS_DATA_DIR, or TFDS's own).
  """
  {'pack': pack, 'unpack': unpack}[action](folder, data_dir)


if __name__ == '__main__':
  try:
    tyro.cli(main)
  except DataError as error:
    print(error, file=sys.stderr)
    sys.exit(2)
