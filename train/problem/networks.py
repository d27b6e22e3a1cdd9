"""The networks of the experiments, each a dataclass that builds and describes itself."""

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
from train.problem.own_code import definition, explain_errors, fingerprint
from train.system.errors import UserError


@dataclasses.dataclass(frozen=True)
class Network(abc.ABC):
  """A network; see the kinds below."""

  kind: ClassVar[str]

  @abc.abstractmethod
  def build(self, num_classes: int, *, dtype: str, rngs: nnx.Rngs) -> nnx.Module:
    """Returns the network with its initial weights.

    Args:
      num_classes: How many logits it has.
      dtype: What it computes in; parameters are float32.
      rngs: Determines the random weights.

    Raises:
      ValueError: If there is no network of that depth or width.
    """

  def load_pretrained(self, model: nnx.Module) -> None:  # noqa: B027  most start from random weights
    """Gives a network that was built the weights that it starts from, if it is to start from some.

    Raises:
      ValueError: If they do not fit.
    """

  @abc.abstractmethod
  def describe(self) -> str:
    """Returns the name of the network, as the field writes it."""

  @property
  def full_name(self) -> str:
    """Its name, and where a user's own is defined."""
    return self.describe()

  def config(self) -> dict[str, Any]:
    """Returns what determines the network, as JSON-able values."""
    return {'kind': self.kind, **dataclasses.asdict(self)}

  @property
  def image_size(self) -> int | None:
    """The size that images are brought to; None is that of the data set."""
    return None

  @property
  def convolves_images(self) -> bool:
    """Whether it may convolve in two dimensions, other than in patches that do not overlap."""
    return True


@dataclasses.dataclass(frozen=True)
class WideResNet(Network):
  """A wide residual network.

  Attributes:
    depth: 6n + 4.
    width: Its widening factor.
  """

  depth: int
  width: int
  kind: ClassVar[str] = 'wide_resnet'

  def build(self, num_classes: int, *, dtype: str, rngs: nnx.Rngs) -> nnx.Module:
    """See :meth:`Network.build`."""
    return models.WideResNet(self.depth, self.width, num_classes, dtype=jnp.dtype(dtype), rngs=rngs)

  def describe(self) -> str:
    """See :meth:`Network.describe`."""
    return f'WRN-{self.depth}-{self.width}'


@dataclasses.dataclass(frozen=True)
class VitB16(Network):
  """ViT-B/16, fine-tuned from ImageNet-21k.

  Attributes:
    size: Images are resized to it.
    pretrained: The file of weights that it starts from; None is random weights.
  """

  size: int = 224
  pretrained: pathlib.Path | None = None
  kind: ClassVar[str] = 'vit_b16'

  def build(self, num_classes: int, *, dtype: str, rngs: nnx.Rngs) -> nnx.Module:
    """See :meth:`Network.build`."""
    return models.vit_b16(num_classes, image_size=self.size, dtype=jnp.dtype(dtype), rngs=rngs)

  def load_pretrained(self, model: nnx.Module) -> None:
    """See :meth:`Network.load_pretrained`."""
    if self.pretrained is not None:
      models.load_imagenet21k(model, self.pretrained)

  def describe(self) -> str:
    """See :meth:`Network.describe`."""
    return f'ViT-B/16 at {self.size}'

  def config(self) -> dict[str, Any]:
    """See :meth:`Network.config`. Weights are known by what they are, not by where they lie."""
    config = {'kind': self.kind, 'image_size': self.size}
    if self.pretrained is not None:
      with self.pretrained.open('rb') as file:
        config['pretrained_sha256'] = hashlib.file_digest(file, 'sha256').hexdigest()
    return config

  @property
  def image_size(self) -> int | None:
    """See :attr:`Network.image_size`."""
    return self.size

  @property
  def convolves_images(self) -> bool:
    """See :attr:`Network.convolves_images`."""
    return False


@dataclasses.dataclass(frozen=True)
class M11(Network):
  """M11, on raw audio."""

  kind: ClassVar[str] = 'm11'

  def build(self, num_classes: int, *, dtype: str, rngs: nnx.Rngs) -> nnx.Module:
    """See :meth:`Network.build`."""
    return models.M11(num_classes, dtype=jnp.dtype(dtype), rngs=rngs)

  def describe(self) -> str:
    """See :meth:`Network.describe`."""
    return 'M11'

  @property
  def convolves_images(self) -> bool:
    """See :attr:`Network.convolves_images`."""
    return False


@dataclasses.dataclass(frozen=True)
class OwnNetwork(Network):
  """A network of the user's.

  Attributes:
    function: ``function(num_classes, rngs) -> nnx.Module``; it may take ``dtype``, too.
  """

  function: Callable[..., nnx.Module]
  kind: ClassVar[str] = 'own'

  def build(self, num_classes: int, *, dtype: str, rngs: nnx.Rngs) -> nnx.Module:
    """See :meth:`Network.build`.

    Raises:
      UserError: If the function fails, cannot compute in the dtype, or returns no network.
    """
    takes_dtype = 'dtype' in inspect.signature(self.function).parameters
    if dtype != 'float32' and not takes_dtype:
      raise UserError(
        f'{self.describe()} cannot compute in {dtype}: let it take `dtype`, or leave --dtype out.'
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
    """See :meth:`Network.describe`."""
    return getattr(self.function, '__name__', type(self.function).__name__)

  @property
  def full_name(self) -> str:
    """See :attr:`Network.full_name`."""
    return f'{self.describe()} ({definition(self.function)})'

  def config(self) -> dict[str, Any]:
    """See :meth:`Network.config`. The code is part of it, without comments and layout."""
    return {
      'kind': self.kind,
      'name': self.describe(),
      'code_sha256': fingerprint(self.function),
    }
