"""Vision transformers (Dosovitskiy et al., 2021, "An image is worth 16x16 words")."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax.nn import initializers
from jax.typing import DTypeLike
from jaxtyping import Array, Float


class VisionTransformer(nnx.Module):
  """A vision transformer that classifies by its class token.

  The image is cut into square patches, which are embedded linearly. A class token is put before
  them, and learned position embeddings are added. Then come pre-norm transformer blocks, a last
  layer norm and a linear layer on the class token. The network equals
  google-research/vision_transformer in fine-tuning: GELU by its tanh approximation, layer norm
  epsilon 1e-6, no dropout (as in its ViT-B/16), no pre-logits layer, and a head that starts at
  zero, so that all logits are zero at first.

  :func:`vit_ti16`, :func:`vit_s16`, :func:`vit_b16` and :func:`vit_l16` make the published sizes.

  Args:
    num_classes: The number of logits.
    image_size: Height and width of the images, in pixels; a multiple of ``patch_size``.
    patch_size: Height and width of a patch, in pixels.
    hidden_size: The width of a token; a multiple of ``num_heads``.
    depth: The number of transformer blocks.
    num_heads: The number of attention heads.
    mlp_size: The width of the hidden layer in a block's perceptron.
    dtype: The type to compute in; with ``jnp.bfloat16``, parameters, the statistics of layer norms,
      softmax, the last layer norm, the last linear layer and the logits stay float32.
    param_dtype: The type of the parameters.
    rngs: Random keys; the stream ``params``.

  Raises:
    ValueError: If ``image_size`` is not a multiple of ``patch_size``, or ``hidden_size`` not a
      multiple of ``num_heads``.

  Example:
    >>> import jax.numpy as jnp
    >>> from flax import nnx
    >>> make = lambda: VisionTransformer(
    ...   10, image_size=32, patch_size=8, hidden_size=16, depth=1, num_heads=2, mlp_size=32,
    ...   rngs=nnx.Rngs(0),
    ... )
    >>> model = nnx.eval_shape(make)  # only the shapes; use model = make() to train
    >>> nnx.eval_shape(lambda model, x: model(x), model, jnp.zeros((2, 32, 32, 3))).shape
    (2, 10)
  """

  def __init__(
    self,
    num_classes: int,
    *,
    image_size: int,
    patch_size: int,
    hidden_size: int,
    depth: int,
    num_heads: int,
    mlp_size: int,
    dtype: DTypeLike = jnp.float32,
    param_dtype: DTypeLike = jnp.float32,
    rngs: nnx.Rngs,
  ):
    if image_size < patch_size or image_size % patch_size:
      raise ValueError(f'image_size must be a multiple of {patch_size}, not {image_size}.')
    if hidden_size % num_heads:
      raise ValueError(f'hidden_size must be a multiple of {num_heads}, not {hidden_size}.')
    types = {'dtype': dtype, 'param_dtype': param_dtype}
    wide_types = {'dtype': jnp.promote_types(dtype, jnp.float32), 'param_dtype': param_dtype}
    tokens = 1 + (image_size // patch_size) ** 2

    self.image_size = image_size
    self.embedding = nnx.Conv(
      3,
      hidden_size,
      (patch_size, patch_size),
      strides=patch_size,
      padding='VALID',
      rngs=rngs,
      **types,
    )
    self.class_token = nnx.Param(jnp.zeros((1, 1, hidden_size), param_dtype))
    self.position_embedding = nnx.Param(
      initializers.normal(0.02)(rngs.params(), (1, tokens, hidden_size), param_dtype)
    )
    self.blocks = nnx.List(
      [_Block(hidden_size, num_heads, mlp_size, rngs=rngs, **types) for _ in range(depth)]
    )
    self.norm = _layer_norm(hidden_size, rngs=rngs, **wide_types)
    self.head = nnx.Linear(
      hidden_size, num_classes, kernel_init=initializers.zeros, rngs=rngs, **wide_types
    )

  def __call__(
    self, images: Float[Array, 'batch image_size image_size 3']
  ) -> Float[Array, 'batch num_classes']:
    """Computes the logits, in training and in evaluation mode alike.

    Args:
      images: Normalised images, channels last. Google's weights expect pixels in [-1, 1].

    Returns:
      Logits, in float32 (float64 if ``dtype`` is).

    Raises:
      ValueError: If ``images`` does not have shape (batch, image_size, image_size, 3).
    """
    size = self.image_size
    if images.ndim != 4 or images.shape[1:] != (size, size, 3):
      raise ValueError(
        f'This VisionTransformer takes images of shape (batch, {size}, {size}, 3), not '
        f'{images.shape}: resize them or build the model with another image_size.'
      )
    patches = self.embedding(images)
    batch, hidden_size = patches.shape[0], patches.shape[-1]
    class_token = self.class_token[...].astype(patches.dtype)
    class_tokens = jnp.broadcast_to(class_token, (batch, 1, hidden_size))
    x = jnp.concatenate([class_tokens, patches.reshape(batch, -1, hidden_size)], axis=1)
    x = x + self.position_embedding[...].astype(x.dtype)
    for block in self.blocks:
      x = block(x)
    return self.head(self.norm(x[:, 0]))


class _Size(NamedTuple):
  """A published size, with the number of parameters for 224 pixels and 10 classes.

  The hidden layer of a perceptron is four times as wide as a token.
  """

  letters: str
  hidden_size: int
  depth: int
  num_heads: int
  parameters: int


_DOCSTRING = """Makes ViT-{letters}/16: {depth} blocks of width {hidden_size}.

  It has {parameters:,} parameters at 224 pixels with 10 classes.

  Args:
    num_classes: The number of logits.
    image_size: Height and width of the images, in pixels; a multiple of 16.
    dtype: The type to compute in; see :class:`VisionTransformer`.
    param_dtype: The type of the parameters.
    rngs: Random keys; the stream ``params``.

  Returns:
    The network; it maps images of shape (batch, image_size, image_size, 3) to logits.

  Raises:
    ValueError: If ``image_size`` is not a multiple of 16.

  Example:
    >>> from flax import nnx
    >>> from models import {name}
    >>> model = nnx.eval_shape(lambda: {name}(10, rngs=nnx.Rngs(0)))  # allocates nothing
    >>> len(model.blocks), model.position_embedding.shape
    ({depth}, (1, 197, {hidden_size}))
  """


def _constructor(name: str, size: _Size):
  """Returns the public function that makes a network of this size."""

  def make(
    num_classes: int,
    *,
    image_size: int = 224,
    dtype: DTypeLike = jnp.float32,
    param_dtype: DTypeLike = jnp.float32,
    rngs: nnx.Rngs,
  ) -> VisionTransformer:
    return VisionTransformer(
      num_classes,
      image_size=image_size,
      patch_size=16,
      hidden_size=size.hidden_size,
      depth=size.depth,
      num_heads=size.num_heads,
      mlp_size=4 * size.hidden_size,
      dtype=dtype,
      param_dtype=param_dtype,
      rngs=rngs,
    )

  make.__name__ = make.__qualname__ = name
  make.__doc__ = _DOCSTRING.format(name=name, **size._asdict())
  return make


vit_ti16 = _constructor('vit_ti16', _Size('Ti', 192, 12, 3, 5_526_346))
vit_s16 = _constructor('vit_s16', _Size('S', 384, 12, 6, 21_669_514))
vit_b16 = _constructor('vit_b16', _Size('B', 768, 12, 12, 85_806_346))
vit_l16 = _constructor('vit_l16', _Size('L', 1024, 24, 16, 303_311_882))


class _Block(nnx.Module):
  """Attention, then a perceptron, each with a layer norm before it and a shortcut around it."""

  def __init__(self, hidden_size, num_heads, mlp_size, *, rngs, **types):
    self.norm1 = _layer_norm(hidden_size, rngs=rngs, **types)
    self.attention = nnx.MultiHeadAttention(
      num_heads,
      hidden_size,
      kernel_init=initializers.xavier_uniform(),
      attention_fn=_attention,
      decode=False,
      rngs=rngs,
      **types,
    )
    self.norm2 = _layer_norm(hidden_size, rngs=rngs, **types)
    self.mlp1 = _mlp_linear(hidden_size, mlp_size, rngs=rngs, **types)
    self.mlp2 = _mlp_linear(mlp_size, hidden_size, rngs=rngs, **types)

  def __call__(self, x):
    x = x + self.attention(self.norm1(x))
    return x + self.mlp2(jax.nn.gelu(self.mlp1(self.norm2(x)), approximate=True))


def _attention(query, key, value, **unused):
  if query.dtype != jnp.float64:
    return jax.nn.dot_product_attention(query, key, value)
  # The library function computes the softmax in float32, even for float64 inputs.
  logits = jnp.einsum('bqhd,bkhd->bhqk', query, key) / query.shape[-1] ** 0.5
  return jnp.einsum('bhqk,bkhd->bqhd', jax.nn.softmax(logits), value)


def _layer_norm(features, **options):
  # The fast variance E[x^2] - E[x]^2 loses digits where the mean is large.
  return nnx.LayerNorm(features, epsilon=1e-6, use_fast_variance=False, **options)


def _mlp_linear(in_features, out_features, **options):
  return nnx.Linear(
    in_features,
    out_features,
    kernel_init=initializers.xavier_uniform(),
    bias_init=initializers.normal(1e-6),
    **options,
  )
