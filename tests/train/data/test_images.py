import dataclasses

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from train.data import find_source, step_key
from train.data.images import ImagePreprocessing, crop, mirror

_MEAN, _STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


def _images(seed, batch=6, size=8):
  return np.random.default_rng(seed).integers(0, 256, (batch, size, size, 3), np.uint8)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), padding=st.sampled_from([1, 4]))
def test_crop_equals_cutting_from_an_image_with_a_black_border(seed, padding):
  images = _images(seed)
  offsets = np.random.default_rng(seed).integers(0, 2 * padding + 1, (6, 2))
  found = np.asarray(jax.jit(crop, static_argnums=2)(images, offsets, padding))
  for image, (top, left), result in zip(images, offsets, found, strict=True):
    # PIL's crop fills what lies outside with black.
    corner = left - padding, top - padding
    expected = Image.fromarray(image).crop((*corner, corner[0] + 8, corner[1] + 8))
    np.testing.assert_array_equal(result, np.asarray(expected))


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_mirror_equals_reversed_columns(seed):
  images = _images(seed)
  which = np.random.default_rng(seed).random(6) < 0.5
  expected = np.stack(
    [image[:, ::-1] if w else image for image, w in zip(images, which, strict=True)]
  )
  np.testing.assert_array_equal(mirror(images, which), expected)


@pytest.mark.training
def test_every_offset_and_both_directions_are_drawn_about_equally_often():
  # One white pixel in the middle of a black image shows where the image went; its left half is
  # darker, which shows the direction.
  image = np.zeros((1, 9, 9, 3), np.uint8)
  image[0, 4, 4] = 255, 0, 0
  image[0, 4, 3] = 0, 255, 0
  batch = np.repeat(image, 8100, axis=0)
  preprocessing_ = ImagePreprocessing(mean=(0,) * 3, std=(1,) * 3, padding=4, flip=True)
  found = np.asarray(preprocessing_.train(jax.random.key(0), batch))
  rows, columns = np.nonzero(found[..., 0])[1:]
  assert len(rows) == 8100  # a shift of 4 keeps the middle pixel in view
  counts = np.histogram2d(rows, columns, bins=(9, 9))[0]
  assert counts.min() > 50  # of 100 expected
  assert counts.max() < 150
  left, right = (found[..., 1].sum() for found in (found[:, :, :4], found[:, :, 5:]))
  assert left > 0
  assert right > 0


def test_half_of_the_images_are_mirrored():
  ramp = np.tile(np.arange(8, dtype=np.uint8)[:, None], (1000, 8, 1, 3))
  found = ImagePreprocessing(mean=(0,) * 3, std=(1,) * 3, flip=True).train(jax.random.key(1), ramp)
  mirrored = np.mean(found[:, 0, 0, 0] > found[:, 0, -1, 0])
  assert 0.45 < mirrored < 0.55


@pytest.mark.training
def test_cifar_is_cropped_from_zeros_and_normalised_as_in_the_papers_scripts():
  found = find_source('cifar10').preprocessing
  assert found == find_source('cifar100').preprocessing
  assert (found.padding, found.flip) == (4, True)
  images = _images(0, size=32)
  expected = (images / 255 - _MEAN) / _STD
  np.testing.assert_allclose(found.evaluate(images), expected, rtol=1e-5, atol=1e-6)
  # The border is black before it is normalised.
  black = ((0 - _MEAN) / _STD).astype(np.float32)
  white = np.full((200, 32, 32, 3), 255, np.uint8)
  values = np.unique(np.asarray(found.train(jax.random.key(0), white)).reshape(-1, 3), axis=0)
  np.testing.assert_allclose(values[0], black, rtol=1e-5)
  assert len(values) == 2


def test_augmentation_is_a_pure_function_of_the_step():
  images = _images(0, size=32)
  train = jax.jit(find_source('cifar10').preprocessing.train)
  first = train(step_key(0, 1, 2), images)
  np.testing.assert_array_equal(train(step_key(0, 1, 2), images), first)
  for other in ((1, 1, 2), (0, 2, 2), (0, 1, 3)):
    assert not np.array_equal(train(step_key(*other), images), first)


@pytest.mark.parametrize('name', ['digits', 'cifar10'])
def test_augmentation_can_be_switched_off(name):
  images = _images(0)
  plain = dataclasses.replace(find_source(name).preprocessing, padding=0, flip=False)
  np.testing.assert_array_equal(plain.train(jax.random.key(0), images), plain.evaluate(images))


def test_digits_are_never_mirrored():
  assert not find_source('digits').preprocessing.flip


@pytest.mark.training
def test_vision_transformers_get_resized_images_from_minus_one_to_one():
  images = _images(0, size=32)
  resized = find_source('cifar10').preprocessing.resized(56)
  found = np.asarray(resized.evaluate(images))
  assert found.shape == (6, 56, 56, 3)
  for image, result in zip(images, found, strict=True):
    expected = np.stack(
      [
        Image.fromarray(channel.astype(np.float32)).resize((56, 56), Image.Resampling.BILINEAR)
        for channel in np.moveaxis(image, -1, 0)
      ],
      axis=-1,
    )
    np.testing.assert_allclose(result, expected / 127.5 - 1, atol=1e-5)
  assert resized.train(jax.random.key(0), images).shape == (6, 56, 56, 3)
