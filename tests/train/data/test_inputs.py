import threading

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from train.data import ResidentInput, Split, StreamedInput, gather, inputs, make_input


def _split(examples):
  images = np.arange(examples * 12, dtype=np.uint8).reshape(examples, 2, 2, 3)
  return Split(images, np.arange(examples, dtype=np.int32))


def _drawn(batches):
  return [tuple(np.asarray(array) for array in jax.jit(gather)(batch)) for batch in batches]


@pytest.mark.parametrize('kind', [ResidentInput, StreamedInput])
def test_an_epoch_is_a_permutation_with_a_short_last_batch(kind):
  batches = _drawn(kind(_split(23)).epoch(seed=0, epoch=1, batch_size=5))
  assert [len(labels) for _, labels in batches] == [5, 5, 5, 5, 3]
  labels = np.concatenate([labels for _, labels in batches])
  assert sorted(labels) == list(range(23))
  assert labels.tolist() != list(range(23))


@pytest.mark.parametrize('kind', [ResidentInput, StreamedInput])
def test_evaluation_sees_every_example_once_in_order(kind):
  split = _split(23)
  batches = _drawn(kind(split).in_order(batch_size=10))
  np.testing.assert_array_equal(np.concatenate([images for images, _ in batches]), split.inputs)
  np.testing.assert_array_equal(np.concatenate([labels for _, labels in batches]), split.labels)


@pytest.mark.training
@settings(max_examples=15, deadline=None)
@given(
  seed=st.integers(0, 1000),
  epoch=st.integers(0, 1000),
  examples=st.sampled_from([3, 16, 37]),
  batch_size=st.sampled_from([1, 8, 64]),
  start=st.floats(0, 1),
)
def test_streamed_batches_equal_resident_ones_from_any_step(
  seed, epoch, examples, batch_size, start
):
  split = _split(examples)
  resident, streamed = ResidentInput(split), StreamedInput(split)
  steps = resident.steps_per_epoch(batch_size)
  assert steps == streamed.steps_per_epoch(batch_size)
  start_step = int(start * steps)
  whole = _drawn(resident.epoch(seed, epoch, batch_size))
  assert len(whole) == steps
  for source in (resident, streamed):
    rest = _drawn(source.epoch(seed, epoch, batch_size, start_step))
    assert len(rest) == steps - start_step
    for expected, found in zip(whole[start_step:], rest, strict=True):
      for expected_array, array in zip(expected, found, strict=True):
        assert array.dtype == expected_array.dtype
        np.testing.assert_array_equal(array, expected_array)


@pytest.mark.parametrize('kind', [ResidentInput, StreamedInput])
def test_memory_maps_give_what_arrays_give(kind, tmp_path):
  split = _split(20)
  np.save(tmp_path / 'inputs.npy', split.inputs)
  np.save(tmp_path / 'labels.npy', split.labels)
  mapped = Split(*(np.load(tmp_path / f'{n}.npy', mmap_mode='r') for n in ('inputs', 'labels')))
  for one, other in zip(
    _drawn(kind(split).epoch(0, 0, 8)), _drawn(kind(mapped).epoch(0, 0, 8)), strict=True
  ):
    np.testing.assert_array_equal(one[0], other[0])
    np.testing.assert_array_equal(one[1], other[1])


@pytest.mark.parametrize('kind', [ResidentInput, StreamedInput])
def test_after_one_epoch_nothing_is_compiled_any_more(kind):
  compiled = []

  def note(event, duration, **_):
    del duration
    if 'backend_compile' in event:
      compiled.append(event)

  source = kind(_split(103))
  step = jax.jit(lambda batch: gather(batch))
  jax.monitoring.register_event_duration_secs_listener(note)
  try:
    for epoch in range(3):
      compiled.append(f'epoch {epoch}')
      for batch in source.epoch(0, epoch, batch_size=10):
        step(batch)
  finally:
    jax.monitoring.unregister_event_duration_listener(note)
  assert 'backend_compile' in compiled[1]  # the listener hears something
  assert compiled[-2:] == ['epoch 1', 'epoch 2']


def test_a_stream_left_early_leaves_no_thread():
  before = threading.active_count()
  batches = StreamedInput(_split(100)).epoch(0, 0, batch_size=1)
  next(batches)
  batches.close()
  assert threading.active_count() == before


def test_a_failure_to_read_reaches_the_reader():
  split = _split(10)
  object.__setattr__(split, 'inputs', split.inputs[:5])  # as a file that was cut short
  with pytest.raises(IndexError):
    list(StreamedInput(split).in_order(batch_size=4))


def test_large_splits_stream_and_small_ones_do_not(monkeypatch):
  split = _split(10)
  size = split.inputs.nbytes + split.labels.nbytes
  assert isinstance(make_input(split), ResidentInput)  # a CPU uses the arrays in place
  monkeypatch.setattr(inputs, 'device_memory', lambda: 4 * size)
  assert isinstance(make_input(split), ResidentInput)
  monkeypatch.setattr(inputs, 'device_memory', lambda: 4 * size - 1)
  assert isinstance(make_input(split), StreamedInput)
  assert isinstance(make_input(split, stream=False), ResidentInput)
  monkeypatch.undo()
  assert isinstance(make_input(split, stream=True), StreamedInput)
