"""Trains on eight virtual CPU devices and prints what came of it as JSON.

A program of its own, run by test_eight_devices.py: JAX's number of devices is fixed once it starts.
"""

import functools
import itertools
import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from lcam_optax import lcam, loss_phase_schedule, loss_phase_weights

DEVICES, STEPS, RULES = 8, 10, ('equation9', 'algorithm1')
START = np.array([1.0, -2.0, 0.5], np.float32)
INPUTS = np.random.default_rng(0).normal(size=(STEPS, 16, 3)).astype(np.float32)


def objective(params, inputs):
  return jnp.mean((inputs @ params - 1) ** 2)


def optimizers(rule):
  mean = {'steps_per_epoch': 4, 'rule': rule}
  return {
    'lcam': lcam(0.1, 0.9, 0.3, **mean),
    'adam': optax.inject_hyperparams(optax.adam)(0.1, b1=loss_phase_schedule(0.9, 0.3, **mean)),
    'lion': optax.inject_hyperparams(optax.lion)(0.1, b1=loss_phase_schedule(0.9, 0.3, **mean)),
  }


def apply(solver, params, state, loss, grads):
  updates, state = solver.update(grads, state, params, value=loss)
  return optax.apply_updates(params, updates), state


def train_with_jit(solver, mesh):
  """Lets the compiler divide the batch; the loss and the gradient are of the whole of it."""

  @jax.jit
  def step(params, state, inputs):
    return apply(solver, params, state, *jax.value_and_grad(objective)(params, inputs))

  replicated = NamedSharding(mesh, P())
  params, state = jax.device_put((START, solver.init(START)), replicated)
  for inputs in jax.device_put(INPUTS, NamedSharding(mesh, P(None, 'data'))):
    params, state = step(params, state, inputs)
  return params


def train_with_shard_map(solver, mesh, check_vma, inside, average_loss, average_grads):
  """Takes the loss of each device's part and averages what it is told to."""

  def mean_objective(params, inputs):
    return jax.lax.pmean(objective(params, inputs), 'data')

  @jax.jit
  @functools.partial(
    jax.shard_map,
    mesh=mesh,
    in_specs=(P(), P(), P('data')),
    out_specs=(P(), P()),
    check_vma=check_vma,
  )
  def step(params, state, inputs):
    function = mean_objective if inside else objective
    loss, grads = jax.value_and_grad(function)(params, inputs)
    loss = jax.lax.pmean(loss, 'data') if average_loss else loss
    grads = jax.lax.pmean(grads, 'data') if average_grads else grads
    return apply(solver, params, state, loss, grads)

  params, state = START, solver.init(START)
  for inputs in INPUTS:
    params, state = step(params, state, inputs)
  return params


def weighted_gradient(mesh, check_vma):
  """Weighs the examples of the whole batch inside `shard_map`, as the docstring says."""

  def objective(params, inputs):
    losses = (inputs @ params - 1) ** 2
    everywhere = jax.lax.all_gather(losses, 'data')
    weights = loss_phase_weights(everywhere, -0.475)[jax.lax.axis_index('data')]
    return jax.lax.pmean((weights * losses).mean(), 'data')

  @jax.jit
  @functools.partial(
    jax.shard_map, mesh=mesh, in_specs=(P(), P('data')), out_specs=P(), check_vma=check_vma
  )
  def gradient(params, inputs):
    return jax.lax.pmean(jax.grad(objective)(params, inputs), 'data')

  return gradient(START, INPUTS[0])


def replicas(params):
  return [np.asarray(shard.data).tolist() for shard in params.addressable_shards]


def main():
  mesh = jax.make_mesh((DEVICES,), ('data',), (AxisType.Auto,))
  results = {}
  for rule in RULES:
    for name, solver in optimizers(rule).items():
      results[f'jit {name} {rule}'] = replicas(train_with_jit(solver, mesh))
  solver = optimizers('equation9')['lcam']
  for ways in itertools.product([True, False], repeat=4):
    try:
      result = replicas(train_with_shard_map(solver, mesh, *ways))
    except ValueError as error:
      result = str(error)
    results[f'shard_map {" ".join(map(str, ways))}'] = result
  for check_vma in (True, False):
    results[f'weights {check_vma}'] = replicas(weighted_gradient(mesh, check_vma))
  print(json.dumps(results))


if __name__ == '__main__':
  main()
