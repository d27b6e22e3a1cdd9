"""Measures the speed of a training step: python -m benchmarks.models [seconds per measurement].

Prints examples a second for each network, and on a CPU the speed-up by two candidates:

* the weight gradient of 3x3 convolutions as one matrix product, instead of XLA's convolution;
* huge memory pages (`GLIBC_TUNABLES=glibc.malloc.hugetlb=1`, set before Python starts; Linux).

What is compared takes turns, step by step or process by process, so that both meet the same load.
"""

import os
import statistics
import subprocess
import sys
import time
from functools import partial

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax import lax

import models

# name: network, shape of a batch
_NETWORKS = {
  'WRN-10-1': (partial(models.WideResNet, 10, 1, 10), (128, 32, 32, 3)),
  'WRN-16-1': (partial(models.WideResNet, 16, 1, 10), (128, 32, 32, 3)),
  'WRN-16-4': (partial(models.WideResNet, 16, 4, 10), (128, 32, 32, 3)),
  'M11': (partial(models.M11, 35), (128, 8000)),
  'ViT-Ti/16': (partial(models.vit_ti16, 10), (8, 224, 224, 3)),
}
