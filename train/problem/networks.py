"""Networks as data, each a dataclass that builds and describes itself."""

import abc
import dataclasses
import hashlib
import inspect
import pathlib
from collections.abc import Callable
from typing import Any, ClassVar

import jax.numpy as jnp
from flax import nnx

import models
from train.problem.own_code import definition, explain_errors
from train.system.errors import UserError


@dataclasses.dataclass(frozen=True)
class Network(abc.ABC):
  """A network, of one of the kinds below."""

  kind: ClassVar[str]  # in configurations
  image_size: ClassVar[int | None] = None  # to which images are resized; None keeps the data set's
  convolves_images: ClassVar[bool] = True  # in two dimensions, and in patches that overlap

  @abc.abstractmethod
  def build(self, num_classes: int, *, dtype: str, rngs: nnx.Rngs) -> nnx.Module:
    """Returns the network with random weights; raises a ``ValueError`` if its size is impossible."""

  def load_pretrained(self, model: nnx.Module) -> None:  # noqa: B027  most start from random weights
    """Loads pretrained weights, if there are any; raises a ``ValueError`` if they do not fit."""

  @abc.abstractmethod
  def describe(self) -> str:
    """Returns the usual name of the network."""

  @property
  def full_name(self) -> str:
    """Its name, and file and line of a user's own network."""
    return self.describe()

  def config(self) -> dict[str, Any]:
    """Returns what determines the network, as JSON-able values."""
    return {'kind': self.kind, **dataclasses.asdict(self)}


@dataclasses.dataclass(frozen=True)
class WideResNet(Network):
  """A wide residual network."""

  depth: int  # 6n + 4
  width: int  # the widening factor
  kind: ClassVar[str] = 'wide_resnet'

  def build(self, num_classes: int, *, dtype: str, rngs: nnx.Rngs) -> nnx.Module:
    return models.WideResNet(self.depth, self.width, num_classes, dtype=jnp.dtype(dtype), rngs=rngs)

  def describe(self) -> str:
    return f'WRN-{self.depth}-{self.width}'


@dataclasses.dataclass(frozen=True)
class VitB16(Network):
  """ViT-B/16, fine-tuned from ImageNet-21k."""

  image_size: int = 224
  pretrained: pathlib.Path | None = None  # a file of weights; None starts from random ones
  kind: ClassVar[str] = 'vit_b16'
  convolves_images: ClassVar[bool] = False

  def build(self, num_classes: int, *, dtype: str, rngs: nnx.Rngs) -> nnx.Module:
    return models.vit_b16(
      num_classes, image_size=self.image_size, dtype=jnp.dtype(dtype), rngs=rngs
    )

  def load_pretrained(self, model: nnx.Module) -> None:
    if self.pretrained is not None:
      models.load_imagenet21k(model, self.pretrained)

  def describe(self) -> str:
    return f'ViT-B/16 at {self.image_size}'

  def config(self) -> dict[str, Any]:
    config = {'kind': self.kind, 'image_size': self.image_size}
    if self.pretrained is not None:
      with self.pretrained.open('rb') as file:
        config['pretrained_sha256'] = hashlib.file_digest(file, 'sha256').hexdigest()
    return config


@dataclasses.dataclass(frozen=True)
class M11(Network):
  """M11, on raw audio."""

  kind: ClassVar[str] = 'm11'
  convolves_images: ClassVar[bool] = False

  def build(self, num_classes: int, *, dtype: str, rngs: nnx.Rngs) -> nnx.Module:
    return models.M11(num_classes, dtype=jnp.dtype(dtype), rngs=rngs)

  def describe(self) -> str:
    return 'M11'


@dataclasses.dataclass(frozen=True)
class Mlp(Network):
  """A multilayer perceptron with one hidden layer, on features."""

  inputs: int
  hidden: int
  kind: ClassVar[str] = 'mlp'
  convolves_images: ClassVar[bool] = False

  def build(self, num_classes: int, *, dtype: str, rngs: nnx.Rngs) -> nnx.Module:
    hidden = nnx.Linear(self.inputs, self.hidden, dtype=jnp.dtype(dtype), rngs=rngs)
    output = nnx.Linear(self.hidden, num_classes, dtype=jnp.dtype(dtype), rngs=rngs)
    return nnx.Sequential(hidden, nnx.relu, output)

  def describe(self) -> str:
    return f'MLP-{self.inputs}-{self.hidden}'


@dataclasses.dataclass(frozen=True)
class OwnNetwork(Network):
  """The user's own network."""

  function: Callable[..., nnx.Module]  # of (num_classes, rngs); it may also take ``dtype``
  kind: ClassVar[str] = 'own'

  def build(self, num_classes: int, *, dtype: str, rngs: nnx.Rngs) -> nnx.Module:
    function = self.function
    called = function.__init__ if isinstance(function, type) else function
    takes_dtype = 'dtype' in inspect.signature(called).parameters
    if dtype != 'float32' and not takes_dtype:
      raise UserError(
        f'{self.describe()} cannot compute in {dtype}: let it take `dtype`, or omit --dtype.'
      )
    options = {'dtype': jnp.dtype(dtype)} if takes_dtype else {}
    with explain_errors(f'The network {self.full_name}, called with (num_classes, rngs)'):
      model = self.function(num_classes, rngs, **options)
    if not isinstance(model, nnx.Module):
      raise UserError(
        f'The network {self.describe()} must be a function (num_classes, rngs) that returns a Flax '
        f'NNX module, but returned {model!r:.60}.'
      )
    return model

  def describe(self) -> str:
    return getattr(self.function, '__name__', type(self.function).__name__)

  @property
  def full_name(self) -> str:
    return f'{self.describe()} ({definition(self.function)})'

  def config(self) -> dict[str, Any]:
    return {'kind': self.kind, 'name': self.describe()}
