"""Trains in PyTorch, for `benchmarks.training` to compare with; needs only torch and Pillow.

    python -m benchmarks.torch_training WRN-10-1 authors

It prints its device and dtype. Then it reads numbers of steps from stdin, one a line, trains each, and
prints the seconds.

* `authors`: as in the scripts of LCAM's authors: channels first, one example after the other through
  PIL in this process, `loss.item()` every step, which chooses the momentum of the next step.
* `tuned`: the data on the device, augmented as a batch; channels last; fixed momentum, so that no step
  waits for the loss; on a GPU bfloat16 autocast and `torch.compile`.
"""

import argparse
import itertools
import json
import random
import sys
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import nn
from torch.nn import functional

from benchmarks import torch_networks

LOW, HIGH = 0.857, 0.93
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
PADDING = 4
BATCHES = 10


class Task(NamedTuple):
  """A network to train, on images of 32 x 32 pixels or on a second of audio at 16 kHz.

  Attributes:
    network: Makes the network.
    num_classes: The number of its logits.
    batch_size: Examples per step.
    image_size: The size that images are resized to; None for audio.
  """

  network: Callable[[int], nn.Module]
  num_classes: int = 10
  batch_size: int = 128
  image_size: int | None = 32


def _wide_resnet(depth: int, width: int) -> Task:
  return Task(lambda classes: torch_networks.WideResNet(depth, width, classes))


def _vit_ti16(num_classes: int) -> nn.Module:
  return torch_networks.VisionTransformer(
    num_classes,
    image_size=224,
    patch_size=16,
    hidden_size=192,
    depth=12,
    num_heads=3,
    mlp_size=768,
  )


TASKS = {
  'WRN-10-1': _wide_resnet(10, 1),
  'WRN-16-1': _wide_resnet(16, 1),
  'WRN-16-4': _wide_resnet(16, 4),
  'WRN-28-10': _wide_resnet(28, 10),
  'M11': Task(torch_networks.M11, num_classes=35, image_size=None),
  'ViT-Ti-16': Task(_vit_ti16, batch_size=32, image_size=224),
}


class Examples(torch.utils.data.Dataset):
  """Random examples; images go through PIL one by one, as in torchvision's transforms."""

  def __init__(self, task: Task):
    numbers = np.random.default_rng(0)
    count = BATCHES * task.batch_size
    self.size = task.image_size
    if self.size is None:
      self.inputs = numbers.integers(-(2**15), 2**15, (count, 16_000), np.int16)
    else:
      self.inputs = numbers.integers(0, 256, (count, 32, 32, 3), np.uint8)
    self.labels = numbers.integers(0, task.num_classes, count)
    self._mean, self._std = (torch.tensor(values).view(3, 1, 1) for values in (MEAN, STD))

  def __len__(self) -> int:
    return len(self.inputs)

  def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
    """Returns an example and its label."""
    label = int(self.labels[index])
    if self.size is None:
      return torch.from_numpy(self.inputs[index]).float().div_(2**15)[None], label
    image = ImageOps.expand(Image.fromarray(self.inputs[index]), PADDING)
    left, top = random.randint(0, 2 * PADDING), random.randint(0, 2 * PADDING)
    image = image.crop((left, top, left + 32, top + 32))
    if random.random() < 0.5:
      image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if self.size != 32:
      image = image.resize((self.size, self.size), Image.Resampling.BILINEAR)
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous().float().div_(255)
    return pixels.sub_(self._mean).div_(self._std), label


class Resampling(nn.Module):
  """Halves the sampling rate of audio with a windowed sinc, as torchaudio does."""

  def __init__(self):
    super().__init__()
    time_ = torch.arange(-13, 14) / 2 * 0.99
    window = torch.cos(time_.clamp(-6, 6) * torch.pi / 12) ** 2
    self.register_buffer('taps', (torch.sinc(time_) * window * 0.495)[None, None])

  def forward(self, audio):
    """Resamples a batch of shape (batch, 1, samples)."""
    return functional.conv1d(audio, self.taps, stride=2, padding=13)


def authors_loop(task: Task, device: torch.device) -> Iterator[None]:
  """Trains a step each time that it is advanced."""
  loader = torch.utils.data.DataLoader(Examples(task), task.batch_size, shuffle=True)
  model = task.network(task.num_classes).to(device)
  resample = (Resampling() if task.image_size is None else nn.Identity()).to(device)
  optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=HIGH, weight_decay=5e-4)
  model.train()
  while True:
    train_loss = 0.0
    for step, (inputs, labels) in enumerate(loader):
      inputs, labels = resample(inputs.to(device)), labels.to(device)
      optimizer.zero_grad()
      loss = functional.cross_entropy(model(inputs), labels)
      loss.backward()
      optimizer.step()
      train_loss += loss.item()
      is_below = loss.item() < train_loss / (step + 1)
      optimizer.param_groups[0]['momentum'] = LOW if is_below else HIGH
      yield


def tuned_loop(task: Task, device: torch.device) -> Iterator[None]:
  """Trains a step each time that it is advanced."""
  examples = Examples(task)
  inputs = torch.from_numpy(examples.inputs).to(device)
  labels = torch.from_numpy(examples.labels).to(device)
  model = task.network(task.num_classes).to(device)
  resample = (Resampling() if task.image_size is None else nn.Identity()).to(device)
  if task.image_size is not None:
    model = model.to(memory_format=torch.channels_last)
  optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
  model.train()
  on_gpu = device.type == 'cuda'

  def loss_of(batch, targets):
    with torch.autocast(device.type, torch.bfloat16, enabled=on_gpu):
      return functional.cross_entropy(model(batch), targets)

  compute = torch.compile(loss_of) if on_gpu else loss_of
  mean, std = (torch.tensor(values, device=device).view(3, 1, 1) for values in (MEAN, STD))
  while True:
    for rows in torch.randperm(len(inputs), device=device).split(task.batch_size):
      if task.image_size is None:
        batch = resample(inputs[rows].float().div_(2**15)[:, None])
      else:
        batch = (_augment(inputs[rows]).float().div_(255) - mean) / std
        if task.image_size != 32:
          batch = functional.interpolate(batch, size=task.image_size, mode='bilinear')
        batch = batch.contiguous(memory_format=torch.channels_last)
      optimizer.zero_grad(set_to_none=True)
      compute(batch, labels[rows]).backward()
      optimizer.step()
      yield


def _augment(images: torch.Tensor) -> torch.Tensor:
  """Crops and flips a batch of shape (batch, height, width, 3); returns it channels first."""
  count, height, width, _ = images.shape
  padded = functional.pad(images, (0, 0, PADDING, PADDING, PADDING, PADDING))
  device = images.device
  corners = torch.randint(0, 2 * PADDING + 1, (2, count, 1), device=device)
  rows = corners[0] + torch.arange(height, device=device)
  columns = torch.arange(width, device=device).expand(count, width)
  flips = torch.rand(count, 1, device=device) < 0.5
  columns = corners[1] + torch.where(flips, width - 1 - columns, columns)
  batch = torch.arange(count, device=device)[:, None, None]
  return padded[batch, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def main() -> None:
  """Trains the numbers of steps that stdin asks for."""
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument('network', choices=TASKS)
  parser.add_argument('way', choices=('authors', 'tuned'))
  arguments = parser.parse_args()
  device = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
  name = torch.cuda.get_device_name() if device.type == 'cuda' else 'cpu'
  loop = {'authors': authors_loop, 'tuned': tuned_loop}[arguments.way](
    TASKS[arguments.network], device
  )
  dtype = 'bfloat16' if arguments.way == 'tuned' and device.type == 'cuda' else 'float32'
  print(json.dumps({'torch': torch.__version__, 'device': name, 'dtype': dtype}), flush=True)
  for line in sys.stdin:
    start = time.perf_counter()
    for _ in itertools.islice(loop, int(line)):
      pass
    if device.type == 'cuda':
      torch.cuda.synchronize()
    print(time.perf_counter() - start, flush=True)


if __name__ == '__main__':
  main()
