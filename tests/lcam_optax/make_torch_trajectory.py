"""Makes torch_trajectory.npz: torch.optim.SGD whose momentum is set as Algorithm 1 sets it.

    pip install torch==2.13.0 && python tests/lcam_optax/make_torch_trajectory.py

A small regression is trained for three epochs. After each update the script does what Algorithm 1
says: mean of the epoch's losses so far, then the momentum of the next update. Everything is in
float64, so that a comparison in float64 can be tight. PyTorch is needed to make the file only.
"""

import pathlib

import numpy as np
import torch

LEARNING_RATE, WEIGHT_DECAY, STEPS_PER_EPOCH, EPOCHS = 0.02, 5e-4, 12, 3
MOMENTUM_SPARSE, MOMENTUM_NON_SPARSE = 0.9, 0.95


def train(nesterov: bool) -> dict[str, np.ndarray]:
  generator = torch.Generator().manual_seed(0)
  inputs = torch.randn(STEPS_PER_EPOCH, 8, 5, generator=generator, dtype=torch.float64)
  targets = inputs.sum(-1, keepdim=True).tanh() + torch.randn(
    STEPS_PER_EPOCH, 8, 1, generator=generator, dtype=torch.float64
  )
  weight = torch.nn.Parameter(torch.randn(5, 1, generator=generator, dtype=torch.float64))
  bias = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))
  optimizer = torch.optim.SGD(
    [weight, bias],
    lr=LEARNING_RATE,
    momentum=MOMENTUM_NON_SPARSE,
    weight_decay=WEIGHT_DECAY,
    nesterov=nesterov,
  )
  record = {name: [] for name in ('loss', 'momentum', 'weight', 'bias')}
  initial = weight.detach().numpy().copy()
  for _ in range(EPOCHS):
    total = 0.0
    for step in range(STEPS_PER_EPOCH):
      loss = ((inputs[step] @ weight + bias - targets[step]) ** 2).mean()
      optimizer.zero_grad()
      loss.backward()
      record['momentum'].append(optimizer.param_groups[0]['momentum'])
      optimizer.step()
      total += loss.item()
      below = loss.item() < total / (step + 1)
      optimizer.param_groups[0]['momentum'] = MOMENTUM_SPARSE if below else MOMENTUM_NON_SPARSE
      record['loss'].append(loss.item())
      record['weight'].append(weight.detach().numpy().copy())
      record['bias'].append(bias.detach().numpy().copy())
  return {
    'inputs': inputs.numpy(),
    'targets': targets.numpy(),
    'initial_weight': initial,
    **{name: np.array(values) for name, values in record.items()},
  }


def main() -> None:
  arrays = {}
  for nesterov in (False, True):
    arrays |= {f'{name}-nesterov-{nesterov}': array for name, array in train(nesterov).items()}
  np.savez_compressed(pathlib.Path(__file__).with_name('torch_trajectory.npz'), **arrays)


if __name__ == '__main__':
  main()
