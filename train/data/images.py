"""Augmentation and normalisation of images, on the device."""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float32, Int, Key, UInt8

from train.data.preprocess import Preprocessing

Images = UInt8[Array, 'batch height width channels']
NewImages = Float32[Array, 'batch new_height new_width channels']


@dataclasses.dataclass(frozen=True)
class ImagePreprocessing(Preprocessing):
  """Random crop and flip (training only), resizing, normalisation."""

  mean: tuple[float, ...]  # subtracted from each channel, on the scale where white is 1
  std: tuple[float, ...]  # each channel is then divided by it
  padding: int = 0  # black pixels added on each side before a random crop; 0 does not crop
  flip: bool = False  # whether half of the images, drawn at random, are mirrored left to right
  size: int | None = None  # height and width to resize to (bilinear, antialiased), if any

  def resized(self, image_size: int) -> 'ImagePreprocessing':
    """Returns the variant for a vision transformer that takes images of another size.

    Its values are from -1 to 1, as the ImageNet-21k weights expect, whatever the data set's
    statistics are.
    """
    half = (0.5,) * len(self.mean)
    return dataclasses.replace(self, mean=half, std=half, size=image_size)

  def train(self, key: Key[Array, ''], inputs: Images) -> NewImages:
    crop_key, flip_key = jax.random.split(key)
    batch = len(inputs)
    if self.padding:
      offsets = jax.random.randint(crop_key, (batch, 2), 0, 2 * self.padding + 1)
      inputs = crop(inputs, offsets, self.padding)
    if self.flip:
      inputs = mirror(inputs, jax.random.bernoulli(flip_key, shape=(batch,)))
    return self.evaluate(inputs)

  def evaluate(self, inputs: Images) -> NewImages:
    images = inputs.astype(jnp.float32) / 255
    if self.size is not None:
      batch, _, _, channels = images.shape
      images = jax.image.resize(images, (batch, self.size, self.size, channels), 'linear')
    return (images - jnp.array(self.mean)) / jnp.array(self.std)


def crop(images: Images, offsets: Int[Array, 'batch 2'], padding: int) -> Images:
  """Pads images with zeros on each side and crops them to their original size.

  The offsets are row and column, 0 to ``2 * padding``, of each crop's corner in the padded image.
  """
  padded = jnp.pad(images, ((0, 0), (padding, padding), (padding, padding), (0, 0)))

  def cut(image, offset):
    return jax.lax.dynamic_slice(image, (offset[0], offset[1], 0), images.shape[1:])

  return jax.vmap(cut)(padded, offsets)


def mirror(images: Images, which: Bool[Array, ' batch']) -> Images:
  """Mirrors the chosen images left to right."""
  return jnp.where(which[:, None, None, None], images[:, :, ::-1], images)
