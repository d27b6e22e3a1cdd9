"""Files as Google publishes them, and a vision transformer in NumPy that reads them directly."""

import numpy as np


def arrays(
  *, patch_size, hidden_size, depth, num_heads, mlp_size, tokens, classes=21843, pre_logits=True
):
  """Random weights under the names and in the shapes of google-research/vision_transformer."""
  split = (num_heads, hidden_size // num_heads)
  shapes = {
    'cls': (1, 1, hidden_size),
    'embedding/kernel': (patch_size, patch_size, 3, hidden_size),
    'embedding/bias': (hidden_size,),
    'Transformer/posembed_input/pos_embedding': (1, tokens, hidden_size),
    'Transformer/encoder_norm/scale': (hidden_size,),
    'Transformer/encoder_norm/bias': (hidden_size,),
    'head/kernel': (hidden_size, classes),
    'head/bias': (classes,),
  }
  if pre_logits:
    shapes['pre_logits/kernel'] = (hidden_size, hidden_size)
    shapes['pre_logits/bias'] = (hidden_size,)
  for layer in range(depth):
    block = f'Transformer/encoderblock_{layer}'
    attention = f'{block}/MultiHeadDotProductAttention_1'
    for name in ('query', 'key', 'value'):
      shapes[f'{attention}/{name}/kernel'] = (hidden_size, *split)
      shapes[f'{attention}/{name}/bias'] = split
    shapes[f'{attention}/out/kernel'] = (*split, hidden_size)
    shapes[f'{attention}/out/bias'] = (hidden_size,)
    for name in ('LayerNorm_0', 'LayerNorm_2'):
      shapes[f'{block}/{name}/scale'] = (hidden_size,)
      shapes[f'{block}/{name}/bias'] = (hidden_size,)
    shapes[f'{block}/MlpBlock_3/Dense_0/kernel'] = (hidden_size, mlp_size)
    shapes[f'{block}/MlpBlock_3/Dense_0/bias'] = (mlp_size,)
    shapes[f'{block}/MlpBlock_3/Dense_1/kernel'] = (mlp_size, hidden_size)
    shapes[f'{block}/MlpBlock_3/Dense_1/bias'] = (hidden_size,)
  rng = np.random.default_rng(0)
  return {name: _weights(rng, name, shape) for name, shape in shapes.items()}


def _weights(rng, name, shape):
  noise = rng.standard_normal(shape, dtype=np.float32)
  if name.endswith('scale'):
    return 1 + np.float32(0.1) * noise
  if name.endswith('kernel'):
    return noise * np.float32(np.prod(shape[:-1]) ** -0.5)
  return np.float32(0.1) * noise


def features(weights, images):
  """The class token after the last layer norm, in float64."""
  weights = {name: array.astype(np.float64) for name, array in weights.items()}
  kernel = weights['embedding/kernel']
  size = kernel.shape[0]
  rows, columns = images.shape[1] // size, images.shape[2] // size
  tokens = [np.repeat(weights['cls'], len(images), axis=0)]
  for row in range(rows):
    for column in range(columns):
      patch = images[:, row * size : (row + 1) * size, column * size : (column + 1) * size]
      token = np.tensordot(patch, kernel, axes=3) + weights['embedding/bias']
      tokens.append(token[:, None])
  x = np.concatenate(tokens, axis=1) + weights['Transformer/posembed_input/pos_embedding']
  depth = sum(name.endswith('LayerNorm_0/scale') for name in weights)
  for layer in range(depth):
    prefix = f'Transformer/encoderblock_{layer}/'
    block = {
      name.removeprefix(prefix): array for name, array in weights.items() if name.startswith(prefix)
    }
    x = x + _attend(block, _normalise(block, 'LayerNorm_0', x))
    hidden = _gelu(_linear(block, 'MlpBlock_3/Dense_0', _normalise(block, 'LayerNorm_2', x)))
    x = x + _linear(block, 'MlpBlock_3/Dense_1', hidden)
  return _normalise(weights, 'Transformer/encoder_norm', x)[:, 0]


def _linear(weights, name, x):
  return x @ weights[f'{name}/kernel'] + weights[f'{name}/bias']


def _normalise(weights, name, x):
  x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6)
  return x * weights[f'{name}/scale'] + weights[f'{name}/bias']


def _gelu(x):
  return x / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def _attend(block, x):
  name = 'MultiHeadDotProductAttention_1'
  y = block[f'{name}/out/bias']
  for head in range(block[f'{name}/query/bias'].shape[0]):
    query, key, value = (
      x @ block[f'{name}/{part}/kernel'][:, head] + block[f'{name}/{part}/bias'][head]
      for part in ('query', 'key', 'value')
    )
    scores = query @ key.swapaxes(1, 2) / np.sqrt(query.shape[-1])
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    y = y + weights @ value @ block[f'{name}/out/kernel'][head]
  return y


def resized(weights, grid):
  """The weights with the grid of position embeddings resized, corners kept in the corners."""
  name = 'Transformer/posembed_input/pos_embedding'
  positions = weights[name].astype(np.float64)
  old = round((positions.shape[1] - 1) ** 0.5)
  table = positions[0, 1:].reshape(old, old, -1)
  new = np.empty((grid, grid, table.shape[-1]))
  for row in range(grid):
    for column in range(grid):
      y, x = row * (old - 1) / (grid - 1), column * (old - 1) / (grid - 1)
      top, left = min(int(y), old - 2), min(int(x), old - 2)
      down, right = y - top, x - left
      new[row, column] = (
        (1 - down) * (1 - right) * table[top, left]
        + (1 - down) * right * table[top, left + 1]
        + down * (1 - right) * table[top + 1, left]
        + down * right * table[top + 1, left + 1]
      )
  resized = np.concatenate([positions[:, :1], new.reshape(1, grid * grid, -1)], axis=1)
  return {**weights, name: resized}
