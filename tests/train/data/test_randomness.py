import jax
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from train.data import step_key
from train.data.randomness import epoch_order

_SMALL = st.integers(0, 1000)


@settings(max_examples=20, deadline=None)
@given(seed=_SMALL, epoch=_SMALL, examples=st.sampled_from([1, 7, 64]))
def test_every_epoch_is_a_permutation(seed, epoch, examples):
  order = np.asarray(epoch_order(seed, epoch, examples))
  assert sorted(order) == list(range(examples))


def test_orders_differ_between_epochs_and_seeds():
  orders = {tuple(epoch_order(s, e, 100).tolist()) for s in range(3) for e in range(3)}
  assert len(orders) == 9


def test_step_keys_differ_and_may_be_traced():
  traced = jax.jit(step_key)
  keys = set()
  for position in np.ndindex(3, 3, 3):
    key = tuple(jax.random.key_data(step_key(*position)).tolist())
    assert tuple(jax.random.key_data(traced(*position)).tolist()) == key
    keys.add(key)
  assert len(keys) == 27
