"""Builds the network of an experiment."""

import pathlib

import jax.numpy as jnp
from flax import nnx

import models
from train.experiments import Network


def make_network(
  network: Network,
  num_classes: int,
  dtype: str,
  seed: int,
  pretrained: pathlib.Path | None = None,
) -> nnx.Module:
  """Returns a network with its initial weights.

  Args:
    network: Which network.
    num_classes: How many logits it has.
    dtype: What it computes in.
    seed: Determines the random weights.
    pretrained: The ImageNet-21k weights that a vision transformer starts from.

  Raises:
    ValueError: If there is no network of that depth or width, or the weights do not fit.
  """
  options = {'dtype': jnp.dtype(dtype), 'rngs': nnx.Rngs(seed)}
  match network.kind:
    case 'wide_resnet':
      return models.WideResNet(network.depth, network.width, num_classes, **options)
    case 'm11':
      return models.M11(num_classes, **options)
    case 'vit_b16':
      model = models.vit_b16(num_classes, image_size=network.image_size, **options)
      if pretrained is not None:
        models.load_imagenet21k(model, pretrained)
      return model
