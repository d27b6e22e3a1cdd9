"""Makes the fixtures with PyTorch 2.13 on a CPU, in seconds; the project does not depend on it.

From the top of the checkout, with a Python that has torch: python -m tests.models.make_fixtures
"""

import copy
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from benchmarks import torch_networks
from tests.models import reference_inputs

_MARGIN = 1e-5


class Entry(NamedTuple):
  """One of our parameters: its name and shape, and where PyTorch keeps it."""

  name: str
  shape: tuple[int, ...]
  tensor: nn.Parameter
  rows: slice = slice(None)


def layer_entries(name, layer):
  """The entries of a convolution, linear layer or normalisation."""
  weight = layer.weight
  if weight.ndim == 1:
    yield Entry(f'{name}.scale', tuple(weight.shape), weight)
  else:
    yield Entry(f'{name}.kernel', (*weight.shape[2:], weight.shape[1], weight.shape[0]), weight)
  if layer.bias is not None:
    yield Entry(f'{name}.bias', tuple(layer.bias.shape), layer.bias)


def wide_resnet_entries(model):
  yield from layer_entries('stem', model.conv)
  blocks = [*model.group1, *model.group2, *model.group3]
  for index, block in enumerate(blocks):
    yield from layer_entries(f'blocks.{index}.norm1', block.bn1)
    yield from layer_entries(f'blocks.{index}.conv1', block.conv1)
    yield from layer_entries(f'blocks.{index}.norm2', block.bn2)
    yield from layer_entries(f'blocks.{index}.conv2', block.conv2)
    if block.project:
      yield from layer_entries(f'blocks.{index}.shortcut', block.shortcut)
  yield from layer_entries('norm', model.bn)
  yield from layer_entries('head', model.fc)


def m11_entries(model):
  convolutions = [layer for layer in model.features if isinstance(layer, nn.Conv1d)]
  norms = [layer for layer in model.features if isinstance(layer, nn.BatchNorm1d)]
  names = ['first', 'groups.0.0', 'groups.0.1', 'groups.1.0', 'groups.1.1', 'groups.2.0']
  names += ['groups.2.1', 'groups.2.2', 'groups.3.0', 'groups.3.1']
  for name, convolution, norm in zip(names, convolutions, norms, strict=True):
    yield from layer_entries(f'{name}.conv', convolution)
    yield from layer_entries(f'{name}.norm', norm)
  yield from layer_entries('head', model.fc)


def vision_transformer_entries(model):
  yield from layer_entries('embedding', model.patches)
  yield Entry('class_token', tuple(model.cls.shape), model.cls)
  yield Entry('position_embedding', tuple(model.positions.shape), model.positions)
  for index, layer in enumerate(model.layers):
    name = f'blocks.{index}'
    attention = layer.self_attn
    size, heads = attention.embed_dim, attention.num_heads
    split = (heads, size // heads)
    for part, projection in enumerate(('query', 'key', 'value')):
      rows = slice(part * size, (part + 1) * size)
      kernel, bias = f'{name}.attention.{projection}.kernel', f'{name}.attention.{projection}.bias'
      yield Entry(kernel, (size, *split), attention.in_proj_weight, rows)
      yield Entry(bias, split, attention.in_proj_bias, rows)
    yield Entry(f'{name}.attention.out.kernel', (*split, size), attention.out_proj.weight)
    yield Entry(f'{name}.attention.out.bias', (size,), attention.out_proj.bias)
    yield from layer_entries(f'{name}.norm1', layer.norm1)
    yield from layer_entries(f'{name}.norm2', layer.norm2)
    yield from layer_entries(f'{name}.mlp1', layer.linear1)
    yield from layer_entries(f'{name}.mlp2', layer.linear2)
  yield from layer_entries('norm', model.ln)
  yield from layer_entries('head', model.fc)


_ENTRIES = {
  'WideResNet': wide_resnet_entries,
  'M11': m11_entries,
  'VisionTransformer': vision_transformer_entries,
}


def set_parameter(entry):
  array = reference_inputs.parameter(entry.name, entry.shape)
  target = entry.tensor.data[entry.rows]
  if not entry.name.endswith('kernel'):
    array = array.reshape(target.shape)
  elif target.ndim == 2:
    # The heads of an attention are one axis there; a linear layer's kernel is transposed.
    inputs = -1 if entry.name.endswith('out.kernel') else entry.shape[0]
    array = array.reshape(inputs, target.shape[0]).T
  else:
    array = np.moveaxis(array, (-1, -2), (0, 1))
  target.copy_(torch.tensor(array.copy()))


def channels_first(batch):
  return torch.tensor(batch[:, None] if batch.ndim == 2 else np.moveaxis(batch, -1, 1).copy())


def smallest_margin(model, batch):
  """How near any ReLU comes to its kink, and any pooling to a tie, on `batch`."""
  margins = []

  def watch_relu(module, inputs, output):
    margins.append(inputs[0].abs().min().item())

  def watch_pool(module, inputs, output):
    largest = inputs[0].unfold(-1, module.kernel_size, module.stride).topk(2, dim=-1).values
    gaps = (largest[..., 0] - largest[..., 1])[largest[..., 0] > 0]
    margins.append(gaps.min().item())

  watchers = {nn.ReLU: watch_relu, nn.MaxPool1d: watch_pool}
  handles = [
    module.register_forward_hook(watchers[type(module)])
    for module in model.modules()
    if type(module) in watchers
  ]
  with torch.no_grad():
    model(batch)
  for handle in handles:
    handle.remove()
  return min(margins, default=float('inf'))


def make(name, case):
  model = getattr(torch_networks, case.kind)(**case.arguments).double()
  entries = list(_ENTRIES[case.kind](model))
  for entry in entries:
    set_parameter(entry)
  batches = [channels_first(batch) for batch in reference_inputs.batches(name)]
  labels = torch.tensor(reference_inputs.labels(name))

  # Rounding to float32 must not change which side of a kink a unit is on: its gradient would jump.
  margin = smallest_margin(copy.deepcopy(model), batches[0])
  if margin < _MARGIN:
    raise SystemExit(f'{name}: margin {margin:.1e} is below {_MARGIN:.1e}; try another seed.')

  model.train()
  logits = model(batches[0])
  loss = nn.functional.cross_entropy(logits, labels)
  loss.backward()
  gradients = {entry.name: entry.tensor.grad[entry.rows] for entry in entries}
  assert sum(g.numel() for g in gradients.values()) == sum(p.numel() for p in model.parameters())
  with torch.no_grad():
    for batch in batches[1:3]:
      model(batch)
    model.eval()
    evaluated = model(batches[3])
  np.savez_compressed(
    reference_inputs.FOLDER / f'{name}.npz',
    logits=logits.detach().numpy(),
    loss=loss.item(),
    evaluated=evaluated.numpy(),
    names=list(gradients),
    norms=[gradient.norm().item() for gradient in gradients.values()],
  )


def main():
  torch.set_num_threads(1)
  reference_inputs.FOLDER.mkdir(exist_ok=True)
  for name, case in reference_inputs.CASES.items():
    make(name, case)


if __name__ == '__main__':
  main()
