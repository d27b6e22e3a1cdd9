"""The networks of the LCAM paper, in Flax NNX: ``logits = model(x)``."""

from models.imagenet21k import load_imagenet21k
from models.m11 import M11
from models.vision_transformer import VisionTransformer, vit_b16, vit_l16, vit_s16, vit_ti16
from models.wide_resnet import WideResNet

__all__ = [
  'M11',
  'VisionTransformer',
  'WideResNet',
  'load_imagenet21k',
  'vit_b16',
  'vit_l16',
  'vit_s16',
  'vit_ti16',
]
