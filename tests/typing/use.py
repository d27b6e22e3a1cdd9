"""A user's program for the type checker, which also has to report the two mistakes at its end."""

import jax
import jax.numpy as jnp
import optax

from lcam_optax import lcam, loss_phase_schedule

params = jnp.ones(3)
b1 = loss_phase_schedule(0.95, optax.linear_schedule(0.9, 0.8, 100), mean_decay=1 - 1 / 500)
for optimizer in (
  lcam(0.1, jnp.float32(0.95), low_loss_momentum=0.9, steps_per_epoch=391, rule='algorithm1'),
  optax.inject_hyperparams(optax.adam)(1e-3, b1=b1),
):
  opt_state = optimizer.init(params)
  loss, grads = jax.value_and_grad(lambda params: (params**2).sum())(params)
  updates, opt_state = optimizer.update(grads, opt_state, params, value=loss)
  params = optax.apply_updates(params, updates)

# An ignored error that is not there is itself an error (reportUnnecessaryTypeIgnoreComment).
lcam(0.1, steps_per_epoch=391, rule='algorithm2')  # pyright: ignore[reportArgumentType]
loss_phase_schedule(0.95, 0.9, steps_per_epoch='391')  # pyright: ignore[reportArgumentType]
