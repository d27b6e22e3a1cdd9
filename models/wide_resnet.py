"""Wide residual networks (Zagoruyko and Komodakis, 2016, "Wide Residual Networks")."""

from functools import partial

import jax
import jax.numpy as jnp
from flax import nnx
from jax.nn import initializers
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from models.batch_norm import BatchNorm

_he_normal = initializers.variance_scaling(2.0, 'fan_out', 'normal')
# variance_scaling draws from +-sqrt(3 * scale / fan_in).
_uniform_fan_in = initializers.variance_scaling(1 / 3, 'fan_in', 'uniform')

_conv = partial(nnx.Conv, use_bias=False, kernel_init=_he_normal)
# Symmetric padding is explicit because 'SAME' pads only after the image where the stride is 2.
_conv3x3 = partial(_conv, kernel_size=(3, 3), padding=((1, 1), (1, 1)))
_conv1x1 = partial(_conv, kernel_size=(1, 1), padding='VALID')


class WideResNet(nnx.Module):
  """WRN-``depth``-``width``: a pre-activation residual network for small colour images.

  The layers are: a 3x3 convolution to 16 channels; three groups of ``(depth - 4) / 6`` residual
  blocks with 16, 32 and 64 times ``width`` channels (the second and third group halve the image);
  batch norm; ReLU; the mean over the image; a linear layer. The shortcut of a block that changes
  the number of channels is a 1x1 convolution of its activated input. WRN-28-10 has 36,479,194
  parameters for 10 classes.

  The initial kernels of convolutions are normal with variance 2 / fan_out, that of the linear layer
  is uniform within +-1 / sqrt(fan_in), and its bias is zero. Convolutions have no bias.

  Args:
    depth: The number of convolutions on the longest path; 6n + 4 for a positive n.
    width: The widening factor k of the paper, at least 1.
    num_classes: The number of logits.
    dropout_rate: The probability of dropping an activation before a block's second convolution.
    dtype: The type to compute in; with ``jnp.bfloat16``, parameters, batch statistics, the last
      linear layer and the logits stay float32.
    param_dtype: The type of the parameters.
    rngs: Random keys; the stream ``params``, and ``dropout`` where ``dropout_rate`` is not 0.

  Raises:
    ValueError: If ``depth`` is not 6n + 4, ``width`` is below 1 or ``dropout_rate`` is not in
      [0, 1).

  Example:
    >>> import jax.numpy as jnp
    >>> from flax import nnx
    >>> model = WideResNet(10, 1, 10, rngs=nnx.Rngs(0))
    >>> model.eval()
    >>> model(jnp.zeros((2, 32, 32, 3))).shape
    (2, 10)
  """

  def __init__(
    self,
    depth: int,
    width: int,
    num_classes: int,
    *,
    dropout_rate: float = 0.0,
    dtype: DTypeLike = jnp.float32,
    param_dtype: DTypeLike = jnp.float32,
    rngs: nnx.Rngs,
  ):
    blocks_per_group = _blocks_per_group(depth)
    if width < 1:
      raise ValueError(f'width must be at least 1, not {width}.')
    if not 0 <= dropout_rate < 1:
      raise ValueError(f'dropout_rate must be at least 0 and below 1, not {dropout_rate}.')
    types = {'dtype': dtype, 'param_dtype': param_dtype}

    self.stem = _conv3x3(3, 16, rngs=rngs, **types)
    channels = 16
    blocks = []
    for group, group_channels in enumerate((16 * width, 32 * width, 64 * width)):
      for index in range(blocks_per_group):
        stride = 2 if group > 0 and index == 0 else 1
        blocks.append(
          _Block(channels, group_channels, stride, dropout_rate=dropout_rate, rngs=rngs, **types)
        )
        channels = group_channels
    self.blocks = nnx.List(blocks)
    self.norm = BatchNorm(channels, rngs=rngs, **types)
    self.head = nnx.Linear(
      channels,
      num_classes,
      kernel_init=_uniform_fan_in,
      dtype=jnp.promote_types(dtype, jnp.float32),
      param_dtype=param_dtype,
      rngs=rngs,
    )

  def __call__(
    self, images: Float[Array, 'batch height width 3']
  ) -> Float[Array, 'batch num_classes']:
    """Computes the logits.

    In training mode (``model.train()``, the initial one) it normalises with this batch's statistics
    and updates the running ones; after ``model.eval()`` it uses the running ones.

    Args:
      images: Normalised images, channels last, of any size.

    Returns:
      Logits, in float32 (float64 if ``dtype`` is).

    Raises:
      ValueError: If ``images`` does not have shape (batch, height, width, 3).
    """
    if images.ndim != 4 or images.shape[-1] != 3:
      raise ValueError(
        f'WideResNet takes images of shape (batch, height, width, 3), not {images.shape}.'
      )
    x = self.stem(images)
    for block in self.blocks:
      x = block(x)
    x = jax.nn.relu(self.norm(x))
    return self.head(x.astype(self.head.dtype).mean((1, 2)))


class _Block(nnx.Module):
  """BN-ReLU-conv-BN-ReLU-(dropout)-conv with a shortcut (figure 1 c and d of the paper)."""

  def __init__(self, in_channels, out_channels, stride, *, dropout_rate, rngs, **types):
    conv3x3 = partial(_conv3x3, rngs=rngs, **types)
    conv1x1 = partial(_conv1x1, rngs=rngs, **types)
    self.norm1 = BatchNorm(in_channels, rngs=rngs, **types)
    self.conv1 = conv3x3(in_channels, out_channels, strides=stride)
    self.norm2 = BatchNorm(out_channels, rngs=rngs, **types)
    self.dropout = nnx.Dropout(dropout_rate, rngs=rngs) if dropout_rate else None
    self.conv2 = conv3x3(out_channels, out_channels)
    self.shortcut = (
      conv1x1(in_channels, out_channels, strides=stride) if in_channels != out_channels else None
    )

  def __call__(self, x):
    activated = jax.nn.relu(self.norm1(x))
    shortcut = x if self.shortcut is None else self.shortcut(activated)
    y = jax.nn.relu(self.norm2(self.conv1(activated)))
    if self.dropout is not None:
      y = self.dropout(y)
    return shortcut + self.conv2(y)


def _blocks_per_group(depth):
  if depth >= 10 and depth % 6 == 4:
    return (depth - 4) // 6
  below = (depth - 4) // 6 * 6 + 4
  nearest = f'{below} or {below + 6}' if below >= 10 else '10'
  raise ValueError(f'depth must be 6n + 4, not {depth}: use {nearest}.')
