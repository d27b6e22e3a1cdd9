"""Reads the ImageNet-21k weights that Google publishes for vision transformers."""

import math
import os

import numpy as np
from flax import nnx

from models.vision_transformer import VisionTransformer

_POSITIONS = 'Transformer/posembed_input/pos_embedding'


def load_imagenet21k(model: VisionTransformer, path: str | os.PathLike) -> VisionTransformer:
  """Loads pre-trained weights into ``model``, in place, ready for fine-tuning.

  Reads an ``.npz`` file such as
  https://storage.googleapis.com/vit_models/imagenet21k/ViT-B_16.npz, with the names and shapes of
  google-research/vision_transformer. As in its fine-tuning, the position embeddings are
  interpolated linearly if the image size differs from the file's, the file's head and its
  pre-logits layer, if any, are dropped, and the new head starts at zero.

  Args:
    model: A network of the file's size, for any image size and number of classes.
    path: The ``.npz`` file.

  Returns:
    ``model``.

  Raises:
    ValueError: If the file is not an archive of arrays, or if arrays are missing, unexpected or of
      the wrong shape; the message lists them, and ``model`` is left unchanged.

  Example:
    >>> from flax import nnx
    >>> from models import vit_b16
    >>> model = vit_b16(100, image_size=384, rngs=nnx.Rngs(0))  # doctest: +SKIP
    >>> model = load_imagenet21k(model, 'ViT-B_16.npz')  # doctest: +SKIP
  """
  arrays = _read(path)
  variables = _variables(model)
  _check(arrays, variables, path)
  for name, variable in variables.items():
    array = arrays[name]
    if name == _POSITIONS:
      array = _interpolate(array, variable.shape[1])
    variable[...] = array.astype(variable.dtype)
  for variable in (model.head.kernel, model.head.bias):
    variable[...] = np.zeros(variable.shape, variable.dtype)
  return model


def _read(path):
  try:
    with np.load(path, allow_pickle=False) as file:
      return {name: file[name] for name in file.files}
  except Exception as error:  # a damaged file can make the readers raise anything
    raise ValueError(
      f'{os.fspath(path)} is damaged or not an .npz file of arrays: download it again.'
    ) from error


def _variables(model):
  """Returns the network's parameters, without the head's, by their names in the file."""
  layers = {'embedding': model.embedding, 'Transformer/encoder_norm': model.norm}
  for index, block in enumerate(model.blocks):
    prefix = f'Transformer/encoderblock_{index}'
    for part in ('query', 'key', 'value', 'out'):
      name = f'{prefix}/MultiHeadDotProductAttention_1/{part}'
      layers[name] = getattr(block.attention, part)
    layers[f'{prefix}/LayerNorm_0'] = block.norm1
    layers[f'{prefix}/LayerNorm_2'] = block.norm2
    layers[f'{prefix}/MlpBlock_3/Dense_0'] = block.mlp1
    layers[f'{prefix}/MlpBlock_3/Dense_1'] = block.mlp2
  variables = {'cls': model.class_token, _POSITIONS: model.position_embedding}
  for name, layer in layers.items():
    weight = 'scale' if isinstance(layer, nnx.LayerNorm) else 'kernel'
    variables[f'{name}/{weight}'] = getattr(layer, weight)
    variables[f'{name}/bias'] = layer.bias
  return variables


def _check(arrays, variables, path):
  expected = {name: variable.shape for name, variable in variables.items()}
  hidden_size = expected['cls'][-1]
  # Files differ in the number of positions and of classes, and some have a pre-logits layer.
  positions = arrays.get(_POSITIONS)
  if positions is not None and positions.ndim == 3 and _is_grid(positions.shape[1]):
    expected[_POSITIONS] = (1, positions.shape[1], hidden_size)
  if any(name.startswith('pre_logits/') for name in arrays):
    expected['pre_logits/kernel'] = (hidden_size, hidden_size)
    expected['pre_logits/bias'] = (hidden_size,)
  kernel, bias = arrays.get('head/kernel'), arrays.get('head/bias')
  expected['head/kernel'] = (hidden_size, _last_axis(bias, kernel))
  expected['head/bias'] = (_last_axis(kernel, bias),)

  problems = {
    'missing': sorted(expected.keys() - arrays.keys()),
    'not expected': sorted(arrays.keys() - expected.keys()),
    'without numbers': [
      name for name in sorted(arrays) if not np.issubdtype(arrays[name].dtype, np.number)
    ],
    'of the wrong shape': [
      f'{name} {arrays[name].shape} instead of {shape}'
      for name, shape in sorted(expected.items())
      if name in arrays and arrays[name].shape != shape
    ],
  }
  found = '; '.join(f'{kind}: {", ".join(names)}' for kind, names in problems.items() if names)
  if found:
    raise ValueError(
      f'{os.fspath(path)} does not fit this network (arrays {found}): use the file of its size.'
    )


def _is_grid(tokens):
  return tokens > 1 and math.isqrt(tokens - 1) ** 2 == tokens - 1


def _last_axis(*candidates):
  return next((array.shape[-1] for array in candidates if array is not None and array.ndim), 0)


def _interpolate(positions, tokens):
  """Resizes the grid of position embeddings, and keeps that of the class token."""
  if positions.shape[1] == tokens:
    return positions
  from scipy import ndimage  # here, because the import takes a quarter of a second

  old, new = math.isqrt(positions.shape[1] - 1), math.isqrt(tokens - 1)
  grid = positions[0, 1:].reshape(old, old, -1)
  grid = ndimage.zoom(grid, (new / old, new / old, 1), order=1)
  return np.concatenate([positions[:, :1], grid.reshape(1, tokens - 1, -1)], axis=1)
