"""The three networks in PyTorch, written from the papers, for fixtures and benchmarks."""

from functools import partial

import torch
from torch import nn
from torch.nn import functional


class ResidualBlock(nn.Module):
  """A pre-activation block, with a 1x1 shortcut on the activated input if the width changes."""

  def __init__(self, in_planes, planes, stride):
    super().__init__()
    self.bn1 = nn.BatchNorm2d(in_planes)
    self.conv1 = nn.Conv2d(in_planes, planes, 3, stride=stride, padding=1, bias=False)
    self.bn2 = nn.BatchNorm2d(planes)
    self.conv2 = nn.Conv2d(planes, planes, 3, padding=1, bias=False)
    self.relu1 = nn.ReLU()
    self.relu2 = nn.ReLU()
    self.project = in_planes != planes
    if self.project:
      self.shortcut = nn.Conv2d(in_planes, planes, 1, stride=stride, bias=False)

  def forward(self, x):
    a = self.relu1(self.bn1(x))
    y = self.conv2(self.relu2(self.bn2(self.conv1(a))))
    return y + (self.shortcut(a) if self.project else x)


class WideResNet(nn.Module):
  """WRN-depth-width on NCHW images."""

  def __init__(self, depth, width, num_classes):
    super().__init__()
    blocks = (depth - 4) // 6
    planes = [16, 16 * width, 32 * width, 64 * width]
    self.conv = nn.Conv2d(3, 16, 3, padding=1, bias=False)
    for group in (1, 2, 3):
      layers = [ResidualBlock(planes[group - 1], planes[group], 1 if group == 1 else 2)]
      layers += [ResidualBlock(planes[group], planes[group], 1) for _ in range(blocks - 1)]
      setattr(self, f'group{group}', nn.Sequential(*layers))
    self.bn = nn.BatchNorm2d(planes[3])
    self.relu = nn.ReLU()
    self.fc = nn.Linear(planes[3], num_classes)

  def forward(self, x):
    x = self.group3(self.group2(self.group1(self.conv(x))))
    x = self.relu(self.bn(x))
    return self.fc(functional.adaptive_avg_pool2d(x, 1).flatten(1))


class M11(nn.Module):
  """M11 on audio of shape (batch, 1, samples)."""

  def __init__(self, num_classes):
    super().__init__()
    layers = [nn.Conv1d(1, 64, 80, stride=4), nn.BatchNorm1d(64), nn.ReLU()]
    channels = 64
    for width, repeats in ((64, 2), (128, 2), (256, 3), (512, 2)):
      layers.append(nn.MaxPool1d(4))
      for _ in range(repeats):
        layers += [nn.Conv1d(channels, width, 3, padding=1), nn.BatchNorm1d(width), nn.ReLU()]
        channels = width
    self.features = nn.Sequential(*layers)
    self.fc = nn.Linear(channels, num_classes)

  def forward(self, x):
    return self.fc(self.features(x).mean(-1))


class VisionTransformer(nn.Module):
  """A vision transformer on NCHW images, from PyTorch's own encoder layers."""

  def __init__(
    self, num_classes, *, image_size, patch_size, hidden_size, depth, num_heads, mlp_size
  ):
    super().__init__()
    self.patches = nn.Conv2d(3, hidden_size, patch_size, stride=patch_size)
    self.cls = nn.Parameter(torch.zeros(1, 1, hidden_size))
    self.positions = nn.Parameter(torch.zeros(1, 1 + (image_size // patch_size) ** 2, hidden_size))
    self.layers = nn.Sequential(
      *(
        nn.TransformerEncoderLayer(
          hidden_size,
          num_heads,
          mlp_size,
          dropout=0.0,
          activation=partial(functional.gelu, approximate='tanh'),
          layer_norm_eps=1e-6,
          batch_first=True,
          norm_first=True,
        )
        for _ in range(depth)
      )
    )
    self.ln = nn.LayerNorm(hidden_size, eps=1e-6)
    self.fc = nn.Linear(hidden_size, num_classes)

  def forward(self, x):
    x = self.patches(x).flatten(2).transpose(1, 2)
    x = torch.cat([self.cls.expand(len(x), -1, -1), x], dim=1) + self.positions
    return self.fc(self.ln(self.layers(x))[:, 0])
