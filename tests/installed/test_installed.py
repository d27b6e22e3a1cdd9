"""What any installed wheel or sdist must do; needs pytest and nothing else of the project."""

import importlib.metadata
import importlib.resources

import jax.numpy as jnp

import lcam_optax


def test_it_says_its_version():
  assert importlib.metadata.version('lcam-optax') == lcam_optax.__version__


def test_it_carries_the_marker_of_its_types():
  assert importlib.resources.files('lcam_optax').joinpath('py.typed').is_file()


def test_all_public_names_are_there():
  for name in lcam_optax.__all__:
    assert getattr(lcam_optax, name).__doc__


def test_it_updates():
  solver = lcam_optax.lcam(0.1, 0.9, 0.5, steps_per_epoch=10)
  params = jnp.ones(3)
  updates, _ = solver.update(params, solver.init(params), params, value=1.0)
  assert jnp.allclose(updates, -0.1)
