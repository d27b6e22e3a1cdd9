"""M11 (Dai et al., 2017, "Very deep convolutional neural networks for raw waveforms")."""

from functools import reduce

import jax
import jax.numpy as jnp
from flax import nnx
from jax.nn import initializers
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from models.batch_norm import BatchNorm

_KERNEL, _STRIDE, _POOL = 80, 4, 4
# Channels and number of the width-3 convolutions of each group, after a pooling layer.
_GROUPS = ((64, 2), (128, 2), (256, 3), (512, 2))
# The number of samples that leaves one position after the last pooling.
_MIN_SAMPLES = _KERNEL + _STRIDE * (_POOL ** len(_GROUPS) - 1)


class M11(nnx.Module):
  """M11: ten convolutions over raw audio and a linear layer (table 1 of the paper).

  The layers are: a convolution of width 80 and stride 4 to 64 channels; four groups, each a maximum
  over 4 positions and two or three convolutions of width 3, to 64, 128, 256 and 512 channels; the
  mean over time; a linear layer. Batch norm and ReLU follow each convolution. There are 1,786,442
  parameters for 10 classes, biases of the convolutions included: the paper's 1.8 million.

  Public PyTorch versions differ in the padding. Here each layer is padded as in most of them: not
  at all in the first convolution and in the poolings (positions that do not fill a window are
  dropped), one zero on each side in the other convolutions. All parameters have PyTorch's default
  initial values: weights and biases uniform within +-1 / sqrt(fan_in), batch norms with scale one
  and bias zero.

  Args:
    num_classes: The number of logits.
    dtype: The type to compute in; with ``jnp.bfloat16``, parameters, batch statistics, the last
      linear layer and the logits stay float32.
    param_dtype: The type of the parameters.
    rngs: Random keys; the stream ``params``.

  Example:
    >>> import jax.numpy as jnp
    >>> from flax import nnx
    >>> model = M11(35, rngs=nnx.Rngs(0))
    >>> model.eval()
    >>> model(jnp.zeros((2, 2000))).shape
    (2, 35)
  """

  def __init__(
    self,
    num_classes: int,
    *,
    dtype: DTypeLike = jnp.float32,
    param_dtype: DTypeLike = jnp.float32,
    rngs: nnx.Rngs,
  ):
    types = {'dtype': dtype, 'param_dtype': param_dtype}
    channels = _GROUPS[0][0]
    self.first = _Layer(1, channels, _KERNEL, strides=_STRIDE, padding='VALID', rngs=rngs, **types)
    groups = []
    for group_channels, length in _GROUPS:
      layers = []
      for _ in range(length):
        layers.append(_Layer(channels, group_channels, 3, padding=1, rngs=rngs, **types))
        channels = group_channels
      groups.append(nnx.List(layers))
    self.groups = nnx.List(groups)
    self.head = nnx.Linear(
      channels,
      num_classes,
      kernel_init=_uniform_fan_in,
      bias_init=_uniform_within(channels),
      dtype=jnp.promote_types(dtype, jnp.float32),
      param_dtype=param_dtype,
      rngs=rngs,
    )

  def __call__(self, audio: Float[Array, 'batch samples']) -> Float[Array, 'batch num_classes']:
    """Computes the logits.

    In training mode (``model.train()``, the initial one) it normalises with this batch's statistics
    and updates the running ones; after ``model.eval()`` it uses the running ones.

    Args:
      audio: Raw audio in [-1, 1], 8,000 samples a second, at least 1,100 samples.

    Returns:
      Logits, in float32 (float64 if ``dtype`` is).

    Raises:
      ValueError: If ``audio`` does not have shape (batch, samples), or is too short.
    """
    if audio.ndim != 2:
      raise ValueError(f'M11 takes audio of shape (batch, samples), not {audio.shape}.')
    if audio.shape[1] < _MIN_SAMPLES:
      raise ValueError(
        f'M11 needs at least {_MIN_SAMPLES} samples, not {audio.shape[1]}: pad the audio.'
      )
    x = self.first(audio[..., None])
    for group in self.groups:
      x = _max_pool(x)
      for layer in group:
        x = layer(x)
    return self.head(x.astype(self.head.dtype).mean(1))


class _Layer(nnx.Module):
  """Convolution, batch norm, ReLU."""

  def __init__(self, in_channels, out_channels, width, *, strides=1, padding, rngs, **types):
    self.conv = nnx.Conv(
      in_channels,
      out_channels,
      width,
      strides=strides,
      padding=padding,
      kernel_init=_uniform_fan_in,
      bias_init=_uniform_within(width * in_channels),
      rngs=rngs,
      **types,
    )
    self.norm = BatchNorm(out_channels, rngs=rngs, **types)

  def __call__(self, x):
    return jax.nn.relu(self.norm(self.conv(x)))


def _max_pool(x):
  """Returns the maximum over each window of 4 positions, without overlap."""
  end = x.shape[1] // _POOL * _POOL
  return reduce(_larger, (x[:, offset:end:_POOL] for offset in range(_POOL)))


def _larger(a, b):
  # jnp.max and jnp.maximum pass the gradient to the operand that equals the result bit for bit. If
  # XLA recomputes that operand in the backward pass, with another rounding, the gradient is silently
  # lost (JAX issue 40564): here a tenth of the first layer's. A selection keeps it.
  return jnp.where(a >= b, a, b)


def _uniform_within(fan_in):
  """Returns the initialiser of a bias, whose shape does not contain the fan-in."""
  bound = fan_in**-0.5

  def init(key, shape, dtype):
    return jax.random.uniform(key, shape, dtype, -bound, bound)

  return init


# variance_scaling draws from +-sqrt(3 * scale / fan_in).
_uniform_fan_in = initializers.variance_scaling(1 / 3, 'fan_in', 'uniform')
