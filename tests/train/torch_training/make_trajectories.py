"""Trains with PyTorch as Algorithm 1 says, and writes what the trainer is compared with.

A plain loop around torch.optim.SGD: after each update it sets the momentum of the next. It needs
PyTorch and NumPy, nothing of the trainer, and a folder with the data set as `train_inputs.npy`,
`train_labels.npy`, `test_inputs.npy` and `test_labels.npy`. CIFAR-10 lies so in the cache that
`python -m train prepare cifar10` makes; the digits are written so by

    python -c "
    import numpy as np
    from train.data import find_source
    digits = find_source('digits').load()
    for split in ('train', 'test'):
      np.save(f'FOLDER/{split}_inputs.npy', getattr(digits, split).inputs)
      np.save(f'FOLDER/{split}_labels.npy', getattr(digits, split).labels)
    "

From the top of the checkout, with a Python that has torch 2.13:

    python -m tests.train.torch_training.make_trajectories digits FOLDER     # half a minute
    python -m tests.train.torch_training.make_trajectories cifar10 FOLDER    # ten minutes or so

Weights and batch orders are functions of a seed, written out in `tests.models.reference_inputs`.
"""

import argparse
import math
import pathlib
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from benchmarks import torch_networks
from tests.models import reference_inputs
from tests.models.make_fixtures import set_parameter, wide_resnet_entries

WEIGHT_DECAY = 5e-4
NORM_INTERVAL = 10
EVAL_BATCH_SIZE = 1000


class Comparison(NamedTuple):
  """How WRN-10-1 is trained; the learning rate begins at 0.1.

  Attributes:
    dtype: of parameters, activations and images.
    seeds: one run each.
    train_examples: how many are used, the first ones.
    batch_size: the last batch of an epoch has what is left.
    epochs: passes over them.
    drop_after: after how many epochs the learning rate is divided by 5.
    momenta: below the mean loss of the epoch, and elsewhere.
  """

  dtype: torch.dtype
  seeds: range
  train_examples: int
  batch_size: int
  epochs: int
  drop_after: tuple[int, ...]
  momenta: tuple[float, float]


COMPARISONS = {
  'digits': {
    'float64': Comparison(torch.float64, range(1), 1000, 48, 6, (2, 4), (0.857, 0.93)),
    'float32': Comparison(torch.float32, range(8), 1000, 50, 15, (3, 6, 9), (0.857, 0.93)),
  },
  'cifar10': {
    'float64': Comparison(torch.float64, range(1), 300, 32, 5, (2, 4), (0.9, 0.95)),
    'float32': Comparison(torch.float32, range(5), 5000, 128, 8, (4, 6), (0.9, 0.95)),
  },
}

STATISTICS = {
  'digits': ((0.304874,) * 3, (0.375424,) * 3),
  'cifar10': ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}


class Examples(NamedTuple):
  """Normalised images (examples, 3, height, width) and their labels."""

  images: torch.Tensor
  labels: torch.Tensor


def load(dataset, folder, split, dtype, examples=None):
  mean, std = (torch.tensor(numbers, dtype=dtype) for numbers in STATISTICS[dataset])
  images = torch.tensor(np.load(folder / f'{split}_inputs.npy')[:examples]).to(dtype)
  labels = torch.tensor(np.load(folder / f'{split}_labels.npy')[:examples]).long()
  images = ((images / 255 - mean) / std).permute(0, 3, 1, 2)
  # Contiguous, which is the authors' layout and the accurate one: with channels last, PyTorch's
  # batch norm on a CPU gives float32 gradients that are right to 5e-3 only, not to 1e-5.
  return Examples(images.contiguous(), labels)


def make_model(dtype, seed):
  model = torch_networks.WideResNet(depth=10, width=1, num_classes=10).to(dtype)
  for entry in wide_resnet_entries(model):
    set_parameter(entry._replace(name=f'seed {seed}.{entry.name}'))
  return model


def parameter_norm(model):
  squares = [parameter.double().square().sum().item() for parameter in model.parameters()]
  return math.sqrt(sum(squares))


def count_errors(model, test):
  model.eval()
  errors = 0
  with torch.no_grad():
    for images, labels in zip(*(tensor.split(EVAL_BATCH_SIZE) for tensor in test), strict=True):
      errors += (model(images).argmax(1) != labels).sum().item()
  model.train()
  return errors


def run(comparison, seed, train, test):
  """Trains once.

  Returns:
    The loss and the momentum of every step, the norm of all parameters after every tenth, and the
    wrong answers on the test split after the first and the last epoch.
  """
  model = make_model(comparison.dtype, seed)
  below, elsewhere = comparison.momenta
  optimizer = torch.optim.SGD(
    model.parameters(), lr=0.1, momentum=elsewhere, weight_decay=WEIGHT_DECAY
  )
  losses, momenta, norms, errors = [], [], [], []
  for epoch in range(comparison.epochs):
    if epoch in comparison.drop_after:
      optimizer.param_groups[0]['lr'] *= 0.2
    numbers = reference_inputs.array(f'seed {seed} epoch {epoch}', comparison.train_examples)
    train_loss = 0.0
    order = torch.tensor(np.argsort(numbers))
    for count, rows in enumerate(order.split(comparison.batch_size), start=1):
      optimizer.zero_grad()
      loss = nn.functional.cross_entropy(model(train.images[rows]), train.labels[rows])
      loss.backward()
      losses.append(loss.item())
      momenta.append(optimizer.param_groups[0]['momentum'])
      optimizer.step()
      train_loss += loss.item()
      is_below = loss.item() < train_loss / count
      optimizer.param_groups[0]['momentum'] = below if is_below else elsewhere
      if len(losses) % NORM_INTERVAL == 0:
        norms.append(parameter_norm(model))
    if epoch in (0, comparison.epochs - 1):
      errors.append(count_errors(model, test))
  return {'losses': losses, 'momenta': momenta, 'norms': norms, 'errors': errors}


def main():
  parser = argparse.ArgumentParser(description='Writes the PyTorch trajectories of a data set.')
  parser.add_argument('dataset', choices=COMPARISONS)
  parser.add_argument('folder', type=pathlib.Path)
  arguments = parser.parse_args()
  # More threads would split the sums of a convolution differently, and round them differently.
  torch.set_num_threads(1)
  for name, comparison in COMPARISONS[arguments.dataset].items():
    source = arguments.dataset, arguments.folder
    train = load(*source, 'train', comparison.dtype, comparison.train_examples)
    test = load(*source, 'test', comparison.dtype)
    runs = [run(comparison, seed, train, test) for seed in comparison.seeds]
    arrays = {key: np.array([one[key] for one in runs]) for key in runs[0]}
    # A float32 loss is stored as the number that it is; double precision would only add zeros.
    arrays['losses'] = arrays['losses'].astype(name)
    file = f'{arguments.dataset}-{name}.npz'
    np.savez_compressed(pathlib.Path(__file__).with_name(file), **arrays)


if __name__ == '__main__':
  main()
